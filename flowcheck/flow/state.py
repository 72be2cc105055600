"""Flow from state to state per lag: the product of the step Jacobians, from a fixed end backwards or from a fixed start forwards."""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from ..step import Step
from ..threads import one_blas_thread
from . import lowrank
from .norms import end_and_lags, norm_row, of_one_sequence
from .product import StateProduct, identity, units_apart
from .scaled import Scaled, frobenius
from .shared import SharedProduct, joined, worth_sharing

__all__ = ["forward_flow", "path_flows", "state_flow", "state_matrices"]


def state_matrices(trajectory, lags, *, b=0, end=None, cut=()):
    """Yield (q, {(state, earlier state): d state(t)/d state(t-q)}, exponent, floor) for q = 1 ... lags; times 2**exponent.

        d state(t)/d state(t-q) = J(t) J(t-1) ... J(t-q+1),   index [to, from]

    The states are separate nodes: an LSTM's y(t) and s(t) both carry error on, and s -> y within step t-q is not counted.
    The matrices are overwritten by the next but one lag: copy what you keep.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    product = StateProduct(Step(trajectory, cut), b, end, lags)
    for chunk in product.chunks():
        for k, (matrix, floor) in enumerate(zip(chunk.matrices, chunk.floors, strict=True)):
            found = {(to, source): matrix[rows, cols] for source, cols in product.columns.items() for to, rows in product.columns.items()}
            yield chunk.first + k, found, chunk.exponent, floor


def _identity(rows_of):
    n = max(rows.stop for rows in rows_of.values())
    return {name: np.eye(n)[:, rows] for name, rows in rows_of.items()}


def state_flow(trajectory, lags, *, b=0, end=None, cut=(), state=None, threads=1, tail=lowrank.TAIL):
    """Norms of d state(t)/d state(t-q), q = 1 ... lags, of the joint state, or of one state to itself (`state="s"`).

    Frobenius norm; the identity of n units has norm sqrt n. Full unless `cut`. t is the last step unless `end`.
    Rows of the product know nothing of each other, so `threads` share them out, each with one BLAS thread and no waiting per lag; as many
    of the threads as the rows are worth.

    In a joint state of 64 entries or more directions whose flow has fallen behind are left out (`lowrank`): together at most `tail` times
    the norm of the whole, unless they grow back to more than 30 times that. Norms are right to 1e-12 by default; the largest entry is not
    known from there on, log10_entry is nan. 0 leaves nothing out.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    step = Step(trajectory, cut)
    rows_of = step.columns
    size = max(r.stop for r in rows_of.values())
    if state is not None and state not in rows_of:
        raise ValueError(f"{trajectory.kernel.cell.name} has no state {state!r}; it has {', '.join(rows_of)}")
    rows = slice(0, size) if state is None else rows_of[state]
    n, kept = rows.stop - rows.start, state is not None
    threads = 1 if units_apart(step) else min(max(int(threads), 1), n)
    if lowrank.pays(size, tail):
        threads = worth_sharing(threads, n, max(r.stop - r.start for r in rows_of.values()))
    edges = np.linspace(rows.start, rows.stop, threads + 1).round().astype(int).tolist()
    parts = [identity(step, slice(*pair)) for pair in zip(edges[:-1], edges[1:], strict=True)]
    makes = [partial(StateProduct, step, b, end, lags, part, kept) for part in parts]
    measured = partial(_profile, cols=rows if kept else None, tail=tail)
    if len(makes) == 1:
        whole = measured(makes[0])
    else:
        with one_blas_thread(), ThreadPoolExecutor(len(makes)) as pool:
            whole = joined(list(pool.map(measured, makes))) if kept else measured(partial(SharedProduct, makes, pool))
    quantity = "state-to-state" if state is None else f"state-to-state {state}<-{state}"
    return of_one_sequence(quantity, step.cut, whole, math.sqrt(n))


def path_flows(trajectory, lags, *, b=0, end=None, cut=()):
    """{(state, earlier state): Flow} of every block of d state(t)/d state(t-q), q = 1 ... lags, in one pass: who reaches whom.

    Frobenius norms; their squares add up to that of the joint state. Full unless `cut`.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    step = Step(trajectory, cut)
    product = StateProduct(step, b, end, lags)
    measured = {(to, source): [] for to in product.columns for source in product.columns}
    for chunk in product.chunks():
        for (to, source), found in measured.items():
            blocks = chunk.matrices[:, product.columns[to], product.columns[source]]
            found += [norm_row(m, floor, chunk.exponent) for m, floor in zip(blocks, chunk.floors, strict=True)]
    norm0 = {(to, source): math.sqrt(step.length(to)) if to == source else 0.0 for to, source in measured}
    return {(to, source): of_one_sequence(f"state-to-state {to}<-{source}", step.cut, found, norm0[to, source])
            for (to, source), found in measured.items()}


def _profile(make, cols, tail):
    """(lags, 4): norm, largest entry, floor, exponent."""
    def measure(chunk):
        if cols is None:
            return chunk.measured, chunk.ratio
        norms, entries, ratio = chunk.measure(chunk.matrices[:, :, cols])
        return np.stack([norms, entries, chunk.floors, np.full(len(norms), chunk.exponent, float)], axis=1), ratio

    return np.concatenate(list(lowrank.measured(make, tail, measure)))


def forward_flow(trajectory, lags, *, b=0, start=0, cut=()):
    """Norms of d state(t0+q)/d state(t0), q = 1 ... lags, from a fixed start t0, carried forward as RTRL does.

        S(t) = J(t) S(t-1),   S(t0) = identity

    Frobenius norm, full unless `cut`. At q = the whole sequence it equals `state_flow` from the last step.
    """
    if lags < 1 or start < 0 or start + lags >= trajectory.steps:
        raise ValueError(f"{lags} lags forward from step {start} need {start + lags + 1} steps; the sequence has {trajectory.steps}")
    step, states = Step(trajectory, cut), trajectory.kernel.states
    rows_of, measured = step.columns, []
    scaled = Scaled(_identity(rows_of), np.random.default_rng(0))
    for t in range(start + 1, start + lags + 1):
        tangent = step.pushforward(step.partials_at(t, b), {old: scaled.rows[new] for old, new in states.items()})
        intermediate = sum(frobenius(tangent[u.out.name][:-1]) for u in trajectory.kernel.cell.units if u.out.name in tangent)
        scaled.advance({new: tangent.get(new, np.zeros_like(scaled.rows[new])) for new in rows_of}, intermediate)
        measured.append(scaled.measured)
    return of_one_sequence("state-to-state", trajectory.kernel.cell.cut(cut), measured, math.sqrt(max(r.stop for r in rows_of.values())))
