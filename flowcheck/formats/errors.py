"""`FormatError`, and how names that come out of a file are shown in it. Imports nothing of flowcheck."""

__all__ = ["FormatError", "shown"]

LONGEST = 600


class FormatError(ValueError):
    """What promise broke, where, expected and got, how to go on: one printable line, whatever the file had in it."""

    def __init__(self, message):
        line = " ".join("".join(c if c.isprintable() else " " for c in str(message)).split())
        super().__init__(line if len(line) <= LONGEST else line[: LONGEST - 4] + " ...")


def shown(name, length=80):
    """A name from a file, cut to a length that leaves room for the rest of the line."""
    name = str(name)
    return name if len(name) <= length else name[: length - 3] + "..."
