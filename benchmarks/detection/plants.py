"""Mistakes to plant in a hand-written backward pass: each local derivative is handed through a Plant, which may spoil the one it is for."""

from dataclasses import dataclass

import numpy as np

__all__ = ["PLAIN", "Plant", "RIGHT", "wanted"]

PLAIN = {"dropped": 0.0, "sign": -1.0, "twice": 2.0, "half": 0.5, "a thousandth more": 1.001}
"""Mistakes that any factor can have."""


@dataclass
class Plant:
    """The mistake `kind` in the term `key`, made at lags >= first, counted from the last step; `steps` is the length.

    Lag of a term is the lag at which its mistake shows: what is handed to the step before shows one lag later.
    """

    key: str = ""
    kind: str = ""
    first: int = 0
    steps: int = 0
    t: int = 0

    def at(self, t):
        """Come to step t of the backward pass."""
        global WANTED
        self.t, WANTED = t, RECORD is not None or bool(self.key) and self.steps - t >= self.first

    def __call__(self, key, right, delay=0, **others):
        """The right value, or the wrong one. `others` are the wrong values that this term has beyond the plain ones."""
        if RECORD is not None:
            RECORD.setdefault(key, set()).update([*PLAIN, *others])
        if key != self.key or self.steps - 1 - self.t + delay < self.first:
            return right
        if self.kind in others:
            return others[self.kind]
        return right * PLAIN[self.kind] if self.kind in PLAIN else right


RIGHT = Plant()
RECORD = None
WANTED = True


def wanted():
    """Whether wrong values are of use at this step; a loop over many right steps need not compute them."""
    return WANTED


def kinds_of(backward, *arguments):
    """{term: kinds of mistakes} that a backward pass has places for, found by running it."""
    global RECORD
    RECORD = {}
    backward(*arguments, Plant(steps=np.shape(arguments[1])[0]))
    found, RECORD = RECORD, None
    return found
