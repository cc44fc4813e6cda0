"""Bundles: what is saved comes back bit for bit, and a damaged or foreign folder is refused in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from fairheads.constraints import demographic_parity
from fairheads.data import RowRecord, Table, read_table
from fairheads.errors import ConfigError, InputError, UnsafeModelError
from fairheads.models import Bundle, check_free, fit_table, load_bundle, save_bundle, weights_digest
from fairheads.nets import MLP, ResNet, Transformer, TwoHeadNet
from fairheads.training import Penalized, TwoHeaded, Unconstrained


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    rng = np.random.default_rng(0)
    lines = ["age,town,sex,hired"]
    for _ in range(400):
        sex = rng.choice(["f", "m"])
        lines.append(f"{rng.integers(18, 60)},{rng.choice(['x', 'y'])},{sex},{int(rng.random() < 0.4)}")
    file = tmp_path_factory.mktemp("data") / "people.csv"
    file.write_text("\n".join(lines))
    return read_table(file, label="hired", group=["sex"])


@pytest.fixture(scope="module")
def bundle(table: Table) -> Bundle:
    return fit_table(table, Penalized(demographic_parity(), 3.0), hidden=(8, 4), epochs=2, batch_size=64)


@pytest.fixture
def saved(bundle: Bundle, tmp_path: Path) -> Path:
    return save_bundle(bundle, tmp_path / "model")


def test_a_bundle_comes_back_bit_for_bit(bundle: Bundle, saved: Path) -> None:
    loaded = load_bundle(saved)
    assert weights_digest(loaded.net) == weights_digest(bundle.net)
    assert loaded.training == bundle.training
    assert loaded.preprocess == bundle.preprocess
    assert loaded.rows is not None
    assert bundle.rows is not None
    assert loaded.rows.digest == bundle.rows.digest
    assert loaded.name == "model"
    assert not loaded.net.training


def test_a_two_headed_bundle_comes_back_too(table: Table, tmp_path: Path) -> None:
    two = fit_table(table, TwoHeaded(), hidden=(8,), epochs=1, batch_size=64)
    loaded = load_bundle(save_bundle(two, tmp_path / "two"))
    assert isinstance(loaded.net, TwoHeadNet)
    x = torch.randn(5, two.net.backbone[0].in_features, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.net(x), two.net(x))


def grouped(tmp_path: Path, groups: int) -> Table:
    """The table of a hundred people in so many groups."""
    lines = ["age,town,hired", *(f"{18 + i % 40},{'abcdef'[i % groups]},{int(i % 5 < 2)}" for i in range(100))]
    file = tmp_path / "towns.csv"
    file.write_text("\n".join(lines))
    return read_table(file, label="hired", group=["town"])


def test_two_heads_of_any_number_of_groups_are_trained_and_saved(tmp_path: Path) -> None:
    four = fit_table(grouped(tmp_path, 4), TwoHeaded(), hidden=(8,), epochs=1, batch_size=16)
    assert isinstance(four.net, TwoHeadNet) and four.net.n_groups == 4 and four.net.head.out_features == 5
    loaded = load_bundle(save_bundle(four, tmp_path / "four"))
    assert isinstance(loaded.net, TwoHeadNet) and loaded.net.n_groups == 4
    assert weights_digest(loaded.net) == weights_digest(four.net)


@pytest.mark.parametrize(("outputs", "groups", "separate", "favourable"), [(1, 3, True, 1), (3, 2, False, 2)])
def test_what_two_heads_are_is_part_of_the_architecture(
    tmp_path: Path, outputs: int, groups: int, separate: bool, favourable: int
) -> None:
    net = TwoHeadNet(MLP(3, hidden=(4,), outputs=outputs), groups, separate=separate, favourable=favourable)
    again = load_bundle(save_bundle(Bundle(net=net), tmp_path / "two")).net
    assert isinstance(again, TwoHeadNet) and (again.n_groups, again.separate) == (groups, separate)
    assert (again.task_outputs, again.favourable) == (outputs, favourable)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again(x), net(x))


def test_bundles_from_before_other_networks_had_two_heads_are_read(tmp_path: Path) -> None:
    net = TwoHeadNet(MLP(3, hidden=(4,), seed=2), seed=5)
    folder = save_bundle(Bundle(net=net), tmp_path / "two")
    config = json.loads((folder / "config.json").read_text())
    assert config["architecture"] == {"kind": "two_head", "of": {"kind": "mlp", **net.net.config}}, "as it always was"
    older = {name.removeprefix("net."): values for name, values in net.state_dict().items()}
    (folder / "model.safetensors").write_bytes(save_tensors(older))
    again = load_bundle(folder).net
    assert isinstance(again, TwoHeadNet) and weights_digest(again) == weights_digest(net)


def test_two_heads_of_other_networks_are_no_bundle(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
    for two in (TwoHeadNet(net), TwoHeadNet(MLP(3, hidden=(4,)), layer="backbone.0")):
        with pytest.raises(ConfigError, match="a bundle holds a TwoHeadNet of an MLP, a ResNet or a Transformer"):
            save_bundle(Bundle(net=two), tmp_path / "two")


IMAGES = torch.randn(5, 2, 6, 6, generator=torch.Generator().manual_seed(0))
TOKENS = torch.arange(20).reshape(4, 5) % 7


def residual() -> ResNet:
    return ResNet(2, widths=(4, 8), depth=2, separable=True, seed=3)


def transformer() -> Transformer:
    return Transformer(7, width=8, depth=2, length=5, seed=3)


@pytest.mark.parametrize("two_headed", [False, True])
@pytest.mark.parametrize(("fresh", "inputs"), [(residual, IMAGES), (transformer, TOKENS)])
def test_networks_for_images_and_tokens_come_back_bit_for_bit(
    tmp_path: Path, fresh: Callable[[], torch.nn.Module], inputs: torch.Tensor, two_headed: bool
) -> None:
    net = TwoHeadNet(fresh(), 3) if two_headed else fresh()
    net(inputs.repeat(3, *[1] * (inputs.ndim - 1)))  # BatchNorm's buffers move, and must come back too
    again = load_bundle(save_bundle(Bundle(net=net), tmp_path / "net")).net
    assert type(again) is type(net) and weights_digest(again) == weights_digest(net)
    assert torch.equal(again(inputs), net.eval()(inputs))
    assert {value.device.type for value in again.state_dict().values()} == {"cpu"}


HOSTILE: list[dict[str, object]] = [
    {"kind": "os.system"},
    {"kind": ["resnet"]},
    {"kind": "two_head"},
    {"widths": [10**9, 10**9]},
    {"widths": [10**30]},
    {"widths": [4] * 10_000},
    {"widths": "48"},
    {"widths": {"4": 8}},
    {"widths": []},
    {"widths": [4.0, 8]},
    {"depth": 10**9},
    {"depth": None},
    {"depth": True},
    {"channels": -1},
    {"channels": "2"},
    {"channels": 2.0},
    {"separable": "yes"},
    {"seed": 3},
    {"device": "cuda"},
    {"outputs": 2},
]


@pytest.mark.parametrize("changed", HOSTILE, ids=lambda changed: str(changed)[:30])
def test_a_hostile_architecture_is_refused_before_it_takes_memory_or_time(
    tmp_path: Path, changed: dict[str, object]
) -> None:
    folder = save_bundle(Bundle(net=residual()), tmp_path / "net")
    config = json.loads((folder / "config.json").read_text())
    written = json.dumps(config | {"architecture": config["architecture"] | changed})
    (folder / "config.json").write_text(written)
    start = time.perf_counter()
    with pytest.raises(UnsafeModelError, match="damaged or no bundle"):
        load_bundle(folder)
    assert time.perf_counter() - start < 2


def test_a_two_headed_architecture_with_other_settings_is_refused(tmp_path: Path) -> None:
    folder = save_bundle(Bundle(net=TwoHeadNet(MLP(3, hidden=(4,)), 3)), tmp_path / "two")
    config = json.loads((folder / "config.json").read_text())
    for changed in ({"n_groups": 2}, {"n_groups": 1}, {"n_groups": "3"}, {"heads": 3}, {"separate": True}):
        other = config | {"architecture": config["architecture"] | changed}
        (folder / "config.json").write_text(json.dumps(other))
        with pytest.raises(UnsafeModelError, match="damaged or no bundle"):
            load_bundle(folder)


def test_the_folder_holds_no_code_and_no_pickle(saved: Path) -> None:
    assert sorted(p.name for p in saved.iterdir()) == ["config.json", "model.safetensors", "rows.safetensors"]
    json.loads((saved / "config.json").read_text())
    assert not any(p.read_bytes()[:2] == b"\x80\x04" for p in saved.iterdir())


def test_weights_digest_sees_every_weight_and_its_name() -> None:
    one, other = MLP(3, hidden=(4,), seed=0), MLP(3, hidden=(4,), seed=0)
    assert weights_digest(one) == weights_digest(other)
    with torch.no_grad():
        other.head.bias[0] += 1e-6
    assert weights_digest(one) != weights_digest(other)


def test_the_split_of_the_table_is_found_again(bundle: Bundle, table: Table) -> None:
    parts = {part: bundle.encode(table, part) for part in ("train", "validation", "test", "all")}
    ids = {part: set(data.row_id.tolist()) for part, (data, _) in parts.items()}
    assert len(ids["test"]) == 80
    assert len(ids["validation"]) == 64
    assert ids["train"] | ids["validation"] | ids["test"] == ids["all"]
    assert not ids["train"] & ids["test"]
    assert not ids["train"] & ids["validation"]
    assert bundle.rows is not None
    assert RowRecord.of(parts["train"][0]).digest == bundle.rows.digest
    assert "80 test rows" in parts["test"][1]


def test_another_table_is_all_test_rows(bundle: Bundle, table: Table) -> None:
    other = replace(table, source="another file")
    data, words = bundle.encode(other, "test")
    assert len(data) == len(table)
    assert words.startswith("all 400 rows")
    with pytest.raises(InputError, match="is not the table that the model was trained on"):
        bundle.encode(other, "train")
    with pytest.raises(ConfigError, match="part"):
        bundle.encode(table, "some")


@pytest.mark.parametrize("in_one_step", [True, False])
def test_an_existing_folder_is_kept(
    in_one_step: bool, bundle: Bundle, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_one_step:
        monkeypatch.setattr("fairheads.models.bundle.exchanged", lambda *_: False)
    before = (saved / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match=r"exists; choose another folder, or overwrite it \(`overwrite`"):
        save_bundle(bundle, saved)
    assert (saved / "model.safetensors").read_bytes() == before
    killed = saved.with_name(f".{saved.name}.abc.{2**22 + 1}.part")  # no process has such a number
    (killed / "new").mkdir(parents=True)
    save_bundle(replace(bundle, merge={"b": [1.0]}), saved, overwrite=True)
    assert load_bundle(saved).merge == {"b": [1.0]}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="is no model"):
        check_free(tmp_path / "thesis", overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model", "thesis"]  # nothing is left beside them


def test_a_failed_save_leaves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MLP"):
        save_bundle(replace(bundle, net=torch.nn.Linear(2, 1)), tmp_path / "model")
    with pytest.raises(TypeError):
        save_bundle(replace(bundle, training={"when": object()}), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "rows.safetensors"])
@pytest.mark.parametrize("keep", [0, 20, 0.5])
def test_a_truncated_file_is_one_clear_error(saved: Path, name: str, keep: float) -> None:
    content = (saved / name).read_bytes()
    (saved / name).write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(UnsafeModelError, match="damaged or no bundle") as caught:
        load_bundle(saved)
    assert "\n" not in str(caught.value)


def test_weights_that_do_not_fit_the_architecture_are_refused(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    config["architecture"]["hidden"] = [8, 5]
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsafeModelError, match="damaged"):
        load_bundle(saved)


@pytest.mark.parametrize(
    "config",
    ["[]", "{}", '{"format": "other"}', '{"format": "fairheads/bundle/1", "architecture": {"kind": "exec"}}'],
)
def test_a_foreign_config_is_refused(saved: Path, config: str) -> None:
    (saved / "config.json").write_text(config)
    with pytest.raises(UnsafeModelError):
        load_bundle(saved)


def test_no_bundle_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no model at"):
        load_bundle(tmp_path / "nowhere")
    (tmp_path / "net.pth").write_bytes(b"\x80\x04")
    with pytest.raises(InputError, match="no model bundle"):
        load_bundle(tmp_path / "net.pth")


def test_every_objective_of_one_table_is_trained_on_the_same_rows(table: Table, bundle: Bundle) -> None:
    plain = fit_table(table, Unconstrained(), hidden=(4,), epochs=1, batch_size=64)
    assert plain.rows is not None
    assert bundle.rows is not None
    assert plain.rows.digest == bundle.rows.digest
