"""Matrices that change from step to step, formed from constant weights and slopes: (steps, rows, columns) of a slice of steps.

`at(times)` evaluates one; asked twice for the same steps, once. Slopes are a number, (units,) or (time, units); None is 1.
"""

from functools import cached_property

import numpy as np

__all__ = ["ColumnScaled", "Constant", "Formed", "Gathered", "Pooled", "Product", "Spread", "add_diagonal", "slopes_at"]

_TOGETHER = 4
"""Steps from which on one row-scaled matrix, too, is formed row by row, all steps at once."""


def slopes_at(array, times):
    """The steps of slopes over time, or what does not depend on time as one row."""
    return array[times] if np.ndim(array) == 2 else np.atleast_2d(array)


class _Node:
    """A matrix; its last value is kept."""

    def __init__(self):
        self.times, self.value = None, None

    def at(self, times):
        if self.times != times:
            self.value, self.times = self.evaluate(times), times
        return self.value


class Constant(_Node):
    """W at every step."""

    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def evaluate(self, times):
        return self.matrix[None]


class ColumnScaled(_Node):
    """W diag(d)."""

    def __init__(self, matrix, scale):
        super().__init__()
        self.matrix, self.scale = matrix, scale

    def evaluate(self, times):
        return self.matrix * self.scale[times][:, None]


class Formed(_Node):
    """Sum of row-scaled matrices, terms [(slopes, matrix)], and of a diagonal, slopes whose entry of row i stands in column index[i], or i.
    What does not change with time but for its slopes is summed in one pass: row i of the sum at all steps is

        (scales of row i, steps x k) times (row i of the k matrices, k x columns),   the last of them the diagonal's ones
    """

    def __init__(self, terms, diagonal=None, index=None):
        super().__init__()
        constant = [(s, node.matrix) for s, node in terms if isinstance(node, Constant)]
        self.scales, self.varying = [s for s, _ in constant], [(s, n) for s, n in terms if not isinstance(n, Constant)]
        self.stack = np.stack([m for _, m in constant], axis=1) if constant else None
        self.diagonal, self.index = diagonal, index

    @cached_property
    def padded(self):
        """The stack and the diagonal's ones; a term of zeros where there is but one: NumPy leaves no product over one term to BLAS."""
        if self.diagonal is not None:
            ones = np.zeros_like(self.stack[:, :1])
            rows = np.arange(len(ones))
            ones[rows, 0, rows if self.index is None else self.index] = 1.0
            return np.concatenate([self.stack, ones], axis=1)
        return np.concatenate([self.stack, np.zeros_like(self.stack)], axis=1) if self.stack.shape[1] == 1 else self.stack

    def constant_norms(self):
        """Frobenius norm of each row-scaled matrix that does not change but for its scale, over all steps."""
        found = []
        for k, scale in enumerate(self.scales):
            squares = np.einsum("rc,rc->r", self.stack[:, k], self.stack[:, k])
            scale = np.broadcast_to(1.0 if scale is None else scale, np.shape(scale)[:-1] + squares.shape)
            found.append(np.sqrt(np.square(scale) @ squares))
        return found

    def evaluate(self, times):
        node = None if self.stack is not None else self.varying[0][1].at(times)
        rows, columns = node.shape[1:] if self.stack is None else self.stack.shape[::2]
        out = np.empty((times.stop - times.start, rows, columns))
        self.write(times, out)
        return out

    def write(self, times, out):
        """Write the steps of a slice into `out` (steps, rows, columns)."""
        varying, diagonal = self.varying, self.diagonal
        if len(self.scales) == 1 and len(out) < _TOGETHER:
            np.multiply(self.stack[:, 0], _column(self.scales[0], times), out=out)
        elif self.scales:
            scales = np.zeros((out.shape[1], len(out), self.padded.shape[1]))
            for k, scale in enumerate(self.scales if diagonal is None else [*self.scales, diagonal]):
                scales[:, :, k] = slopes_at(1.0 if scale is None else scale, times).T
            np.matmul(scales, self.padded, out=out.swapaxes(0, 1))
            diagonal = None
        else:
            (scale, node), *varying = varying
            np.multiply(node.at(times), _column(scale, times), out=out)
        for scale, node in varying:
            out += node.at(times) * _column(scale, times)
        if diagonal is not None:
            add_diagonal(out, diagonal, self.index, times)


def add_diagonal(out, diagonal, index, times):
    """Add a diagonal, whose entry of row i stands in column index[i], or i, to matrices (steps, rows, columns)."""
    rows = np.arange(out.shape[1])
    out[:, rows, rows if index is None else index] += slopes_at(diagonal, times)


class Product(_Node):
    """W times a matrix."""

    def __init__(self, matrix, node):
        super().__init__()
        self.matrix, self.node = matrix, node

    def evaluate(self, times):
        return np.matmul(self.matrix, self.node.at(times))


class Gathered(_Node):
    """Rows of a matrix, repeated by an index."""

    def __init__(self, node, index):
        super().__init__()
        self.node, self.index = node, index

    def evaluate(self, times):
        return self.node.at(times)[:, self.index]


class Pooled(_Node):
    """Sums of the rows of a matrix."""

    def __init__(self, node, fixed):
        super().__init__()
        self.node, self.fixed = node, fixed

    def evaluate(self, times):
        return self.fixed.total(self.node.at(times).swapaxes(1, 2)).swapaxes(1, 2)


class Spread(_Node):
    """The matrix whose row i has its only entry, diagonal[i], in column index[i]."""

    def __init__(self, diagonal, index, columns):
        super().__init__()
        self.diagonal, self.index, self.columns = diagonal, index, columns

    def evaluate(self, times):
        matrix = np.zeros((times.stop - times.start, len(self.index), self.columns))
        matrix[:, np.arange(len(self.index)), self.index] = slopes_at(self.diagonal, times)
        return matrix


def _column(scale, times):
    return 1.0 if scale is None else scale if np.ndim(scale) == 0 else slopes_at(scale, times)[:, :, None]
