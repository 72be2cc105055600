"""The step Jacobian of a cell, block by block: each block a diagonal plus a dense part.

Which weights reach a state, and through which slopes, is worked out once per trajectory, with the slopes of all steps at once; steps are
then formed a few at a time (`formed`), written into buffers that are used again.
"""

from dataclasses import dataclass

import numpy as np

from .equations import Net
from .formed import ColumnScaled, Constant, Formed, Gathered, Pooled, Product, Spread, add_diagonal, slopes_at

__all__ = ["Block", "Dense", "StepJacobian"]


class StepJacobian:
    """J(t) = d state(t)/d state(t-1) along one sequence, index [to, from].

    `at(t)` gives {(new state, previous state): Block}; zero blocks are left out. `entries` are the same over all steps; `Dense` forms
    many steps at once. With `factored`, new states that others of the same step are pointwise formulas of (an LSTM's y(t) of s(t)) are
    a factor of their own, and `entries` leave out the paths through them:

        J(t) = within(t) entries(t),   within[A, B] = d A(t)/d B(t), a diagonal; their order is that in which errors pass them
    """

    def __init__(self, step, b=0, factored=False):
        self.step = step
        self.slopes = {k: v if isinstance(v, float) else v[:, b] for k, v in step.trajectory.partials.items()}
        self.entries, self.within, self._formed = {}, {}, {}
        states = step.kernel.states
        computed = [e.out.name for e in step.kernel.cell.equations if e.out.name in states.values()] if factored else []
        for new in reversed(computed):
            found = self._known(new, self.passed)
            reached = {(other, new): found[other] for other in computed if other != new and other in found}
            if reached and all(not e.terms and e.index is None for e in reached.values()):
                self.within |= {pair: e.diagonal for pair, e in reached.items()}
        for old in states:
            known = self._known(old, self.passed)
            self.entries |= {(new, old): known[new] for new in states.values() if new in known}

    @property
    def passed(self):
        """New states whose effect on others of the same step is in `within`."""
        return {new for _, new in self.within}

    def _known(self, seed, ends):
        """{vector: _Entry} of the derivatives by `seed` within one step, by no path through `ends`."""
        known, kernel = {seed: _Entry(1.0)}, self.step.kernel
        for equation in kernel.cell.equations:
            name = equation.out.name
            if isinstance(equation, Net):
                pieces = [self._through_net(equation, w, known[s], seed) for s, w in self.step.live[name].items()
                          if s in known and s not in ends]
            else:
                pieces = [known[a].scaled(self.slopes[name, a]) for a in kernel.units[name].args
                          if a in known and a not in ends and (name, a) in self.slopes]
            if pieces:
                known[name] = _summed(pieces)
        return known

    def _through_net(self, net, w, entry, old):
        if net.fixed:
            fixed = self.step.maps[net.out.name]
            return entry.gathered(fixed.index) if net.kind == "shared" else entry.pooled(fixed, self.step.length(old))
        return entry.scaled(w) if net.kind == "diagonal" else entry.multiplied(w, self.step.length(old))

    def at(self, t):
        """{(new state, previous state): Block} of step t."""
        found = {}
        for (new, old), entry in self.entries.items():
            dense = None
            if entry.terms:
                formed = self._formed.setdefault((new, old), Formed(entry.terms))
                dense = formed.at(slice(t, t + 1))[0]
            diagonal = None if entry.diagonal is None else np.broadcast_to(slopes_at(entry.diagonal, slice(t, t + 1)),
                                                                           (1, self.step.length(new)))[0]
            found[new, old] = Block(diagonal, dense, entry.index)
        return found


_CACHED, _STEPS, _BYTES = 3 * 2**17, 8, 2**23
"""Bytes of step Jacobians that are best formed together; and steps of larger ones, and their bytes at most: more would leave the level-3
cache, or gain nothing."""


class Dense:
    """Some new states' rows of J(t) by one previous state, stacked into one dense matrix per step: diagonals are folded in.

    bounds   (time,) upper bounds of its Frobenius norm, None where a matrix that changes with time takes part
    """

    def __init__(self, entries, lengths, columns, trajectory):
        self.shape, self.parts, self.buffer = (sum(lengths), columns), [], None
        start = 0
        for entry, length in zip(entries, lengths, strict=True):
            formed = Formed(entry.terms, entry.diagonal, entry.index) if entry.terms else None
            self.parts.append((slice(start, start + length), entry, formed))
            start += length
        self.bounds = self._bounds(trajectory.steps)

    def _bounds(self, steps):
        if any(formed is not None and formed.varying for *_, formed in self.parts):
            return None
        squares = np.zeros(steps)
        for rows, entry, formed in self.parts:
            norms = [] if formed is None else formed.constant_norms()
            if entry.diagonal is not None:
                norms.append(np.sqrt(np.sum(np.square(np.broadcast_to(entry.diagonal, (*np.shape(entry.diagonal)[:-1],
                                                                                       rows.stop - rows.start))), axis=-1)))
            squares += sum(norms) ** 2
        return np.sqrt(squares)

    @property
    def steps_together(self):
        """How many steps are best formed at a time."""
        size = 8 * self.shape[0] * self.shape[1]
        return max(1, _CACHED // size, min(_STEPS, _BYTES // size))

    def pieces(self):
        """[(rows, k scales, constant matrices (rows, k, columns), diagonal)] that each step is the sum of; None where a matrix changes with
        time but for its scale, or a diagonal is spread. What is missing is None."""
        if any(entry.index is not None or formed is not None and formed.varying for _, entry, formed in self.parts):
            return None
        return [(rows, formed.scales, formed.stack, entry.diagonal) if formed else (rows, [], None, entry.diagonal)
                for rows, entry, formed in self.parts]

    @property
    def row_scaled(self):
        """(scale, W) where every step is diag(scale(t)) W with one and the same W; None elsewhere. The scale is as in `StepJacobian`."""
        (_, entry, formed), *others = self.parts
        if others or formed is None or entry.diagonal is not None or formed.varying or len(formed.scales) != 1:
            return None
        return formed.scales[0], formed.stack[:, 0]

    def at(self, times):
        """(steps, rows, columns) of the steps in a slice; overwritten by the next call."""
        steps = times.stop - times.start
        if self.buffer is None or len(self.buffer) < steps:
            self.buffer = np.zeros((steps, *self.shape))
        for rows, entry, formed in self.parts:
            block = self.buffer[:steps, rows]
            if formed is None:
                block[...] = 0.0
                add_diagonal(block, entry.diagonal, entry.index, times)
            else:
                formed.write(times, block)
        return self.buffer[:steps]


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
            terms.append((None, Constant(w * self.diagonal) if constant else ColumnScaled(w, self.diagonal)))
        elif self.diagonal is not None:
            terms.append((None, Product(w, Spread(self.diagonal, self.index, columns))))
        if self.terms:
            terms.append((None, Product(w, Formed(self.terms))))
        return _Entry(None, terms)

    def gathered(self, index):
        """Row i of the result is row index[i] of this."""
        diagonal = self.diagonal[..., index] if np.ndim(self.diagonal) else self.diagonal
        columns = None if self.diagonal is None else index if self.index is None else self.index[index]
        if columns is not None and np.array_equal(columns, np.arange(len(columns))):
            columns = None
        terms = [(s[..., index] if np.ndim(s) else s,
                  Constant(node.matrix[index]) if isinstance(node, Constant) else Gathered(node, index)) for s, node in self.terms]
        return _Entry(diagonal, terms, columns)

    def pooled(self, fixed, columns):
        """Row i of the result is the sum of the rows k with fixed.index[k] = i of this."""
        terms = list(self.terms)
        if self.diagonal is not None:
            terms.append((None, Spread(self.diagonal, np.arange(columns) if self.index is None else self.index, columns)))
        return _Entry(None, [(None, Pooled(Formed(terms), fixed))])


def _summed(entries):
    """Sum of entries. Two lengths have at most one fixed map between them, so all diagonal parts have one index."""
    diagonals, scales = [e for e in entries if e.diagonal is not None], {}
    for scale, node in (term for e in entries for term in e.terms):  # a matrix reached by several paths counts once
        scale = 1.0 if scale is None else scale
        scales[id(node)] = (scales[id(node)][0] + scale, node) if id(node) in scales else (scale, node)
    terms = [*scales.values()]
    if not diagonals:
        return _Entry(None, terms)
    return _Entry(sum(e.diagonal for e in diagonals[1:]) + diagonals[0].diagonal, terms, diagonals[0].index)


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
