"""When a trial has succeeded: the stopping rules of Table 11.

Each is told after every few sequences what the net's errors were, (sequences, 4) as `Online.run` gives them, and says after how many
sequences the task was solved, or None.
"""

import numpy as np

from .reber import SYMBOLS, as_sequences, next_symbols

__all__ = ["Recent", "Streak", "Strings", "Tested", "answers"]

LARGEST, SUMMED, LAST = 0, 1, 3


def answers(net, sequences, tolerance):
    """(number of wrong sequences, mean absolute error) of a net that does not learn meanwhile; errors at the last step."""
    found = net.run(sequences, learn=False)
    return int((found[:, LAST] >= tolerance).sum()), float(found[:, SUMMED].mean() / sequences.target.shape[1])


class Streak:
    """ABS(tolerance): so many successive sequences with all errors below it, while the net learns; solved when they begin."""

    def __init__(self, tolerance, length=10_000, column=LAST):
        self.tolerance, self.length, self.column, self.streak, self.seen = tolerance, length, column, 0, 0

    def solved(self, found, net):
        wrong = np.flatnonzero(~(found[:, self.column] < self.tolerance))
        self.streak = self.streak + len(found) if not len(wrong) else len(found) - 1 - wrong[-1]
        self.seen += len(found)
        return self.seen - self.streak if self.streak >= self.length else None


class Recent:
    """ST3: of the last 2000 sequences at most `wrong` wrong, and the average training error of the last `window` below `mean`."""

    def __init__(self, tolerance, mean, outputs, *, wrong=0, window=2000, length=2000):
        self.tolerance, self.mean, self.wrong, self.outputs = tolerance, mean, wrong, outputs
        self.window, self.length, self.seen = window, length, 0
        self.last, self.average = np.full(length, np.inf), np.full(window, np.inf)

    def solved(self, found, net):
        self.seen += len(found)
        self.last = np.concatenate([self.last, found[:, LAST]])[-self.length:]
        self.average = np.concatenate([self.average, found[:, SUMMED] / self.outputs])[-self.window:]
        right = (~(self.last < self.tolerance)).sum() <= self.wrong
        return self.seen if right and self.average.mean() < self.mean else None


class Tested:
    """ST1, then ST2: at most `wrong` of 256 new sequences wrong; that, and their mean error below `mean`. Looked at after every call.

    `first` is when ST1 was met. A look ends with the first sequences that settle it.
    """

    def __init__(self, draw, tolerance, mean, *, wrong=0, size=256):
        self.draw, self.tolerance, self.mean, self.wrong, self.size = draw, tolerance, mean, wrong, size
        self.first, self.seen = None, 0

    def solved(self, found, net):
        self.seen += len(found)
        wrong, error, part = 0, 0.0, 16
        for _ in range(0, self.size, part):
            some, mean = answers(net, self.draw(part), self.tolerance)
            wrong, error = wrong + some, error + mean * part / self.size
            if wrong > self.wrong or self.first is not None and not error < self.mean:
                return None
        self.first = self.first or self.seen
        return self.seen if error < self.mean else None


class Strings:
    """Experiment 1: for every string of each set, at every step, the possible next symbols' outputs are the most active ones.

    Looked at after every 500 strings.
    """

    def __init__(self, *sets, every=500):
        self.every, self.seen = every, 0
        self.sets = [(as_sequences(strings), _possible(strings)) for strings in sets]

    def solved(self, found, net):
        self.seen += len(found)
        due = self.seen % self.every < len(found)
        return self.seen if due and all(self._right(net.outputs(s), possible) for s, possible in self.sets) else None

    @staticmethod
    def _right(y, possible):
        return bool((np.where(possible, y, np.inf).min(axis=1) > np.where(possible, -np.inf, y).max(axis=1)).all())


def _possible(strings):
    """(steps, 7): which symbols may follow."""
    rows = [allowed for string in strings for allowed in next_symbols(string)]
    return np.array([[symbol in allowed for symbol in SYMBOLS] for allowed in rows])
