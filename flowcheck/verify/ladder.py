"""The ladder of checks for one cell: forward value, partial derivatives, step Jacobian, flow per lag, gradients, promises.

Each rung compares what the package computes with an oracle that does not share its mistake, relative to the size of what is
compared, at every lag separately. A failed rung stops the higher ones. What is under test is an `Implementation`, so that
anyone's own can be put on the ladder, and mistakes can be planted.
"""

from dataclasses import dataclass, replace

import numpy as np

from .. import flow, gradients
from ..jacobian import StepJacobian
from ..kernels import compile_cell
from ..oracles import STEP, high_precision
from ..step import Step
from .reference import reference_forward
from .result import Check, Mismatch, compare

__all__ = ["Implementation", "Problem", "RUNGS", "check_cell", "lanes_flow", "make_problem"]

EPS = np.finfo(float).eps


@dataclass(frozen=True)
class Implementation:
    """What the ladder checks; each is a function of the Problem. The defaults are the package's own."""

    forward: callable = lambda p: p.kernel.forward(p.params, p.x, p.state0)
    partials: callable = lambda p: p.trajectory.partials
    jacobian: callable = lambda p, t: _package_jacobian(p, t)
    flow: callable = lambda p, lags, cut: _package_flow(p, lags, cut)
    net_errors: callable = lambda p, cut: gradients.bptt(p.trajectory, p.errors, cut).net_errors
    gradient: callable = lambda p, cut: gradients.bptt(p.trajectory, p.errors, cut).params
    rtrl: callable = lambda p, cut: gradients.rtrl(p.trajectory, p.errors, cut).params


def _package_jacobian(p, t):
    step = Step(p.trajectory)
    blocks = StepJacobian(step).at(t)
    return {(new, old): block.matrix((step.length(new), step.length(old))) for (new, old), block in blocks.items()}


def _package_flow(p, lags, cut):
    for _, matrices, exponent, floor in flow.state_matrices(p.trajectory, lags, cut=cut):
        yield {k: np.ldexp(m, exponent) for k, m in matrices.items()}, np.ldexp(floor, exponent)


@dataclass(frozen=True)
class Problem:
    """A random net of a cell on a random sequence, hard on purpose: unequal biases, asymmetric weights, nonzero initial state."""

    cell: object
    kernel: object
    params: dict
    x: np.ndarray
    state0: dict
    errors: np.ndarray
    trajectory: object
    block_size: int
    seed: int


def make_problem(cell, seed, *, steps=101, units=4, inputs=3, gain=1.0, block_size=2):
    """One sequence over a net of `units` units; weights N(0, gain^2/n), biases N(0, 1/4), blocks of S cells where there are blocks."""
    rng, kernel = np.random.default_rng(seed), compile_cell(cell)
    block_size = block_size if "blocks" in cell.sizes.values() else 1
    params = kernel.random_params(units, inputs, rng, block_size)
    initial = {n.out.name: n.bias or 0.0 for n in cell.nets}
    for name, edge in kernel.parameters.items():
        scale = 0.5 if edge.source == "1" else gain / np.sqrt(np.shape(params[name])[-1])
        params[name] = rng.normal(size=np.shape(params[name])) * scale + (initial[edge.net] if edge.source == "1" else 0.0)
    x = {s.name: rng.normal(size=(steps, 1, inputs)) for s in cell.inputs}
    x = x if len(x) > 1 else next(iter(x.values()))
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(1, lengths[cell.sizes[old]])) * 0.5 for old in kernel.states}
    trajectory = kernel.forward(params, x, state0)
    errors = rng.normal(size=trajectory[cell.output.name].shape)
    return Problem(cell, kernel, params, x, state0, errors, trajectory, block_size, seed)


def check_cell(cell, implementation=None, *, seed=7, lags=100):
    """Climb the ladder with one cell: the list of Checks, the last one a failure if a rung broke.

    Two nets are used, one contracting and one expanding (gain 0.7 and 1.6).
    """
    implementation, done = implementation or Implementation(), []
    for name, rung in RUNGS.items():
        for regime, gain in (("contracting", 0.7), ("expanding", 1.6)):
            problem = make_problem(cell, seed, gain=gain, steps=lags + 1)
            check = Check(f"{cell.name}/{name}/{regime}", name, "pass", cell=cell.name)
            try:
                done += rung(check, implementation, problem)
            except Mismatch as broken:
                return [*done, broken.check]
    return done


def _cuts(cell):
    """("full", no cut), and ("truncated", all recurrent edges cut) where there are any."""
    return [("full", frozenset()), *([("truncated", cell.recurrent_edges)] if cell.recurrent_edges else [])]


def _worst(check, passed):
    """One passed Check that stands for many: the largest error, the largest tolerance."""
    return replace(check, error=max(c.error for c in passed), tolerance=max(c.tolerance for c in passed),
                   detectable=max(c.tolerance for c in passed))


def _rows(p, start, stop):
    """{input: vectors of some steps} of the one sequence."""
    return {name: array[start:stop, 0] for name, array in p.trajectory.inputs.items()}


def _forward(check, implementation, p):
    """Forward values against plain loops in 50-digit arithmetic. Tolerance: 64 eps a step for the few steps compared."""
    steps = 4
    got = implementation.forward(p)
    reference = reference_forward(p.cell, p.params, _rows(p, 0, steps), {k: v[0] for k, v in p.state0.items()}, p.block_size)
    return [_worst(check, [
        compare(check, got[name][:steps, 0], np.array(rows, float), 64 * steps * EPS, term=f"value of {name}")
        for name, rows in reference.items()
    ])]


def _partials(check, implementation, p):
    """Every partial derivative of every unit against the complex step of its compiled formula. Tolerance 64 eps."""
    passed, found = [], implementation.partials(p)
    for name, unit in p.kernel.units.items():
        values = [p.trajectory[a].astype(complex) for a in unit.args]
        for k, arg in enumerate(unit.args):
            moved = [v + 1j * STEP if i == k else v for i, v in enumerate(values)]
            reference = np.broadcast_to(np.imag(unit.value(*moved)) / STEP, p.trajectory[name].shape)
            got = found.get((name, arg), 0.0)
            got = np.full(reference.shape, got) if isinstance(got, float) else got
            passed.append(compare(check, got, reference, 64 * EPS, term=f"d {name} / d {arg}"))
    return [_worst(check, passed)]


def _jacobian(check, implementation, p):
    """Step Jacobian by blocks against the complex step of one forward step. Tolerance: 64 eps of the largest entry of the Jacobian."""
    t = p.trajectory.steps // 2
    before = {old: p.trajectory.at(old, t) for old in p.kernel.states}
    got, reference = implementation.jacobian(p, t), {}
    for old, value in before.items():
        n = value.shape[-1]
        lanes = {k: np.repeat(v, n, axis=0).astype(complex) for k, v in before.items()}
        lanes[old] += 1j * STEP * np.eye(n)
        after = p.kernel.forward(p.params, _lanes(p, t, t + 1, n), lanes)
        reference |= {(new, old): after[new][0].imag.T / STEP for new in p.kernel.states.values()}
    size = max(np.abs(m).max() for m in reference.values())
    return [_worst(check, [
        compare(check, got.get((new, old), np.zeros(matrix.shape)), matrix, 64 * EPS, size=size, term=f"d {new}(t) / d {old}")
        for (new, old), matrix in reference.items()
    ])]


def lanes_flow(p, lags, cut):
    """Yield {(state, earlier state): d state(t)/d state(t-q)} for q = 1 ... lags by complex step, all lags in one run.

    At every step new lanes start, each with one state entry moved by i h; cut connections read the unmoved trajectory.
    """
    states, steps = p.kernel.states, p.trajectory.steps
    sizes = {new: p.trajectory[new].shape[-1] for new in states.values()}
    n = sum(sizes.values())
    eye = np.eye(n)
    offsets = dict(zip(sizes, np.cumsum([0, *sizes.values()])[:-1], strict=True))
    lanes = {old: np.zeros((0, sizes[new]), complex) for old, new in states.items()}
    for t in range(steps - lags, steps):
        now = {old: p.trajectory.at(old, t) for old in states}
        for old, new in states.items():
            moved = now[old] + 1j * STEP * eye[:, offsets[new]:offsets[new] + sizes[new]]
            lanes[old] = np.concatenate([lanes[old], moved])
        x = _lanes(p, t, t + 1, len(next(iter(lanes.values()))))
        after = p.kernel.forward(p.params, x, lanes, cut=cut, frozen=p.trajectory.window(t, t + 1) if cut else None)
        lanes = {old: after[new][0] for old, new in states.items()}
    for q in range(1, lags + 1):
        rows = slice(n * (lags - q), n * (lags - q + 1))
        joint = {new: lanes[old][rows].imag.T / STEP for old, new in states.items()}
        yield {(a, c): joint[a][:, offsets[c]:offsets[c] + sizes[c]] for a in sizes for c in sizes}


def _flow(check, implementation, p):
    """Flow per lag, full and truncated, against the complex step at every lag, relative to the flow's size at that lag.

    Tolerance 1e-10 or, where rounding can leave more, the rounding floor beside the flow.
    """
    lags, passed = p.trajectory.steps - 1, []
    for label, cut in _cuts(p.cell):
        at_lags, results = [], zip(implementation.flow(p, lags, cut), lanes_flow(p, lags, cut), strict=True)
        for q, ((got, floor), reference) in enumerate(results, 1):
            size = max(np.abs(m).max() for m in reference.values())
            tolerance = max(1e-10, floor / size) if size > 0 else 0.0
            at_lag = replace(check, id=f"{check.id}/{label}", first_bad_lag=q)
            at_lags += [compare(at_lag, got[new, old], matrix, tolerance, size=size, term=f"d {new}(t) / d {old}(t-{q})")
                        for (new, old), matrix in reference.items()]
        one = _worst(replace(check, id=f"{check.id}/{label}"), at_lags)
        passed.append(replace(one, verdict="inconclusive" if one.tolerance > 0.1 else "pass"))
    return passed


def _high_precision(check, implementation, p):
    """Flow at lag 3 against central differences in mpmath arithmetic through the plain-loop forward. Tolerance 1e-12."""
    lag = 3
    end = p.trajectory.steps - 1
    start = end - lag + 1
    names = list(p.kernel.states)
    before = np.concatenate([p.trajectory.at(old, start)[0] for old in names])
    sizes = [p.trajectory.at(old, start).shape[-1] for old in names]
    rng = np.random.default_rng(p.seed)
    direction = rng.normal(size=len(before))

    def run(vector):
        parts = dict(zip(names, np.split(vector, np.cumsum(sizes)[:-1]), strict=True))
        history = reference_forward(p.cell, p.params, _rows(p, start, end + 1), parts, p.block_size, dps=120)
        return np.array([v for old in names for v in history[p.kernel.states[old]][-1]], object)

    value, _ = high_precision(run, before, direction, digits=15, max_dps=120)
    matrices, _ = list(implementation.flow(p, lag, frozenset()))[-1]
    new = [p.kernel.states[old] for old in names]
    got = np.block([[matrices[a, c] for c in new] for a in new]) @ direction
    return [compare(replace(check, first_bad_lag=lag), got, np.array([float(v) for v in value]), 1e-12, term=f"flow over {lag} steps")]


def _net_errors(check, implementation, p):
    """dE/dnet(t), step by step, against the complex step of one net moved at one step. Tolerance 1e-10 of the errors there.

    This is the weight gradient per time step: dE/dw_ij is the sum over t of dE/dnet_i(t) source_j(t).
    """
    passed, last = [], p.trajectory.steps - 1
    for label, cut in _cuts(p.cell):
        found = implementation.net_errors(p, cut)
        passed.append(_worst(replace(check, id=f"{check.id}/{label}"), [
            compare(replace(check, id=f"{check.id}/{label}", first_bad_lag=last - t), found[name][t, 0], _moved_net(p, name, t, cut),
                    1e-10, term=f"dE/d{name}({t})")
            for t in (last, last - 1, last // 2) for name in (n.out.name for n in p.cell.nets if n.kind != "shared")
        ]))
    return passed


def _moved_net(p, name, t, cut):
    """Complex step of E in each entry of one net at step t only: lane i has entry i moved."""
    n, steps = p.trajectory[name].shape[-1], p.trajectory.steps - t
    moved = np.zeros((steps, n, n), complex)
    moved[0] = 1j * STEP * np.eye(n)
    before = {old: np.repeat(p.trajectory.at(old, t), n, axis=0) for old in p.kernel.states}
    run = p.kernel.forward(p.params, _lanes(p, t, t + steps, n), before, cut=cut, add={name: moved},
                           frozen=p.trajectory.window(t, t + steps) if cut else None)
    return np.einsum("tbi,tbi->b", run[p.cell.output.name].imag, np.repeat(p.errors[t:], n, axis=1)) / STEP


def _lanes(p, start, stop, n):
    """The inputs of some steps, the same for n lanes."""
    return {name: np.repeat(array[start:stop], n, axis=1) for name, array in p.trajectory.inputs.items()}


def _gradient(check, implementation, p):
    """Whole weight gradient: BPTT against the complex step along random directions, entry group by entry group; RTRL against BPTT.

    Tolerance 1e-10 for the complex step; RTRL and BPTT agree to 1e-12 of the largest entry of the group over this length.
    """
    rng, passed = np.random.default_rng(p.seed), []
    for label, cut in _cuts(p.cell):
        one, groups = replace(check, id=f"{check.id}/{label}"), []
        found, forward = implementation.gradient(p, cut), implementation.rtrl(p, cut)
        for name, weight in p.params.items():
            v = rng.normal(size=np.shape(weight))
            run = p.kernel.forward(dict(p.params) | {name: weight + 1j * STEP * v}, p.x, p.state0, cut=cut,
                                   frozen=p.trajectory if cut else None)
            reference = (run[p.cell.output.name].imag * p.errors).sum() / STEP
            size = np.linalg.norm(found[name]) * np.linalg.norm(v) + abs(reference)
            groups.append(compare(one, np.sum(found[name] * v), reference, 1e-10, size=size, term=f"dE/d{name}"))
            groups.append(compare(one, forward[name], found[name], 1e-12, term=f"dE/d{name}, RTRL against BPTT"))
        passed.append(_worst(one, groups))
    return passed


def _claims(check, implementation, p):
    """What the cell promises of itself, measured at every lag on the package's flow.

    carousel: truncated d s(t)/d s(t-q) is exactly the identity. product:GATE: it is the product of that gate's values.
    """
    passed = []
    for claim in p.cell.claims:
        cut, product = p.cell.recurrent_edges, 1.0
        steps = p.trajectory.steps
        kind, _, gate = claim.kind.partition(":")
        at_lags = []
        for q, (matrices, _) in enumerate(implementation.flow(p, steps - 1, cut), 1):
            if kind == "product":
                product = product * p.trajectory[gate][steps - q, 0]
            n = matrices[claim.state, claim.state].shape[0]
            expected = np.eye(n) * product
            at_lag = replace(check, id=f"{check.id}/{claim.state}", first_bad_lag=q)
            tolerance = 4 * q * EPS if kind == "product" else 0.0
            at_lags.append(compare(at_lag, matrices[claim.state, claim.state], expected, tolerance, term=claim.text))
        passed.append(_worst(replace(check, id=f"{check.id}/{claim.state}"), at_lags))
    return passed


RUNGS = {
    "forward": _forward, "partials": _partials, "step-jacobian": _jacobian, "flow": _flow, "high-precision": _high_precision,
    "step-gradient": _net_errors, "gradient": _gradient, "claims": _claims,
}
