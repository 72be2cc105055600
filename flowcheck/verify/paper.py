"""Claims of derivations: each is proved by SymPy, then its formula is evaluated on random nets and compared with the package's flow.

A proof that fails is a failed check; numbers never stand in for it.
"""

from dataclasses import replace

import numpy as np

from .. import flow
from ..claims import ProofError
from .ladder import make_problem
from .result import Check, Mismatch, compare

__all__ = ["check_claim", "prove"]

NETS = 5
"""Random nets on which each claim meets the code: gains 0.3 to 1.6."""
TOLERANCE = 1e-10
"""Relative to the flow at that lag: some 100 products of 4 x 4 matrices round to 1e-13, a wrong term shows at once."""


def prove(claim):
    """The Check of a claim's proof. Raises Mismatch with what is left over where SymPy does not confirm a step."""
    check = Check(f"{claim.section}/{claim.id}/proof", "proof", "pass", equation=claim.id)
    try:
        claim.verify()
    except ProofError as error:
        raise Mismatch(replace(check, verdict="fail", term=claim.title, words=str(error))) from None
    return check


def check_claim(claim, cells):
    """[Check] of one claim: its proof, then each of its numeric checks. A failed proof ends the list."""
    try:
        done = [prove(claim)]
        for number, numeric in enumerate(claim.checks):
            done.append(_meets_code(claim, numeric, number, cells))
    except Mismatch as broken:
        done = [broken.check] if broken.check.rung == "proof" else [*done, broken.check]
    return done


def _meets_code(claim, numeric, number, cells):
    label = f"{claim.section}/{claim.id}/code" + (f"/{number + 1}" if len(claim.checks) > 1 else "")
    check = Check(label, "paper-meets-code", "pass", equation=claim.id, cell=numeric.cell)
    if numeric.cell not in cells:
        raise Mismatch(replace(check, verdict="fail", words=f"{label}: no cell named {numeric.cell!r}; there are {', '.join(cells)}"))
    cell, passed, largest = cells[numeric.cell], [], -np.inf
    lags = list(numeric.lags)
    for seed, gain in enumerate(np.linspace(0.3, 1.6, NETS)):
        problem = make_problem(cell, seed, gain=gain, steps=max(lags) + 20, block_size=1)
        values = {name: problem.trajectory[name][:, 0] for name in cell.sizes} | problem.params
        cut = cell.recurrent_edges if numeric.truncated else frozenset()
        measured = flow.flow_matrices(problem.trajectory, numeric.sender, [numeric.receiver], max(lags), cut=cut)
        for q, matrices, exponent, _ in measured:
            if q not in lags:
                continue
            matrix, claimed = matrices[numeric.receiver], numeric.evaluate(values, q)
            at_lag = replace(check, first_bad_lag=q)
            if numeric.relation == "=":
                got = np.ldexp(matrix, exponent)
                passed.append(compare(at_lag, got, claimed, TOLERANCE, size=np.linalg.norm(claimed), term=claim.title))
                continue
            with np.errstate(divide="ignore"):
                above = float(np.log10(np.abs(matrix).max()) + exponent * np.log10(2) - claimed)
            largest = max(largest, above)
            if not above <= 1e-12:
                raise Mismatch(replace(at_lag, verdict="fail", term=claim.title, error=10**above, tolerance=1.0,
                                       words=f"{label}, lag {q}, seed {seed}: the flow is {10**above:.4g} times its bound"))
    if numeric.relation == "=":
        errors = [c.error for c in passed]
        return replace(check, error=max(errors), tolerance=TOLERANCE, detectable=TOLERANCE)
    return replace(check, error=float(10**largest), tolerance=1.0, detectable=1.0,
                   words=f"largest ratio of flow to bound: {10**largest:.4g}")
