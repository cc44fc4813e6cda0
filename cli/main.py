"""The command group, and the one place where errors become a line and an exit code."""

from __future__ import annotations

import os
import sys

import click

from fairheads import __version__
from fairheads.errors import ConfigError, FairheadsError

from .audit import audit
from .compare import compare
from .demo import demo
from .disparity import disparity
from .merge import merge
from .render import render
from .selftest import selftest
from .study import study
from .train import train
from .verbosity import measured, verbosity_options

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fairheads")
def fairheads() -> None:
    """Has a network that was trained to be fair quietly learned to treat people by group?

    \b
    fairheads demo                                    the whole story on embedded data, in a minute or two
    fairheads train --data adult --out models/plain   train a network and save it with its record
    fairheads audit models/plain --data adult --twins 5 --out report
    fairheads compare models/plain models/parity --data adult
    fairheads disparity decisions.csv --group sex --prediction hired   rates and gaps, from a table alone

    Exit codes: 0 done, 1 an error, 2 wrong usage, 3 a gate (--max-gap, --fail-on) was not met, 130 interrupted
    (Ctrl-C). Results go to standard output, progress to standard error.
    """


for command in (demo, train, audit, compare, merge, disparity, selftest, render):
    fairheads.add_command(verbosity_options(command))
fairheads.add_command(study)


def main() -> None:
    """Run the command line; a user sees one line for an error, never a traceback."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes of one thread beat one of two, and stall less
    try:
        with measured():
            code = fairheads.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted; no file was left half-written.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except FairheadsError as error:
        click.echo(f"Error: {_one_line(error)}", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, ConfigError) else EXIT_ERROR)
    except MemoryError:
        click.echo("Error: there is not enough memory for what is asked; --sample N takes fewer rows.", err=True)
        sys.exit(EXIT_ERROR)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of standard output went away, as `head` does
        sys.exit(EXIT_PIPE)
    except OSError as error:
        click.echo(f"Error: {error.strerror or error}: {error.filename or ''}", err=True)
        sys.exit(EXIT_ERROR)
    sys.exit(code if isinstance(code, int) else 0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
