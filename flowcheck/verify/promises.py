"""What a cell promises of itself, measured at every lag: one function per kind of claim.

Each takes a Check, the claim, the implementation under test and the problem, and returns the passed Check with its largest error;
it raises Mismatch with the first lag at which the promise is broken.
"""

from dataclasses import replace

import numpy as np

from .result import Mismatch, compare_at_lags

__all__ = ["PROMISES"]

EPS = np.finfo(float).eps
SMALLEST = 1e-290
"""Below it products lose digits to underflow: what is smaller is compared with this size."""
DISPLACEMENT = 8.0
"""A finite change of a state, as large as the states themselves: what is linear for small changes only shows."""


def _flows(claim, implementation, p, cut):
    """(lags, flow of the claim's states over each): (lag,) and (lag, joint state, joint state)."""
    flows = [matrices for matrices, _ in implementation.flow(p, p.trajectory.steps - 1, cut)]
    return np.arange(1, len(flows) + 1), np.block([[np.stack([m[a, b] for m in flows]) for b in claim.states] for a in claim.states])


def _carousel(check, claim, implementation, p):
    """Truncated flow: the identity, exactly."""
    lags, flows = _flows(claim, implementation, p, p.cell.recurrent_edges)
    return compare_at_lags(check, flows, np.broadcast_to(np.eye(flows.shape[-1]), flows.shape), 0.0, lags, term=claim.text)


def _product(check, claim, implementation, p):
    """Truncated flow: diag(GATE(t) ... GATE(t-q+1)), or the same of a complex gate, as real 2 x 2 blocks. Tolerance: 4 eps a factor."""
    gate = p.trajectory[claim.arguments[0]][:, 0]
    if len(claim.arguments) == 2:
        gate = gate + 1j * p.trajectory[claim.arguments[1]][:, 0]
    lags, flows = _flows(claim, implementation, p, p.cell.recurrent_edges)
    products = np.cumprod(gate[:0:-1], axis=0)
    re, im = (part[..., None] * np.eye(gate.shape[-1]) for part in (products.real, products.imag))
    expected = re if len(claim.states) == 1 else np.block([[re, -im], [im, re]])
    size = np.maximum(np.abs(products).max(axis=1), SMALLEST)
    return compare_at_lags(check, flows, expected, 4 * lags * EPS, lags, size=size, term=claim.text)


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
    moved = np.concatenate([after[new][-1] - p.trajectory[new][-1] for new in claim.states], axis=1)[::-1]
    largest, lags = max(np.abs(p.trajectory[new]).max() for new in claim.states), np.array(lags[::-1])
    expected = _flows(claim, implementation, p, frozenset())[1][lags - 1] @ np.concatenate([*change.values()])
    size = np.maximum(np.abs(expected).max(axis=1), max(largest, DISPLACEMENT))
    return compare_at_lags(check, moved, expected, 64 * last * EPS, lags, size=size, term=claim.text)


def _independent(check, claim, implementation, p):
    """Full flow: zero off the diagonal, exactly; of a complex state, off the diagonals of its four blocks."""
    lags, flows = _flows(claim, implementation, p, frozenset())
    own = np.tile(np.eye(flows.shape[-1] // len(claim.states)), (len(claim.states),) * 2)
    return compare_at_lags(check, flows * (1 - own), np.zeros_like(flows), 0.0, lags, term=claim.text)


def _nonexpansive(check, claim, implementation, p):
    """Full flow: its spectral norm never grows. Tolerance: 64 eps of the norm before."""
    lags, flows = _flows(claim, implementation, p, frozenset())
    norms = np.array([1.0, *np.linalg.norm(flows, 2, axis=(1, 2))])
    growth, size = np.maximum(np.diff(norms), 0.0), np.maximum(norms[:-1], SMALLEST)
    return compare_at_lags(check, growth, np.zeros_like(growth), 64 * EPS, lags, size=size, term=claim.text)


def _delay(check, claim, implementation, p):
    """Full flow of all states together: exactly zero from lag Q on, and not before."""
    last = int(claim.arguments[0])
    largest = np.array([max(np.abs(m).max() for m in matrices.values())
                        for matrices, _ in implementation.flow(p, p.trajectory.steps - 1, frozenset())])
    early = np.flatnonzero(largest[:last - 1] == 0.0)
    if early.size:
        q = int(early[0]) + 1
        raise Mismatch(replace(check, verdict="fail", first_bad_lag=q, term=claim.text, error=1.0, tolerance=0.0,
                               words=f"{check.id}, lag {q}: {claim.text}: the flow is zero already at lag {q}"))
    late = largest[last - 1:]
    return compare_at_lags(check, late, np.zeros_like(late), 0.0, np.arange(last, len(largest) + 1), term=claim.text)


def _coupled(check, claim, implementation, p):
    """The values of two gates add up to 1 at every step. Tolerance: 4 eps."""
    total = sum(p.trajectory[name][::-1, 0] for name in claim.arguments)
    return compare_at_lags(check, total, np.ones_like(total), 4 * EPS, np.arange(len(total)), term=claim.text)


PROMISES = {
    "carousel": _carousel, "product": _product, "linear": _linear, "independent": _independent, "nonexpansive": _nonexpansive,
    "delay": _delay, "coupled": _coupled,
}
"""How each kind of claim (see `CellClaim`) is measured."""
