"""Loops printed as plain lines of Python, for small nets: there a step costs little but its calls, and such a loop has no others."""

from functools import cache

__all__ = ["Given", "plain_loop"]


@cache
def plain_loop(text):
    """The function `loop` of a printed text, whose names are numbered: it says nothing but what is called in which order."""
    space = {}
    exec(text, space)  # noqa: S102  (our own text)
    return space["loop"]


class Given(list):
    """Objects that are the same at every turn of a loop, which calls them g0, g1 and so on."""

    def name(self, value):
        """What the loop calls one more object."""
        self.append(value)
        return f"g{len(self) - 1}"

    @property
    def names(self):
        return [f"g{k}" for k in range(len(self))]
