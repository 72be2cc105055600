"""Rows of errors sent back through many steps: no Jacobian is formed, all pointwise slopes of a step are multiplied beforehand.

Where nets read nothing but inputs and previous states (any LSTM or GRU of today) a step is one product of the rows with all slopes and one
with all recurrent weights. Other cells go through `Step.pullback`, equation by equation.
"""

from copy import copy
from functools import cache

import numpy as np
from sympy import sympify

from .. import symbolic
from ..equations import Net
from ..memory import stacked

__all__ = ["RowProduct", "pointwise_slopes", "rows_before", "weights_norm"]

_FEW = 4
"""Rows up to which BLAS is faster with one product of a vector for each than with one matrix product, which repacks the weights."""


class RowProduct:
    """rows @ J(t) @ J(t-1) ... for a few rows of errors at the joint state, along one sequence.

    bounds   (steps,) an upper bound of the norm of J(t), for the rounding floor
    """

    def __init__(self, step, b=0):
        self.step, self.b, self.products = step, b, step.trajectory.products
        self.columns, self.slopes, self.formulas = step.columns, None, None
        self.size = max(cols.stop for cols in self.columns.values())
        if step.trajectory.evaluated is not None:
            self.slopes = self.formulas = slope_formulas(step)
        if self.slopes is None:
            self.slopes = pointwise_slopes(step, b)
        if self.slopes is not None:
            self._arrange(step.length(next(iter(self.columns))))
        self._bring_slopes()

    def along(self, trajectory):
        """The same along another trajectory with the same weights, which are arranged once."""
        other = copy(self)
        other.step = self.step.along(trajectory)
        other.slopes = None if self.slopes is None else pointwise_slopes(other.step, self.b)
        other._bring_slopes()
        return other

    def _arrange(self, n):
        """The weights of the roots: of the nets that read previous states, and 1 for the previous states themselves."""
        states, nets = self.step.kernel.states, []
        for net, live in self.step.live.items():
            if any((new, net) in self.slopes for new in self.columns) and any(old in live for old in states):
                nets.append(net)
        direct = [old for old in states if any((new, old) in self.slopes for new in self.columns)]
        self.roots, self.parts, self.arranged = [*nets, *direct], [], {}
        for old, new in states.items():
            readers = [k for k, net in enumerate(nets) if old in self.step.live[net]]
            if readers:
                first, last = readers[0], readers[-1] + 1
                w = [self.step.live[net].get(old, np.zeros((n, n))) for net in nets[first:last]]
                self.parts.append((self.columns[new], slice(first * n, last * n), w))
        self.direct = [(self.columns[states[old]], slice((len(nets) + k) * n, (len(nets) + k + 1) * n)) for k, old in enumerate(direct)]
        if self.products is not None:
            self.sent_back = self.products.rows(self._weights("C"), self.direct)
        by_net = [np.sqrt(sum(float(np.vdot(w, w)) for w in (self.step.live[net].get(old) for old in states) if w is not None))
                  for net in nets]
        self.norms = np.array([*by_net, *(1.0 for _ in direct)])

    def _weights(self, order):
        """[(columns of the joint state, columns of the errors, weights)], in one order in memory."""
        if order not in self.arranged:
            self.arranged[order] = [(cols, read, stacked(w, order)) for cols, read, w in self.parts]
        return self.arranged[order]

    def _bring_slopes(self):
        """all_slopes[t, new, root]: d new / d root at all steps."""
        steps = self.step.trajectory.steps
        if self.slopes is None:
            self.bounds = np.full(steps, weights_norm(self.step))
            return
        if self.formulas is not None and self.roots:
            table = [[self.formulas.get((new, root), 0.0) for root in self.roots] for new in self.columns]
            self.all_slopes, largest = self.step.trajectory.evaluated(self.b, table)
            self.bounds = largest @ self.norms
            return
        n = self.step.length(next(iter(self.columns)))
        self.all_slopes = np.empty((steps, len(self.columns), len(self.roots), n))
        for i, new in enumerate(self.columns):
            for j, root in enumerate(self.roots):
                self.all_slopes[:, i, j] = self.slopes.get((new, root), 0.0)
        largest = np.sqrt(np.einsum("tijn,tijn->tjn", self.all_slopes, self.all_slopes).max(axis=2)) if self.roots else np.zeros((steps, 0))
        self.bounds = largest @ self.norms

    def back(self, rows, end, lags):
        """(lags, k, joint state): rows @ J(end) ... J(end-q+1) for q = 1 ... lags; `rows` is (k, joint state)."""
        out = np.zeros((lags, *rows.shape))
        if self.slopes is None:
            for q in range(lags):
                rows = out[q] = rows_before(self.step, end - q, self.b, {new: rows[:, cols] for new, cols in self.columns.items()})
            return out
        if self.products is not None:
            self.sent_back(rows, end, self.all_slopes, out)
            return out
        k, (_, news, roots, n) = len(rows), self.all_slopes.shape
        weights = self._weights("C" if k <= _FEW else "F")  # AVX2 kernels take four thirds of the time for many rows of the other order
        if k == news == roots == 1 and weights:  # a vector times diag(slope) W: two calls a step
            (_, _, w), errors = weights[0], np.empty(rows.shape)
            for slope, after in zip(self.all_slopes[end - lags + 1:end + 1, 0][::-1], out, strict=True):
                rows = np.multiply(rows, slope, errors).dot(w, after)
            return out
        work, errors = np.empty((k, news, roots, n)), np.empty((k, roots, n))
        flat = errors.reshape(k, roots * n)
        one_by_one = (slice(None), None) if 1 < k <= _FEW else (slice(None),)  # k products of a vector, or one of a matrix
        product = np.ndarray.dot if k == 1 else np.matmul  # which takes a microsecond longer
        products = [(flat[*one_by_one, read], w, out[:, *one_by_one, cols]) for cols, read, w in weights]
        direct = [(flat[:, read], out[:, :, cols]) for cols, read in self.direct]
        here, states = rows.reshape(k, news, 1, n), out.reshape(lags, k, news, 1, n)
        if news == 1:
            here, states, work, slopes = here[:, 0], states[:, :, 0], errors, self.all_slopes[:, 0]
        else:
            slopes = self.all_slopes
        sums = [(errors if new > 1 else work[:, 0], work[:, new]) for new in range(1, news)]  # `reduce` takes some microseconds longer
        for q in range(lags):
            np.multiply(here, slopes[end - q], out=work)
            for one, other in sums:
                np.add(one, other, out=errors)
            for read, w, into in products:
                product(read, w, into[q])
            for read, into in direct:
                into[q] += read
            here = states[q]
        return out


def rows_before(step, t, b, errors):
    """(k, joint state): `errors` {vector: (k, units)} at vectors of step t, sent back to state(t-1)."""
    adjoint, k = step.pullback(step.partials_at(t, b), dict(errors)), len(next(iter(errors.values())))
    return np.concatenate([adjoint.get(old, np.zeros((k, step.length(old)))) for old in step.kernel.states], axis=1)


def pointwise_slopes(step, b, every_net=False):
    """{(new state, root): d new / d root, (steps, units) or a number} by pointwise paths; None where a dense net reads what nets have made.

    Roots are the previous states and the dense nets that read them; with `every_net`, all nets.
    """
    if not _of_one_length(step):
        return None
    partials = {key: v if isinstance(v, float) else v[:, b] for key, v in step.trajectory.partials.items()}
    return _multiplied(step.kernel, step.live, partials, every_net)


def slope_formulas(step):
    """The same as formulas in the vectors of a step; None also where weights or inputs take part in them."""
    return _formulas(step.kernel, step.cut) if _of_one_length(step) else None


@cache
def _formulas(kernel, cut):
    cell = kernel.cell
    if any(net.kind == "diagonal" for net in cell.nets):
        return None
    cut = {(edge.net, edge.source) for edge in cut}
    live = {net.out.name: {s.name: None for s in net.sources if (net.out.name, s.name) not in cut} for net in cell.nets}
    formulas = _multiplied(kernel, live, {(u.out.name, s.name): d for u in cell.units for s, d in symbolic.partials(u).items()})
    inputs = set(cell.inputs)
    return None if formulas is None or any(inputs & sympify(f).free_symbols for f in formulas.values()) else formulas


def _needed(kernel, live):
    """The equations that the new states are made of: an output that is no state does not matter."""
    needed = set(kernel.states.values())
    for equation in reversed(kernel.cell.equations):
        if equation.out.name in needed:
            needed |= live[equation.out.name].keys() if isinstance(equation, Net) else set(kernel.units[equation.out.name].args)
    return [e for e in kernel.cell.equations if e.out.name in needed]


def _of_one_length(step):
    return len({step.length(e.out.name) for e in _needed(step.kernel, step.live)}) == 1


def _multiplied(kernel, live_of, partials, every_net=False):
    """{(new state, root): sum over paths of the products of `partials`}, see `pointwise_slopes`."""
    known = {old: {old: 1.0} for old in kernel.states}  # vector: {root: its derivative}
    for equation in _needed(kernel, live_of):
        name, found = equation.out.name, {}
        if isinstance(equation, Net):
            live = live_of[name]
            if equation.kind not in ("dense", "diagonal"):
                return None
            if equation.kind == "dense":
                if any(s in known and s not in kernel.states for s in live):
                    return None
                pieces, root = {}, every_net or any(s in kernel.states for s in live)
            else:
                pieces, root = live, every_net
            if root:
                found[name] = 1.0
        else:
            pieces = {a: partials.get((name, a), 0.0) for a in kernel.units[name].args}
        for source, slope in pieces.items():
            for root, derivative in known.get(source, {}).items():
                found[root] = found.get(root, 0.0) + slope * derivative
        known[name] = found
    return {(new, root): v for new in kernel.states.values() for root, v in known[new].items()}


def weights_norm(step):
    """A generous bound of the norm of any J(t) where slopes are not collapsed: 1 plus all recurrent weights."""
    return 1.0 + sum(float(np.linalg.norm(w)) for live in step.live.values() for s, w in live.items() if w is not None
                     and s not in step.trajectory.inputs)
