"""What a cell promises of itself, measured at every lag: one function per kind of claim.

Each takes a Check, the claim, the implementation under test and the problem, and returns the passed Check with its largest error;
it raises Mismatch with the first lag at which the promise is broken.
"""

from dataclasses import replace

import numpy as np

from .result import Mismatch, compare

__all__ = ["PROMISES"]

EPS = np.finfo(float).eps
SMALLEST = 1e-290
"""Below it products lose digits to underflow: what is smaller is compared with this size."""
DISPLACEMENT = 8.0
"""A finite change of a state, as large as the states themselves: what is linear for small changes only shows."""


def _joint(matrices, states):
    return np.block([[matrices[a, b] for b in states] for a in states])


def _flows(claim, implementation, p, cut):
    """(q, flow of the claim's states over q steps) at every lag."""
    for q, (matrices, _) in enumerate(implementation.flow(p, p.trajectory.steps - 1, cut), 1):
        yield q, _joint(matrices, claim.states)


def _worst(check, passed):
    worst = max(c.error for c in passed)
    tolerance = max(c.tolerance for c in passed)
    return replace(check, error=worst, tolerance=tolerance, detectable=tolerance)


def _carousel(check, claim, implementation, p):
    """Truncated flow: the identity, exactly."""
    return _worst(check, [compare(replace(check, first_bad_lag=q), flow, np.eye(len(flow)), 0.0, term=claim.text)
                          for q, flow in _flows(claim, implementation, p, p.cell.recurrent_edges)])


def _product(check, claim, implementation, p):
    """Truncated flow: diag(GATE(t) ... GATE(t-q+1)), or the same of a complex gate, as real 2 x 2 blocks. Tolerance: 4 eps a factor."""
    gate = p.trajectory[claim.arguments[0]][:, 0]
    if len(claim.arguments) == 2:
        gate = gate + 1j * p.trajectory[claim.arguments[1]][:, 0]
    product, steps, passed = np.ones(gate.shape[-1], gate.dtype), p.trajectory.steps, []
    for q, flow in _flows(claim, implementation, p, p.cell.recurrent_edges):
        product = product * gate[steps - q]
        re, im = np.diag(product.real), np.diag(product.imag)
        expected = re if len(claim.states) == 1 else np.block([[re, -im], [im, re]])
        size = max(np.abs(product).max(), SMALLEST)
        passed.append(compare(replace(check, first_bad_lag=q), flow, expected, 4 * q * EPS, size=size, term=claim.text))
    return _worst(check, passed)


def _linear(check, claim, implementation, p):
    """Full flow times a finite change of the state, against two runs of the cell, one from the changed state. Tolerance: 64 eps a step.

    At every lag to 50, then at every 50th.
    """
    states, last, rng = p.kernel.states, p.trajectory.steps - 1, np.random.default_rng(p.seed)
    lags = [q for q in range(last, 0, -1) if q <= 50 or q % 50 == 0]
    change = {new: rng.normal(size=p.trajectory[new].shape[-1]) * DISPLACEMENT for new in claim.states}
    lanes = {old: np.zeros((0, p.trajectory[new].shape[-1])) for old, new in states.items()}
    for q, stop in zip(lags, [*lags[1:], 0], strict=True):  # one more changed run starts at step last-q+1, all go on to the next start
        start, end = last - q + 1, last - stop + 1
        for old, new in states.items():
            lanes[old] = np.concatenate([lanes[old], p.trajectory.at(old, start) + change.get(new, 0.0)])
        x = {name: np.repeat(array[start:end], len(lanes[old]), axis=1) for name, array in p.trajectory.inputs.items()}
        after = p.kernel.forward(p.params, x, lanes)
        lanes = {old: after[new][-1] for old, new in states.items()}
    ends = {q: np.concatenate([after[new][-1, k] for new in claim.states]) for k, q in enumerate(lags)}
    kept, vector = np.concatenate([p.trajectory[new][-1, 0] for new in claim.states]), np.concatenate([*change.values()])
    largest, passed = max(np.abs(p.trajectory[new]).max() for new in claim.states), []
    for q, flow in _flows(claim, implementation, p, frozenset()):
        if q in ends:
            expected = flow @ vector
            size = max(np.abs(expected).max(), largest, DISPLACEMENT)
            passed.append(compare(replace(check, first_bad_lag=q), ends[q] - kept, expected, 64 * last * EPS, size=size, term=claim.text))
    return _worst(check, passed)


def _independent(check, claim, implementation, p):
    """Full flow: zero off the diagonal, exactly; of a complex state, off the diagonals of its four blocks."""
    passed = []
    for q, flow in _flows(claim, implementation, p, frozenset()):
        n = len(flow) // len(claim.states)
        own = np.tile(np.eye(n), (len(claim.states),) * 2)
        passed.append(compare(replace(check, first_bad_lag=q), flow * (1 - own), np.zeros_like(flow), 0.0, term=claim.text))
    return _worst(check, passed)


def _nonexpansive(check, claim, implementation, p):
    """Full flow: its spectral norm never grows. Tolerance: 64 eps of the norm before."""
    passed, before = [], 1.0
    for q, flow in _flows(claim, implementation, p, frozenset()):
        norm = float(np.linalg.norm(flow, 2))
        size = max(before, SMALLEST)
        passed.append(compare(replace(check, first_bad_lag=q), max(norm - before, 0.0), 0.0, 64 * EPS, size=size, term=claim.text))
        before = norm
    return _worst(check, passed)


def _delay(check, claim, implementation, p):
    """Full flow of all states together: exactly zero from lag Q on, and not before."""
    last, passed = int(claim.arguments[0]), []
    for q, (matrices, _) in enumerate(implementation.flow(p, p.trajectory.steps - 1, frozenset()), 1):
        largest = max(float(np.abs(m).max()) for m in matrices.values())
        at_lag = replace(check, first_bad_lag=q)
        if q < last and largest == 0.0:
            raise Mismatch(replace(at_lag, verdict="fail", term=claim.text, error=1.0, tolerance=0.0,
                                   words=f"{check.id}, lag {q}: {claim.text}: the flow is zero already at lag {q}"))
        if q >= last:
            passed.append(compare(at_lag, largest, 0.0, 0.0, term=claim.text))
    return _worst(check, passed)


def _coupled(check, claim, implementation, p):
    """The values of two gates add up to 1 at every step. Tolerance: 4 eps."""
    a, b = (p.trajectory[name][:, 0] for name in claim.arguments)
    last = p.trajectory.steps - 1
    return _worst(check, [compare(replace(check, first_bad_lag=last - t), a[t] + b[t], np.ones_like(a[t]), 4 * EPS, term=claim.text)
                          for t in range(last, -1, -1)])


PROMISES = {
    "carousel": _carousel, "product": _product, "linear": _linear, "independent": _independent, "nonexpansive": _nonexpansive,
    "delay": _delay, "coupled": _coupled,
}
"""How each kind of claim (see `CellClaim`) is measured."""
