"""Loops printed as plain lines of Python, for small nets: there a step costs little but its calls, and such a loop has no others."""

from functools import cache

__all__ = ["plain_loop"]


@cache
def plain_loop(text):
    """The function `loop` of a printed text, whose names are numbered: it says nothing but what is called in which order."""
    space = {}
    exec(text, space)  # noqa: S102  (our own text)
    return space["loop"]
