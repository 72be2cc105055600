"""The command line: one file of `commands` for each verb.

A verb reads arguments, hands cells and files to the package, prints text or JSON. Exit 0 clean, 1 findings, 2 usage or internal error;
every error is one line. Everything heavy is imported by the verb that needs it, so that --help answers at once.
"""

import os
import sys

import click

from .commands.cells import cells
from .commands.derive import derive
from .commands.diagnose import diagnose
from .commands.measure import measure
from .commands.report import report
from .commands.reproduce import reproduce
from .commands.verify import verify

__all__ = ["main"]


def main(arguments=None):
    """Run the command line; the one place where an exception becomes a line on stderr and an exit code."""
    try:
        sys.exit(cli(args=arguments, standalone_mode=False) or 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _refuse(f"{error.format_message()}{where}")
    except click.ClickException as error:
        _refuse(error.format_message())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else error)
    except ValueError as error:
        _refuse(error)
    except MemoryError:
        _refuse("not enough memory: take fewer lags, fewer sequences or a smaller net")
    except Exception as error:  # noqa: BLE001  (a traceback never reaches a user)
        if os.environ.get("FLOWCHECK_TRACEBACK"):
            raise
        _refuse(f"internal error, {type(error).__name__}: {error}; FLOWCHECK_TRACEBACK=1 shows where")


def _refuse(message):
    click.echo(f"flowcheck: {' '.join(str(message).split())}", err=True)
    sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowcheck-rnn", prog_name="flowcheck")
def cli():
    """Gradient flow in recurrent nets: derive it, verify it, measure it, diagnose trained nets."""


for _verb in (derive, verify, measure, diagnose, report, cells, reproduce):
    cli.add_command(_verb)


if __name__ == "__main__":
    main()
