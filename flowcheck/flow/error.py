"""Error sent back from any vector of a cell at step t to any other at step t-q: net input to net input, output to input."""

import math

import numpy as np

from ..step import Step
from . import lowrank
from .norms import end_and_lags, norm_row, of_one_sequence
from .one_pass import flows_in_one_pass
from .scaled import ROUNDING, Scaled, frobenius

__all__ = ["error_flow", "error_flows", "flow_matrices", "send_back"]


def send_back(trajectory, sender, *, b=0, end=None, cut=(), errors=None):
    """Yield (q, adjoint, exponent, floor) for q = 0, 1, ...: errors sent back from `sender` at step t, at every vector of step t-q.

        adjoint[name][i, j] 2**exponent = d sender_i(t) / d name_j(t-q)

    A vector is perturbed where it is computed, so everything that step t-q makes of it counts. `errors` (rows, units)
    replaces the identity: error vectors to send instead of one per unit. Stops at the start of the sequence.
    """
    end, _ = end_and_lags(trajectory, end, 1)
    step, states = Step(trajectory, cut), trajectory.kernel.states
    seed = np.eye(step.length(sender)) if errors is None else np.atleast_2d(errors)
    scaled = Scaled({sender: seed}, np.random.default_rng(0))
    nets = {n.out.name: n for n in trajectory.kernel.cell.nets if not n.fixed}
    weight_norms = {name: {s: frobenius(w) for s, w in step.live[name].items()} for name in nets}
    for q in range(end + 1):
        adjoint = step.pullback(step.partials_at(end - q, b), dict(scaled.rows))
        yield q, {k: v[:-1] for k, v in adjoint.items()}, scaled.exponent, scaled.floor
        intermediate = sum(frobenius(adjoint[name][:-1]) * w for name, sources in weight_norms.items() if name in adjoint
                           for source, w in sources.items() if source in states)
        intermediate += sum(frobenius(adjoint[old][:-1]) for old in states if old in adjoint)
        scaled.advance({new: adjoint[old] for old, new in states.items() if old in adjoint}, intermediate)
        if not scaled.rows:
            break


def _sent_back_by_loops(trajectory, sender, *, b, end, cut):
    """`send_back` of the identity by the trajectory's compiled loops; previous states are left out."""
    step, states = Step(trajectory, cut), trajectory.kernel.states
    n, rng = step.length(sender), np.random.default_rng(0)
    seed = np.vstack([np.eye(n), rng.normal(size=(1, n)) / math.sqrt(n)])
    weights = {name: sum(frobenius(w) for s, w in live.items() if w is not None and s in states) for name, live in step.live.items()}
    q = floor = 0
    probe = frobenius(seed[-1])
    for found, exponents in trajectory.loops.sent_back(trajectory, sender, seed, b=b, end=end, cut=cut):
        added = sum(weight * _norms_of(found[name][:-1, :-1]) for name, weight in weights.items() if weight)
        added = added + np.sqrt(sum(_norms_of(found[new][1:, :-1])**2 for new in states.values())) * 2.0 ** np.diff(exponents)
        probes = np.sqrt(sum(_norms_of(found[new][1:, -1:])**2 for new in states.values()))
        for k, exponent in enumerate(exponents[:-1].tolist()):
            yield q, {name: m[k, :-1] for name, m in found.items()}, exponent, floor
            shift, now = int(exponents[k + 1]) - exponent, float(probes[k])
            floor = floor * (now / probe if probe > 0 else 0.0) + ROUNDING * math.ldexp(float(added[k]), -shift)
            probe, q = now, q + 1


def _norms_of(matrices):
    """Frobenius norm of each."""
    return np.sqrt(np.einsum("qri,qri->q", matrices, matrices))


def flow_matrices(trajectory, sender, receivers, lags, *, b=0, end=None, cut=()):
    """Yield (q, {receiver: matrix}, exponent, floor) for q = 0 ... lags: d sender(t)/d receiver(t-q) = matrix 2**exponent, [to, from].

    In the paper's terms the transpose is d theta_receiver(t-q)/d theta_sender(t) for nets. Zero where no path is left. Raises
    ValueError for a name that the cell does not have.
    """
    sizes = trajectory.kernel.cell.sizes
    for name in (sender, *receivers):
        if name not in sizes:
            raise ValueError(f"{trajectory.kernel.cell.name} has no vector {name!r}; it has {', '.join(sizes)}")
    end, _ = end_and_lags(trajectory, end, max(lags, 1))
    zeros = {r: np.zeros((trajectory[sender].shape[-1], trajectory[r].shape[-1])) for r in receivers}
    done = -1
    compiled = trajectory.loops is not None and not set(receivers) & set(trajectory.kernel.states)
    for q, adjoint, exponent, floor in (_sent_back_by_loops if compiled else send_back)(trajectory, sender, b=b, end=end, cut=cut):
        if q > lags:
            return
        done = q
        yield q, {r: adjoint.get(r, zeros[r]) for r in receivers}, exponent, floor
    for q in range(done + 1, lags + 1):
        yield q, zeros, 0, 0.0


def error_flows(trajectory, sender, receivers, lags, *, b=0, end=None, cut=(), tail=lowrank.TAIL):
    """{receiver: Flow} of d sender(t)/d receiver(t-q) for q = 1 ... lags, all receivers in one pass, e.g. output y to every net and to x.

        dtheta(t-q)/dtheta(t) = F'(t-q) W^T ... F'(t-1) W^T,   index [v, u]: from unit u at t to unit v at t-q      (3.1)

    Full unless `cut`. log10_norm0 is the norm at lag 0. The last lag is at most the end step. `tail` is as in `state_flow`. Raises
    ValueError where there is no lag.
    """
    end, _ = end_and_lags(trajectory, end, min(int(lags), 1))
    if not end:
        raise ValueError("from step 0 there is no lag back")
    lags = min(int(lags), end)
    found = flows_in_one_pass(trajectory, [(sender, r) for r in receivers], lags, b=b, end=end, cut=cut, tail=tail)
    if found is None:
        measured = _measured_one_by_one(trajectory, sender, receivers, lags, b, end, cut)
    else:
        measured = {r: rows for (_, r), rows in found.items()}
    cut = trajectory.kernel.cell.cut(cut)
    return {r: of_one_sequence(f"{sender} to {r}", cut, rows[1:], math.ldexp(rows[0][0], int(rows[0][3])))
            for r, rows in measured.items() if len(rows) > 1}


def _measured_one_by_one(trajectory, sender, receivers, lags, b, end, cut):
    """{receiver: [(norm, largest entry, floor, exponent) of lags 0, 1, ...]}"""
    measured = {r: [] for r in receivers}
    for _, matrices, exponent, floor in flow_matrices(trajectory, sender, receivers, lags, b=b, end=end, cut=cut):
        for r, matrix in matrices.items():
            measured[r].append(norm_row(matrix, floor, exponent))
    return measured


def error_flow(trajectory, sender, receiver, lags, *, b=0, end=None, cut=(), tail=lowrank.TAIL):
    """The Flow from one vector to one other; see `error_flows`."""
    return error_flows(trajectory, sender, [receiver], lags, b=b, end=end, cut=cut, tail=tail)[receiver]
