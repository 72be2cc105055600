"""The step Jacobian of a cell, block by block: each block a diagonal plus a dense part.

Which weights reach a state, and through which slopes, is worked out once per trajectory, with the slopes of all steps at once; a step
then costs the scaled sums of its weights (five n x n sums for an LSTM), written into buffers that are used again.
"""

from dataclasses import dataclass

import numpy as np

from .equations import Net

__all__ = ["Block", "StepJacobian"]


class StepJacobian:
    """J(t) = d state(t)/d state(t-1) along one sequence, index [to, from].

    `at(t)` gives {(new state, previous state): Block}; zero blocks are left out. Its dense parts are overwritten by the next call.
    """

    def __init__(self, step, b=0):
        self.step, kernel = step, step.kernel
        slopes = {k: v if isinstance(v, float) else v[:, b] for k, v in step.trajectory.partials.items()}
        new_states, self.entries = set(kernel.states.values()), {}
        for old in kernel.states:
            known = {old: _Entry(1.0)}
            for equation in kernel.cell.equations:
                name = equation.out.name
                if isinstance(equation, Net):
                    pieces = [self._through_net(equation, w, known[s], old) for s, w in step.live[name].items() if s in known]
                else:
                    pieces = [known[a].scaled(slopes[name, a]) for a in kernel.units[name].args if a in known and (name, a) in slopes]
                if pieces:
                    known[name] = _summed(pieces)
                    if name in new_states and known[name].terms:
                        known[name] = _Entry(known[name].diagonal, [(None, _Formed(known[name].terms))], known[name].index)
            self.entries |= {(new, old): known[new] for new in kernel.states.values() if new in known}

    def _through_net(self, net, w, entry, old):
        if net.fixed:
            fixed = self.step.maps[net.out.name]
            return entry.gathered(fixed.index) if net.kind == "shared" else entry.pooled(fixed, self.step.length(old))
        return entry.scaled(w) if net.kind == "diagonal" else entry.multiplied(w, self.step.length(old))

    def at(self, t):
        """{(new state, previous state): Block} of step t."""
        return {
            (new, old): Block(self._diagonal(entry, t, new), entry.terms[0][1].at(t) if entry.terms else None, entry.index)
            for (new, old), entry in self.entries.items()
        }

    def _diagonal(self, entry, t, new):
        if entry.diagonal is None:
            return None
        return np.full(self.step.length(new), entry.diagonal) if isinstance(entry.diagonal, float) else _row(entry.diagonal, t)


def _row(array, t):
    """Step t of slopes over time, or what does not depend on time."""
    return array[t] if np.ndim(array) == 2 else array


class _Entry:
    """A derivative over all steps: a diagonal (number, (units,) or (time, units)) plus row-scaled matrices [(scale, node)].

    With an index, row i of the diagonal part has its entry in column index[i].
    """

    def __init__(self, diagonal=None, terms=(), index=None):
        self.diagonal, self.terms, self.index = diagonal, list(terms), index

    def scaled(self, scale):
        """diag(scale) times this."""
        if isinstance(scale, float) and scale == 1.0:
            return self
        diagonal = None if self.diagonal is None else self.diagonal * scale
        return _Entry(diagonal, [(scale if s is None else s * scale, node) for s, node in self.terms], self.index)

    def multiplied(self, w, columns):
        """W times this."""
        terms = []
        if self.diagonal is not None and self.index is None:
            constant = np.ndim(self.diagonal) < 2
            terms.append((None, _Constant(w * self.diagonal) if constant else _ColumnScaled(w, self.diagonal)))
        elif self.diagonal is not None:
            terms.append((None, _Product(w, _Spread(self.diagonal, self.index, columns))))
        if self.terms:
            terms.append((None, _Product(w, _Formed(self.terms))))
        return _Entry(None, terms)

    def gathered(self, index):
        """Row i of the result is row index[i] of this."""
        diagonal = self.diagonal[..., index] if np.ndim(self.diagonal) else self.diagonal
        columns = None if self.diagonal is None else index if self.index is None else self.index[index]
        if columns is not None and np.array_equal(columns, np.arange(len(columns))):
            columns = None
        terms = [(s[..., index] if np.ndim(s) else s, _Gathered(node, index)) for s, node in self.terms]
        return _Entry(diagonal, terms, columns)

    def pooled(self, fixed, columns):
        """Row i of the result is the sum of the rows k with fixed.index[k] = i of this."""
        terms = list(self.terms)
        if self.diagonal is not None:
            diagonal = self.diagonal if np.ndim(self.diagonal) else np.full(len(fixed.index), self.diagonal)
            terms.append((None, _Spread(diagonal, np.arange(columns) if self.index is None else self.index, columns)))
        return _Entry(None, [(None, _Pooled(_Formed(terms), fixed))])


def _summed(entries):
    """Sum of entries. Two lengths have at most one fixed map between them, so all diagonal parts have one index."""
    diagonals, terms = [e for e in entries if e.diagonal is not None], [term for e in entries for term in e.terms]
    if not diagonals:
        return _Entry(None, terms)
    return _Entry(sum(e.diagonal for e in diagonals[1:]) + diagonals[0].diagonal, terms, diagonals[0].index)


# Matrices that are evaluated step by step. One that is asked for twice in a step is evaluated once.


class _Node:
    def __init__(self):
        self.t, self.buffer = None, None

    def at(self, t):
        if self.t != t:
            self.buffer, self.t = self.evaluate(t), t
        return self.buffer


class _Constant(_Node):
    def __init__(self, matrix):
        super().__init__()
        self.matrix = matrix

    def at(self, t):
        return self.matrix


class _ColumnScaled(_Node):
    """W diag(d)."""

    def __init__(self, matrix, scale):
        super().__init__()
        self.matrix, self.scale = matrix, scale

    def evaluate(self, t):
        return np.multiply(self.matrix, self.scale[t], out=self.buffer)


class _Formed(_Node):
    """Sum of row-scaled matrices."""

    def __init__(self, terms):
        super().__init__()
        self.terms, self.work = terms, None

    def evaluate(self, t):
        (scale, node), *others = self.terms
        total = np.multiply(_column(scale, t), node.at(t), out=self.buffer)
        for scale, node in others:
            self.work = np.multiply(_column(scale, t), node.at(t), out=self.work)
            total += self.work
        return total


class _Product(_Node):
    """W times a matrix."""

    def __init__(self, matrix, node):
        super().__init__()
        self.matrix, self.node = matrix, node

    def evaluate(self, t):
        return np.matmul(self.matrix, self.node.at(t), out=self.buffer)


class _Gathered(_Node):
    """Rows of a matrix, repeated by an index."""

    def __init__(self, node, index):
        super().__init__()
        self.node, self.index = node, index

    def evaluate(self, t):
        return self.node.at(t)[self.index]


class _Pooled(_Node):
    """Sums of the rows of a matrix."""

    def __init__(self, node, fixed):
        super().__init__()
        self.node, self.fixed = node, fixed

    def evaluate(self, t):
        return self.fixed.total(self.node.at(t).T).T


class _Spread(_Node):
    """The matrix whose row i has its only entry, diagonal[i], in column index[i]."""

    def __init__(self, diagonal, index, columns):
        super().__init__()
        self.diagonal, self.index, self.columns = diagonal, index, columns

    def evaluate(self, t):
        matrix = np.zeros((len(self.index), self.columns))
        matrix[np.arange(len(self.index)), self.index] = self.diagonal if np.ndim(self.diagonal) == 0 else _row(self.diagonal, t)
        return matrix


def _column(scale, t):
    return 1.0 if scale is None else scale if np.ndim(scale) == 0 else _row(scale, t)[:, None]


@dataclass(frozen=True)
class Block:
    """One block of the step Jacobian: diagonal (row i in column index[i], or i) plus dense; either may be None."""

    diagonal: np.ndarray | None
    dense: np.ndarray | None
    index: np.ndarray | None = None

    def matrix(self, shape):
        """As one dense matrix of its own."""
        total = np.zeros(shape)
        if self.diagonal is not None:
            rows = np.arange(len(self.diagonal))
            total[rows, rows if self.index is None else self.index] += self.diagonal
        return total if self.dense is None else total + self.dense

    def norm_bound(self):
        """An upper bound of the spectral norm: largest |diagonal entry| plus the Frobenius norm of the dense part."""
        bound = 0.0
        if self.diagonal is not None:
            bound += np.abs(self.diagonal).max() * (1 if self.index is None else np.sqrt(len(self.diagonal)))
        if self.dense is not None:
            dense = self.dense.ravel()
            bound += float(np.sqrt(dense @ dense))
        return bound

    def rows_times(self, rows, out, work, *, add):
        """Write rows @ this into `out`, or add it; `work` has the shape of `out` and is overwritten."""
        if self.dense is not None:
            np.matmul(rows, self.dense, out=work if add else out)
            if add:
                out += work
            add = True
        if self.diagonal is not None and self.index is None:
            np.multiply(rows, self.diagonal, out=work if add else out)
            if add:
                out += work
        elif self.diagonal is not None:
            if not add:
                out[...] = 0.0
            np.add.at(out, (..., self.index), rows * self.diagonal)
