"""Sequences for training, one after the other in flat arrays."""

from dataclasses import dataclass

import numpy as np

__all__ = ["Sequences", "join"]


@dataclass(frozen=True)
class Sequences:
    """x (steps, inputs), or (steps,) numbers of the one entry of one-hot inputs; sequence n is x[starts[n]:starts[n + 1]].

    target (steps, outputs); has_target (steps,) says where errors occur.
    """

    starts: np.ndarray
    x: np.ndarray
    target: np.ndarray
    has_target: np.ndarray

    def __len__(self):
        return len(self.starts) - 1

    @property
    def lengths(self):
        return np.diff(self.starts)

    @property
    def final(self):
        """Targets at the last step of each sequence."""
        return self.target[self.starts[1:] - 1]

    def take(self, numbers):
        """Sequences of the given numbers, in that order."""
        lengths = self.lengths[numbers]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        steps = np.arange(starts[-1]) + np.repeat(self.starts[numbers] - starts[:-1], lengths)
        return Sequences(starts, self.x[steps], self.target[steps], self.has_target[steps])

    def one(self, n):
        """(x, target, has_target) of one sequence."""
        span = slice(self.starts[n], self.starts[n + 1])
        return self.x[span], self.target[span], self.has_target[span]


def join(lengths, x, final):
    """Sequences of the given lengths with a target at the last step of each."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    target, has_target = np.zeros((starts[-1], np.shape(final)[1])), np.zeros(starts[-1], bool)
    target[starts[1:] - 1], has_target[starts[1:] - 1] = final, True
    return Sequences(starts, x, target, has_target)
