"""Extrapolated central differences: a derivative with its own error estimate, for functions that refuse complex numbers.

Knows nothing of cells and imports NumPy only. The estimate is heuristic: where it is as wide as the derivative, nothing can be said.
"""

import numpy as np

__all__ = ["extrapolated_differences"]


def extrapolated_differences(f, x, direction, eps=np.finfo(float).eps, levels=4, noise=None):
    """(derivative, error) of f at x along a direction, by Richardson's extrapolation of central differences.

        D(h) = (f(x + h v) - f(x - h v)) / 2h,    D_k(h) = D_{k-1}(h/8) + (D_{k-1}(h/8) - D_{k-1}(h)) / (64^k - 1)

    h = h0, h0/8, ... with h0 = eps^(1/8) (0.011 in double precision). x and direction are dicts of arrays, f returns a dict of arrays;
    `eps` is the precision that f computes in, `noise` {output: absolute rounding error of f}, at least eps |f|. Entry by entry that of the
    table with the least estimated error is taken: the change from its neighbours, or the rounding noise / h that it carries.
    """
    first = float(eps) ** 0.125
    steps = [first / 8**k for k in range(levels)]
    rows, rounding = [], []
    for h in steps:
        plus, minus = (f({k: np.asarray(v) + s * np.asarray(direction[k]) for k, v in x.items()}) for s in (h, -h))
        rows.append({k: (np.asarray(plus[k], float) - np.asarray(minus[k], float)) / (2 * h) for k in plus})
        own = {k: eps * np.maximum(np.abs(plus[k]), np.abs(minus[k])).astype(float) for k in plus}
        rounding.append({k: 2 * (v if noise is None else np.maximum(v, noise[k])) / h for k, v in own.items()})
    found = {k: _best([r[k] for r in rows], [r[k] for r in rounding]) for k in rows[0]}
    return {k: v for k, (v, _) in found.items()}, {k: e for k, (_, e) in found.items()}


def _best(row, rounding):
    """Entry-wise, the extrapolation of least estimated error."""
    best, error, before = row[-1], np.full(np.shape(row[-1]), np.inf), row
    for order in range(1, len(row)):
        now = [fine + (fine - coarse) / (64.0**order - 1) for coarse, fine in zip(before[:-1], before[1:], strict=True)]
        for k, value in enumerate(now):
            spread = np.maximum(np.abs(value - before[k]), np.abs(value - before[k + 1])) + rounding[k + order]
            better = spread < error
            best, error = np.where(better, value, best), np.where(better, spread, error)
        before = now
    return best, error
