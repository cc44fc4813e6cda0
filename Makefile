# `make` says what there is. Everything happens in .venv, with the versions in requirements.lock.
#
#   PYTHON=python3.12   another interpreter for .venv (3.11 or later)
#   TORCH_INDEX=URL     another build of torch (CPU only, another CUDA): the package index to take it from.
#                       Empty: the build that pip's own index offers. Run `make clean` before changing it.

PYTHON ?= python3
TORCH_INDEX ?=

VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.stamp-run
TEST := $(VENV)/.stamp-test
DEV := $(VENV)/.stamp-dev
TORCH_PIN := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' requirements.lock)

NOTEBOOKS := $(wildcard notebooks/*.ipynb)
QUICK_NOTEBOOKS := $(filter notebooks/01% notebooks/02%,$(NOTEBOOKS))
OTHER_NOTEBOOKS := $(filter-out $(QUICK_NOTEBOOKS),$(NOTEBOOKS))
# Quick tests of what `make test` does not install, and skips.
OF_EXTRAS := $(shell grep -lE 'importorskip|the extra' tests/test_*.py)

# Two processes of one thread each are faster than one process of two threads, and give the same numbers everywhere.
export OMP_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTEST := $(BIN)/pytest -n 2
NBMAKE := $(PYTEST) --nbmake --nbmake-timeout=1200

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint types bench study calibrate verdicts fronts heads paper margins coverage strangers fuzz figures clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(RUN) ## train, save and audit three networks on the embedded data; writes fairheads-demo/
	$(BIN)/fairheads demo --out fairheads-demo

test: $(TEST) ## the tests that are not slow, and notebooks 01 and 02
	$(NBMAKE) -m "not slow" $(QUICK_NOTEBOOKS) tests

test-all: $(DEV) ## what `make test` leaves out: tests of extras, slow tests, other notebooks, the benchmarks (that they run)
	$(PYTEST) -m "not slow" $(OF_EXTRAS)
	$(PYTEST) -m slow || { code=$$?; if [ $$code -ne 5 ]; then exit $$code; fi; echo "No test is marked slow."; }
	$(if $(OTHER_NOTEBOOKS),$(NBMAKE) $(OTHER_NOTEBOOKS),@echo "No notebook beside 01 and 02.")
	$(BIN)/pytest tests/benchmarks

lint: $(DEV) ## ruff, and the order of the rooms
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports

types: $(DEV) ## mypy --strict
	$(BIN)/mypy

bench: $(DEV) ## how long things take
	$(BIN)/pytest tests/benchmarks

study: $(RUN) ## the verdicts on Adult, from scratch
	$(BIN)/python tests/studies/adult_verdicts.py

calibrate: $(RUN) ## how often the verdict is right, on planted networks; hours, resumable; QUICK=1 in ten minutes
	$(BIN)/python tests/studies/calibration.py $(if $(QUICK),--quick --out tests/studies/work/quick.json)

verdicts: $(DEV) ## constrained and unconstrained networks on Adult, COMPAS and FairFace; an hour, resumable
	$(BIN)/python tests/studies/real_verdicts.py

fronts: $(DEV) ## accuracy against disparity of every objective and of other libraries, on Adult and COMPAS
	$(BIN)/python tests/studies/fronts.py

heads: $(DEV) ## what the paper says of two heads: merges and group heads beside constrained networks, on Adult and COMPAS
	$(BIN)/python tests/studies/two_heads.py

paper: $(DEV) ## the paper's study on Adult, COMPAS and FairFace: which of its claims hold; three hours, resumable
	$(BIN)/python tests/studies/paper.py

margins: $(DEV) ## how often the certified gap of a merge is broken on new rows, by simulation
	$(BIN)/python tests/studies/margins.py

coverage: $(RUN) ## how often the intervals of disparity reports hold the truth, by simulation
	$(BIN)/python tests/studies/coverage.py

strangers: $(DEV) ## audits of three networks that strangers trained, as found in FAIRHEADS_SHARED_DATA
	$(BIN)/python tests/studies/strangers/run.py

fuzz: $(DEV) ## changed models, folders and tables, opened for ten minutes (SECONDS=600); ATHERIS=1 where atheris is installed
	$(BIN)/python tests/studies/fuzz.py --seconds $(or $(SECONDS),600) $(if $(ATHERIS),--atheris)

figures: $(RUN) ## the pictures in README: a fresh demo's report (needs chromium), and the studies as committed
	$(BIN)/fairheads demo --out fairheads-demo
	$(BIN)/python tests/studies/readme_picture.py fairheads-demo/reports/demographic-parity/report.html
	$(BIN)/python tests/studies/paper.py --figures
	$(BIN)/python tests/studies/fronts_figure.py

clean: ## remove .venv, builds, caches and fairheads-demo/
	rm -rf $(VENV) build dist *.egg-info fairheads-demo .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache .benchmarks
	find fairheads cli tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per set of packages; a larger set contains the smaller ones.
$(RUN): pyproject.toml requirements.lock | $(BIN)/pip
	$(call install,.)
	touch $(RUN)

$(TEST): pyproject.toml requirements.lock | $(BIN)/pip
	$(call install,.[test])
	touch $(RUN) $(TEST)

$(DEV): pyproject.toml requirements.lock | $(BIN)/pip
	$(call install,.[dev])
	touch $(RUN) $(TEST) $(DEV)

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

define install
$(if $(TORCH_INDEX),$(BIN)/pip install --index-url '$(TORCH_INDEX)' '$(TORCH_PIN)')
$(BIN)/pip install -c requirements.lock -e '$(1)'
endef
