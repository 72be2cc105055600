"""Claims of derivations: each is proved by SymPy, then its formulas are evaluated on random nets and compared with the package's numbers.

A proof that fails is a failed check; numbers never stand in for it.
"""

from dataclasses import replace

import numpy as np

from .. import flow, gradients
from ..claims import GradientCheck, ProofError, ValueCheck
from .certified import certify
from .ladder import make_problem
from .result import Check, Mismatch, compare
from .tightness import largest_ratio

__all__ = ["check_claim", "prove"]

NETS = 5
"""Random nets on which each claim meets the code: gains 0.3 to 1.6, blocks of one cell and of two by turns."""
TOLERANCE = 1e-10
"""Relative to what is compared, at its lag: some 100 products of 4 x 4 matrices round to 1e-13, a wrong term shows at once."""
ROUNDING = 1e-12
"""By how much rounding may lift a flow above a bound that it reaches: some 100 products, relative."""


def prove(claim):
    """The Check of a claim's proof, or of a definition's form. Raises Mismatch with what is left where a step does not hold."""
    rung = "definition" if claim.status == "definition" else "proof"
    check = Check(f"{claim.section}/{claim.id}/{rung}", rung, "pass", equation=claim.id)
    try:
        claim.verify()
    except ProofError as error:
        raise Mismatch(replace(check, verdict="fail", term=claim.title, words=str(error))) from None
    return check


def check_claim(claim, cells, certified=False):
    """[Check] of one claim: its proof, then each of its numeric checks. A failed proof ends the list.

    certified: each equation that meets the code also in ball arithmetic, on a small net, with a rigorous bound of what it leaves open.
    """
    done = []
    try:
        done.append(prove(claim))
        for number, numeric in enumerate(claim.checks):
            done.append(_meets_code(claim, numeric, number, cells))
            if certified and numeric.relation == "=":
                done.append(certify(done[-1], numeric, cells[numeric.cell]))
    except Mismatch as broken:
        done.append(broken.check)
    return done


def _meets_code(claim, numeric, number, cells):
    label = f"{claim.section}/{claim.id}/code" + (f"/{number + 1}" if len(claim.checks) > 1 else "")
    check = Check(label, "paper-meets-code", "pass", equation=claim.id, cell=numeric.cell, term=claim.title)
    if numeric.cell not in cells:
        raise Mismatch(replace(check, verdict="fail", words=f"{label}: no cell named {numeric.cell!r}; there are {', '.join(cells)}"))
    cell = cells[numeric.cell]
    if numeric.relation == "<=":
        return _is_bounded(check, numeric, cell)
    compared = {ValueCheck: _forward_value, GradientCheck: _weight_gradient}.get(type(numeric), _flow)
    passed = [one for seed, gain in _nets() for one in compared(check, numeric, cell, seed, gain)]
    return replace(passed[0], first_bad_lag=None, error=max(c.error for c in passed))


def _nets():
    return enumerate(np.linspace(0.3, 1.6, NETS))


def _problem(cell, seed, gain, steps):
    return make_problem(cell, seed, gain=gain, steps=steps, block_size=1 + seed % 2)


def values_of(trajectory, params):
    """What the formula of a claim is evaluated on: each vector and input, (steps, size), and the weights by name."""
    cell = trajectory.kernel.cell
    vectors = {name: trajectory[name][:, 0] for name in cell.sizes if name not in trajectory.inputs}
    return vectors | {name: array[:, 0] for name, array in trajectory.inputs.items()} | dict(params)


def _cut(cell, truncated):
    return cell.recurrent_edges if truncated else frozenset()


def _flow(check, numeric, cell, seed, gain):
    """d sender(t) / d receiver(t-q), at every lag of the claim."""
    lags = list(numeric.lags)
    problem = _problem(cell, seed, gain, max(lags) + 20)
    values = values_of(problem.trajectory, problem.params)
    measured = flow.flow_matrices(problem.trajectory, numeric.sender, [numeric.receiver], max(lags), cut=_cut(cell, numeric.truncated))
    for q, matrices, exponent, _ in measured:
        if q in lags:
            got, claimed = np.ldexp(matrices[numeric.receiver], exponent), numeric.evaluate(values, q)
            yield compare(replace(check, first_bad_lag=q), got, claimed, TOLERANCE, size=np.linalg.norm(claimed), term=check.term)


def _forward_value(check, numeric, cell, seed, gain):
    """A vector at the last step of a sequence."""
    problem = _problem(cell, seed, gain, 10)
    got, claimed = problem.trajectory[numeric.vector][-1, 0], numeric.evaluate(values_of(problem.trajectory, problem.params))
    yield compare(check, got, claimed, TOLERANCE, term=check.term)


def _weight_gradient(check, numeric, cell, seed, gain):
    """sum_i errors_i d sender_i(t) / d parameter, all steps up to t, from a start at zero."""
    problem = _problem(cell, seed, gain, 12)
    trajectory = problem.kernel.forward(problem.params, problem.x)
    errors = np.zeros_like(trajectory[numeric.sender])
    errors[-1] = np.random.default_rng(seed).normal(size=errors.shape[1:])
    got = gradients.bptt(trajectory, {numeric.sender: errors}, _cut(cell, numeric.truncated)).params[numeric.parameter]
    claimed = numeric.evaluate(values_of(trajectory, problem.params), errors[-1, 0])
    yield compare(check, got, claimed, TOLERANCE, term=f"{check.term}, by {numeric.parameter}")


def _is_bounded(check, numeric, cell):
    """The flow against its bound: on random nets at every lag, then on nets that an optimiser drives towards the bound."""
    lags, largest = list(numeric.lags), -np.inf
    for seed, gain in _nets():
        problem = _problem(cell, seed, gain, max(lags) + 20)
        values, cut = values_of(problem.trajectory, problem.params), _cut(cell, numeric.truncated)
        for q, matrices, exponent, _ in flow.flow_matrices(problem.trajectory, numeric.sender, [numeric.receiver], max(lags), cut=cut):
            if q in lags:
                with np.errstate(divide="ignore"):
                    entry = np.log10(np.abs(matrices[numeric.receiver]).max()) + exponent * np.log10(2)
                largest = max(largest, _below(check, float(entry - numeric.evaluate(values, q)), q, f"seed {seed}"))
    q = max(lags[0], min(2, lags[-1]))
    found = _below(check, largest_ratio(numeric, cell, q, values_of, enough=ROUNDING), q, "a net found by optimisation")
    return replace(check, error=float(10**max(largest, found)), tolerance=1.0, detectable=1.0,
                   words=f"largest ratio of flow to bound: {10**largest:.4g} on random nets, {10**found:.6g} by search")


def _below(check, log10_ratio, q, where):
    """The ratio, if it is at most 1. Raises Mismatch."""
    if not log10_ratio <= ROUNDING:
        ratio = 10**log10_ratio
        raise Mismatch(replace(check, verdict="fail", first_bad_lag=q, error=ratio, tolerance=1.0,
                               words=f"{check.id}, lag {q}, {where}: the flow is {ratio:.4g} times its bound"))
    return log10_ratio
