"""The ladder of checks for one cell: forward value, partial derivatives, step Jacobian, flow per lag, gradients, promises.

Each rung compares what the package computes with an oracle that does not share its mistake, relative to the size of what is
compared, at every lag separately. A failed rung stops the higher ones. What is under test is an `Implementation`, so that
anyone's own can be put on the ladder, and mistakes can be planted.
"""

from dataclasses import dataclass, replace

import numpy as np

from .. import flow, gradients, sensitivity
from ..jacobian import StepJacobian
from ..kernels import compile_cell
from ..oracles import STEP, high_precision
from ..step import Step
from .lanes import lanes_flow, moved_nets, moved_weights, repeated
from .promises import PROMISES
from .reference import reference_forward
from .result import Check, Mismatch, compare

__all__ = ["Implementation", "Problem", "RUNGS", "check_cell", "check_claims", "make_problem"]

EPS = np.finfo(float).eps
REGIMES = {"contracting": 0.7, "expanding": 1.6}
"""Gains of the two nets that a cell is checked on."""


@dataclass(frozen=True)
class Implementation:
    """What the ladder checks; each is a function of the Problem. The defaults are the package's own."""

    forward: callable = lambda p: p.kernel.forward(p.params, p.x, p.state0)
    partials: callable = lambda p: p.trajectory.partials
    jacobian: callable = lambda p, t: _package_jacobian(p, t)
    flow: callable = lambda p, lags, cut: _package_flow(p, lags, cut)
    net_errors: callable = lambda p, cut: gradients.bptt(p.trajectory, p.errors, cut).net_errors
    gradient: callable = lambda p, cut: gradients.bptt(p.trajectory, p.errors, cut).params
    rtrl: callable = lambda p, cut: sensitivity.rtrl(p.trajectory, p.errors, cut).params


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
    lengths: dict
    seed: int


def make_problem(cell, seed, *, steps=101, units=4, inputs=3, gain=1.0, block_size=2):
    """One sequence over a net of `units` units; weights N(0, gain^2/n), biases N(0, 1/4), blocks of S cells where there are blocks.

    Lengths of the cell's own are at most 2. Biases and vectors start where the cell says, states at N(0, 1/4), positive ones at its |.|.
    """
    rng, kernel = np.random.default_rng(seed), compile_cell(cell)
    block_size = block_size if "blocks" in cell.sizes.values() else 1
    params = kernel.random_params(units, inputs, rng, block_size, {name: min(n, 2) for name, n in cell.lengths.items()})
    bias = {n.out.name: n.bias or 0.0 for n in cell.nets}
    for name, edge in kernel.parameters.items():
        scale = 0.5 if edge.source == "1" else gain / np.sqrt(np.shape(params[name])[-1])
        start = 0.0 if edge.source != "1" else bias[edge.net] if isinstance(bias[edge.net], (int, float)) else params[name]
        params[name] = rng.normal(size=np.shape(params[name])) * scale + start
    x = {s.name: rng.normal(size=(steps, 1, inputs)) for s in cell.inputs}
    x = x if len(x) > 1 else next(iter(x.values()))
    lengths = kernel.lengths(params)
    state0 = {old.name: rng.normal(size=(1, lengths[cell.sizes[old.name]])) * 0.5 for old in cell.state}
    state0 |= {old.name: np.abs(state0[old.name]) for old in cell.state if old.is_positive}
    trajectory = kernel.forward(params, x, state0)
    errors = rng.normal(size=trajectory[cell.output.name].shape)
    return Problem(cell, kernel, params, x, state0, errors, trajectory, lengths, seed)


def check_cell(cell, implementation=None, *, seed=7, lags=100):
    """Climb the ladder with one cell: the list of Checks, the last one a failure if a rung broke.

    Two nets are used, one contracting and one expanding (gain 0.7 and 1.6).
    """
    implementation, done = implementation or Implementation(), []
    problems = {regime: make_problem(cell, seed, gain=gain, steps=lags + 1) for regime, gain in REGIMES.items()}
    for name, rung in RUNGS.items():
        for regime, problem in problems.items():
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


def _condition(p, name):
    """How much larger than the rounding of a formula's arguments that of its value can be, at least 1; a net's is 1."""
    if name not in p.kernel.units:
        return 1.0
    moved = sum(np.abs(p.trajectory.partials[name, a] * p.trajectory[a]) for a in p.kernel.units[name].args
                if (name, a) in p.trajectory.partials)
    return max(1.0, float(np.max(moved) / np.abs(p.trajectory[name]).max()))


def _forward(check, implementation, p):
    """Forward values against plain loops in 50-digit arithmetic. Tolerance: 64 eps a step for four steps, times the condition."""
    steps = 4
    got = implementation.forward(p)
    reference = reference_forward(p.cell, p.params, _rows(p, 0, steps), {k: v[0] for k, v in p.state0.items()}, p.lengths)
    return [_worst(check, [
        compare(check, got[name][:steps, 0], np.array(rows, float), 64 * steps * EPS * _condition(p, name), term=f"value of {name}")
        for name, rows in reference.items()
    ])]


def _partials(check, implementation, p):
    """Every partial derivative of every unit against the complex step of its compiled formula. Tolerance 64 eps times the condition."""
    passed, found = [], implementation.partials(p)
    for name, unit in p.kernel.units.items():
        values = [p.trajectory[a].astype(complex) for a in unit.args]
        for k, arg in enumerate(unit.args):
            moved = [v + 1j * STEP if i == k else v for i, v in enumerate(values)]
            reference = np.broadcast_to(np.imag(unit.value(*moved)) / STEP, p.trajectory[name].shape)
            got = found.get((name, arg), 0.0)
            got = np.full(reference.shape, got) if isinstance(got, float) else got
            passed.append(compare(check, got, reference, 64 * EPS * _condition(p, name), term=f"d {name} / d {arg}"))
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
        after = p.kernel.forward(p.params, repeated(p, t, t + 1, n), lanes)
        reference |= {(new, old): after[new][0].imag.T / STEP for new in p.kernel.states.values()}
    size = max(np.abs(m).max() for m in reference.values())
    return [_worst(check, [
        compare(check, got.get((new, old), np.zeros(matrix.shape)), matrix, 64 * EPS, size=size, term=f"d {new}(t) / d {old}")
        for (new, old), matrix in reference.items()
    ])]


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
            at_lags.append(_compare_blocks(at_lag, got, reference, tolerance, size, q))
        one = _worst(replace(check, id=f"{check.id}/{label}"), at_lags)
        passed.append(replace(one, verdict="inconclusive" if one.tolerance > 0.1 else "pass"))
    return passed


def _compare_blocks(check, got, reference, tolerance, size, q):
    """All blocks at once; one by one where that fails, so that the Mismatch names the block."""
    if all(got[key].shape == matrix.shape for key, matrix in reference.items()):
        flat = (np.concatenate([blocks[key].ravel() for key in reference]) for blocks in (got, reference))
        try:
            return compare(check, *flat, tolerance, size=size)
        except Mismatch:
            pass
    return _worst(check, [compare(check, got[new, old], matrix, tolerance, size=size, term=f"d {new}(t) / d {old}(t-{q})")
                          for (new, old), matrix in reference.items()])


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
        history = reference_forward(p.cell, p.params, _rows(p, start, end + 1), parts, p.lengths, dps=120)
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
            compare(replace(check, id=f"{check.id}/{label}", first_bad_lag=last - t), found[name][t, 0], reference,
                    1e-10, term=f"dE/d{name}({t})")
            for t in (last, last - 1, last // 2) for name, reference in moved_nets(p, t, cut).items()
        ]))
    return passed


def _gradient(check, implementation, p):
    """Whole weight gradient: BPTT against the complex step along random directions, of each weight and of all at once; RTRL against BPTT.

    Tolerance 1e-10 for the complex step; RTRL and BPTT agree to 1e-12 of the largest entry of the group over this length.
    """
    rng, passed = np.random.default_rng(p.seed), []
    for label, cut in _cuts(p.cell):
        one, groups = replace(check, id=f"{check.id}/{label}"), []
        found, forward = implementation.gradient(p, cut), implementation.rtrl(p, cut)
        directions = {name: rng.normal(size=np.shape(w)) for name, w in p.params.items()}
        moved = {name: w + 1j * STEP * directions[name] for name, w in p.params.items()}
        run = p.kernel.forward(moved, p.x, p.state0, cut=cut, frozen=p.trajectory if cut else None)
        references = moved_weights(p, directions, cut) | {"w, all at once": (run[p.cell.output.name].imag * p.errors).sum() / STEP}
        sums = {name: np.sum(found[name] * v) for name, v in directions.items()}
        sizes = {name: np.linalg.norm(found[name]) * np.linalg.norm(v) for name, v in directions.items()}
        sums["w, all at once"], sizes["w, all at once"] = sum(sums.values()), sum(sizes.values())
        for name, reference in references.items():
            groups.append(compare(one, sums[name], reference, 1e-10, size=sizes[name] + abs(reference), term=f"dE/d{name}"))
            if name in forward:
                groups.append(compare(one, forward[name], found[name], 1e-12, term=f"dE/d{name}, RTRL against BPTT"))
        passed.append(_worst(one, groups))
    return passed


def _claims(check, implementation, p):
    """What the cell promises of itself, measured at every lag; see `promises`. The flows are measured once for all claims."""
    known = {}

    def flow(p, lags, cut):
        if cut not in known:
            known[cut] = list(implementation.flow(p, lags, cut))
        return known[cut]

    once = replace(implementation, flow=flow)
    return [PROMISES[claim.word](replace(check, id=f"{check.id}/{claim.word}/{claim.state}"), claim, once, p)
            for claim in p.cell.claims]


def check_claims(cell, *, seed=7, lags=100):
    """[Check] of what a cell promises, measured alone on the contracting net; a broken promise is a failed Check, the others go on."""
    problem, checks = make_problem(cell, seed, gain=REGIMES["contracting"], steps=lags + 1), []
    check = Check(f"{cell.name}/claims", "claims", "pass", cell=cell.name)
    try:
        return _claims(check, Implementation(), problem)
    except Mismatch:
        for claim in cell.claims:
            try:
                checks += _claims(check, Implementation(), replace(problem, cell=replace(cell, claims=[claim])))
            except Mismatch as broken:
                checks.append(broken.check)
        return checks


RUNGS = {
    "forward": _forward, "partials": _partials, "step-jacobian": _jacobian, "flow": _flow, "high-precision": _high_precision,
    "step-gradient": _net_errors, "gradient": _gradient, "claims": _claims,
}
