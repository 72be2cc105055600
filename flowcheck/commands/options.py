"""What the verbs share: where output goes, progress, and the options that name a net and its inputs."""

import contextlib
import os
import sys
from pathlib import Path

import click

__all__ = ["LAYER", "emit", "net_options", "out_in", "output", "progress_bar", "refuse_overwriting", "resumable"]


def output(command, formats=("text", "json")):
    command = click.option("--format", "form", type=click.Choice(formats), default="text", show_default=True)(command)
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("-o", "--out", type=file, help="Write to this file instead of stdout.")(command)


def out_in(*formats):
    return lambda command: output(command, formats)


def emit(text, out):
    text = text if text.endswith("\n") else text + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        from ..report.files import write_atomically

        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        earlier = out.read_text(encoding="utf-8") if summary and out.is_file() and out.samefile(summary) else ""
        write_atomically(out, earlier + text)


def refuse_overwriting(written, read):
    """Raises UsageError where a file to be written, of [(option, path)], is one of the files read, also by another name or through a link.

    What is None or no file (cell:NAME, a number of inputs) is passed over. Of a folder its Python files are read, of an index its shards.
    """
    taken = [(option, Path(out)) for option, out in written if out is not None and Path(out).is_file()]
    for path in map(Path, filter(None, read if taken else ())):
        beside = path.glob("*.py") if path.is_dir() else path.parent.glob("*.safetensors") if path.name.endswith(".index.json") else ()
        for file in (path, *beside):
            for option, out in taken:
                if file.exists() and out.samefile(file):
                    raise click.UsageError(f"{option} {out}: expected a file of its own, got {file}, which is read; name another file")


@contextlib.contextmanager
def progress_bar(title):
    """A progress bar on stderr that is told in words what goes on; silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda words, done=None, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda words, done=None, total=None: bar.update(task, description=words, completed=done, total=total)


@contextlib.contextmanager
def resumable(store):
    """Work whose results go into a file one after the other: where it is interrupted, that is said."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"interrupted: what is done is in {store}; the same command goes on from there", err=True)
        raise


LAYER = ("Recurrent layers to read, by name or prefix, several by commas; without it, all of them. A stack is read whole, by the name of "
          "its first layer. What the file leaves open, say with =KIND:ORDER: the cell, and a letter per gate in the order of the file's "
          "rows, rnn=lstm:ifco or rnn=gru_reset_before:zrh; other nonlinearities in brackets, 'rnn=tanh[g=relu]:h'. The line that refuses "
          "a file for it says what to write.")


def net_options(*argument, **options):
    return lambda command: _with_net_options(command, click.argument(*argument, **options))


def _with_net_options(command, argument):
    for option in (
        click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of fresh weights and noise inputs."),
        click.option("--block-size", default=1, show_default=True, help="Cells per block, for cell:NAME with shared gates."),
        click.option("--units", default=32, show_default=True, help="Units, for cell:NAME."),
        click.option("--layer", metavar="NAME[=KIND:ORDER]", help=LAYER),
        click.option("--inputs", "inputs_", metavar="FILE|N",
                     help=".npy (batch, time, features) or .npz with LAYER.x; for cell:NAME also a number."),
        argument,
    ):
        command = option(command)
    return command
