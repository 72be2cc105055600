"""Error flow per lag: how an error at step t is scaled on its way to step t-q, for every lag q, with a log scale.

Chains the linearised steps of a cell from a fixed end time backwards (or from a fixed start forwards). The product is
carried as (matrix, exponent of two), renormalised exactly, so that lag 10,000 neither underflows nor overflows.
Every number is full or truncated and says so; how fast it decays is for `rates`.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from threadpoolctl import threadpool_limits

from . import symbolic
from .product import StateProduct
from .scaled import ROUNDING, Scaled, frobenius, largest_entry
from .step import Step

__all__ = [
    "Flow", "bounded", "bounds", "end_and_lags", "error_flow", "error_flows", "flow_matrices", "forward_flow", "path_flows", "send_back",
    "state_flow", "state_matrices", "usable_lags",
]

@dataclass(frozen=True, repr=False)
class Flow:
    """Norms of one flow over lag, one row per sequence.

    lags         (L,) ints, ascending
    log10_norm   (sequences, L) log10 of the Frobenius norm, -inf where the flow is exactly zero
    log10_entry  (sequences, L) log10 of the largest |entry|
    log10_floor  (sequences, L) log10 of what rounding alone can leave there; a norm below it is not a number to trust
    gradient     "full" or "truncated"
    quantity     what flows where, e.g. "state-to-state"
    """

    quantity: str
    gradient: str
    lags: np.ndarray
    log10_norm: np.ndarray
    log10_entry: np.ndarray
    log10_floor: np.ndarray
    log10_norm0: float = 0.0
    layer: str = ""
    bounds: dict = field(default_factory=dict)

    def __repr__(self):
        where = f"{self.layer}: " if self.layer else ""
        return f"<Flow {where}{self.quantity}, {self.gradient}, {len(self.lags)} lags to {self.lags[-1]}, {len(self.log10_norm)} sequences>"

    @property
    def pooled(self):
        """(L,) mean over sequences of log10 norms (the geometric mean of the norms)."""
        with np.errstate(invalid="ignore"):
            return self.log10_norm.mean(axis=0)

    @property
    def above_floor(self):
        """How many lags, from the first on, stay above the rounding floor in every sequence."""
        below = np.any(~(self.log10_norm > self.log10_floor), axis=0)
        return int(np.argmax(below)) if below.any() else len(self.lags)

    @staticmethod
    def stack(flows):
        """One Flow from flows of single sequences over the same lags."""
        rows = {k: np.concatenate([getattr(f, k) for f in flows]) for k in ("log10_norm", "log10_entry", "log10_floor")}
        bounds = {k: np.max([f.bounds[k] for f in flows], axis=0) for k in flows[0].bounds}
        return replace(flows[0], **rows, bounds=bounds)


def end_and_lags(trajectory, end, lags):
    """(end step, lags) with the last step as default. Raises ValueError for lags that the sequence does not have."""
    end = trajectory.steps - 1 if end is None else end
    if not 0 <= end < trajectory.steps:
        raise ValueError(f"end step {end} is not in 0 ... {trajectory.steps - 1}")
    lags = int(lags)
    if lags < 1 or lags > end + 1:
        raise ValueError(f"{lags} lags back from step {end} need {lags - 1} earlier steps; the sequence has {end}")
    return end, lags


def usable_lags(lags, trajectories):
    """As many of `lags` as the shortest trajectory allows. Its first step is left out: there the initial state's zeros hide paths."""
    return min([lags, *(max(t.steps - 2, 1) for t in trajectories)])


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


def _state_rows(trajectory):
    """{state: slice} of its entries in the joint state."""
    sizes = [trajectory[new].shape[-1] for new in trajectory.kernel.states.values()]
    ends = np.cumsum(sizes).tolist()
    return {new: slice(e - n, e) for new, n, e in zip(trajectory.kernel.states.values(), sizes, ends, strict=True)}


def _identity(rows_of):
    n = max(rows.stop for rows in rows_of.values())
    return {name: np.eye(n)[:, rows] for name, rows in rows_of.items()}


def state_flow(trajectory, lags, *, b=0, end=None, cut=(), state=None, threads=1):
    """Norms of d state(t)/d state(t-q), q = 1 ... lags, of the joint state, or of one state to itself (`state="s"`).

    Frobenius norm; the identity of n units has norm sqrt n. Full unless `cut`. t is the last step unless `end`.
    Rows of the product know nothing of each other, so `threads` share them out, each with one BLAS thread and no waiting per lag.
    """
    end, lags = end_and_lags(trajectory, end, lags)
    step, rows_of = Step(trajectory, cut), _state_rows(trajectory)
    rows = slice(0, max(r.stop for r in rows_of.values())) if state is None else rows_of[state]
    n = rows.stop - rows.start
    edges = np.linspace(rows.start, rows.stop, min(max(int(threads), 1), n) + 1).round().astype(int).tolist()
    products = [StateProduct(step, b, end, lags, slice(*pair)) for pair in zip(edges[:-1], edges[1:], strict=True)]
    if len(products) == 1:
        parts = [_profile(products[0], state)]
    else:
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(len(products)) as pool:
            parts = list(pool.map(_profile, products, [state] * len(products)))
    quantity = "state-to-state" if state is None else f"state-to-state {state}<-{state}"
    return _flow(quantity, step.cut, _joined(parts), math.sqrt(n))


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
            found += [_measured(m, floor, chunk.exponent) for m, floor in zip(blocks, chunk.floors, strict=True)]
    return {(to, source): _flow(f"state-to-state {to}<-{source}", step.cut, found, math.sqrt(step.length(to) if to == source else 0.0))
            for (to, source), found in measured.items()}


def _profile(product, state):
    """(lags, 4): norm, largest entry, floor, exponent."""
    measured = []
    for chunk in product.chunks():
        if state is None:
            measured.append(chunk.measured)
        else:
            measured.append(np.array([_measured(m[:, product.columns[state]], floor, chunk.exponent)
                                      for m, floor in zip(chunk.matrices, chunk.floors, strict=True)], float))
    return np.concatenate(measured)


def _joined(parts):
    """The same of several blocks of rows together, each with its own exponents."""
    if len(parts) == 1:
        return parts[0]
    exponent = np.max([p[:, 3] for p in parts], axis=0)
    norms, entries, floors = (np.array([np.ldexp(p[:, k], (p[:, 3] - exponent).astype(int)) for p in parts]) for k in range(3))
    return np.stack([np.linalg.norm(norms, axis=0), entries.max(axis=0), np.linalg.norm(floors, axis=0), exponent], axis=1)


def forward_flow(trajectory, lags, *, b=0, start=0, cut=()):
    """Norms of d state(t0+q)/d state(t0), q = 1 ... lags, from a fixed start t0, carried forward as RTRL does.

        S(t) = J(t) S(t-1),   S(t0) = identity

    Frobenius norm, full unless `cut`. At q = the whole sequence it equals `state_flow` from the last step.
    """
    if lags < 1 or start < 0 or start + lags >= trajectory.steps:
        raise ValueError(f"{lags} lags forward from step {start} need {start + lags + 1} steps; the sequence has {trajectory.steps}")
    step, states = Step(trajectory, cut), trajectory.kernel.states
    rows_of, measured = _state_rows(trajectory), []
    scaled = Scaled(_identity(rows_of), np.random.default_rng(0))
    for t in range(start + 1, start + lags + 1):
        tangent = step.pushforward(step.partials_at(t, b), {old: scaled.rows[new] for old, new in states.items()})
        intermediate = sum(frobenius(tangent[u.out.name][:-1]) for u in trajectory.kernel.cell.units if u.out.name in tangent)
        scaled.advance({new: tangent.get(new, np.zeros_like(scaled.rows[new])) for new in rows_of}, intermediate)
        measured.append(scaled.measured)
    return _flow("state-to-state", trajectory.kernel.cell.cut(cut), measured, math.sqrt(max(r.stop for r in rows_of.values())))


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


def error_flows(trajectory, sender, receivers, lags, *, b=0, end=None, cut=()):
    """{receiver: Flow} of d sender(t)/d receiver(t-q) for q = 1 ... lags, all receivers in one pass, e.g. output y to every net and to x.

        dtheta(t-q)/dtheta(t) = F'(t-q) W^T ... F'(t-1) W^T,   index [v, u]: from unit u at t to unit v at t-q      (3.1)

    Full unless `cut`. log10_norm0 is the norm at lag 0. The last lag is at most the end step.
    """
    end, _ = end_and_lags(trajectory, end, 1)
    measured = {r: [] for r in receivers}
    for _, matrices, exponent, floor in flow_matrices(trajectory, sender, receivers, min(int(lags), end), b=b, end=end, cut=cut):
        for r, matrix in matrices.items():
            measured[r].append(_measured(matrix, floor, exponent))
    cut = trajectory.kernel.cell.cut(cut)
    return {r: _flow(f"{sender} to {r}", cut, rows[1:], math.ldexp(rows[0][0], rows[0][3]))
            for r, rows in measured.items() if len(rows) > 1}


def error_flow(trajectory, sender, receiver, lags, *, b=0, end=None, cut=()):
    """The Flow from one vector to one other; see `error_flows`."""
    return error_flows(trajectory, sender, [receiver], lags, b=b, end=end, cut=cut)[receiver]


def _measured(matrix, floor, exponent):
    return frobenius(matrix), largest_entry(matrix), floor, exponent


def _flow(quantity, cut, measured, norm0):
    """A Flow of one sequence from (norm, largest entry, floor, exponent) of lags 1, 2, ..."""
    norm, entry, floor, exponent = np.array(measured, float).T
    with np.errstate(divide="ignore"):
        logs = [(np.log10(v) + exponent * np.log10(2.0))[None] for v in (norm, entry, floor)]
        return Flow(quantity, "truncated" if cut else "full", np.arange(1, len(norm) + 1), *logs, float(np.log10(float(norm0))))


def bounded(cell):
    """Whether the bound of section 3.1 is for this cell: y = f(net), net a dense map of y(t-1), and no other way from y(t-1) to y."""
    dense = [net.out.name for net in cell.nets if net.kind == "dense"]
    if len(cell.nets) != 1 or not dense or len(cell.state) != 1:
        return False
    (old, new), = ((old.name, new.name) for old, new in cell.state.items())
    return symbolic.one_step_paths(cell) == {(new, old): [(old, dense[0], new)]}


def bounds(trajectory, lags, *, b=0, end=None):
    """log10 of the two bounds on every |entry| of the net-to-net flow of a fully recurrent cell, q = 1 ... lags.

        with n:     n (f'_max ||W||)^q       (section 3.1)
        without n:    (f'_max ||W||)^q       (holds as well: the factor n is superfluous)

    ||W|| is the largest row sum, f'_max the largest slope that occurs on the way. Raises ValueError for a cell that is
    not `bounded`, for which the paper states no such bound.
    """
    kernel = trajectory.kernel
    cell = kernel.cell
    if not bounded(cell):
        raise ValueError(f"{cell.name}: the bound of section 3.1 is for one fully recurrent net whose output is its only state, this cell "
                         f"has {len(cell.nets)} net(s), {len(cell.state)} state(s) and {len(cell.recurrent_edges)} recurrent connection(s)")
    end, lags = end_and_lags(trajectory, end, lags)
    net, out = cell.nets[0].out.name, cell.output.name
    old = next(iter(kernel.states))
    norm_w = np.abs(trajectory.params[kernel.weights[net][old]]).sum(axis=1).max()
    slope = trajectory.partials[out, net]
    slope = np.broadcast_to(slope, trajectory[out].shape)[:, b]
    largest = np.abs(slope).max(axis=1)[::-1][trajectory.steps - end:][:lags]  # f' at t-1, t-2, ...
    f_max = np.maximum.accumulate(largest)
    q = np.arange(1, len(f_max) + 1)
    without = q * np.log10(f_max * norm_w)
    return {"with n": np.log10(trajectory[net].shape[-1]) + without, "without n": without}
