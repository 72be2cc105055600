"""Tables and lines for a terminal, plain where it is none."""

__all__ = ["new_table", "plain", "render"]

_COLOURS = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "error": "bold red", "warning": "yellow", "info": "cyan",
            "vanishing": "yellow", "exploding": "yellow", "sustained": "green", "proved": "green", "failed": "bold red"}


def render(*parts):
    """Rich renderables as text: coloured for a terminal that wants it (NO_COLOR is honoured), plain otherwise."""
    import io
    import sys

    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = Console().width if terminal else 80
    console = Console(file=io.StringIO(), force_terminal=terminal, width=width, highlight=False, emoji=False)
    for part in parts:
        console.print(part)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def new_table(*columns):
    """A table with columns of these names, or (name, {option of rich: value})."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        name, options = column if isinstance(column, tuple) else (column, {})
        table.add_column(name, **({"overflow": "fold"} | options))
    return table


def plain(text):
    """Text as it stands, nothing in it a markup; a verdict or severity in its colour."""
    from rich.text import Text

    return Text(str(text), style=_COLOURS.get(str(text), ""))
