"""Extrapolated central differences: a derivative with its own error estimate, for functions that refuse complex numbers.

Knows nothing of cells and imports NumPy only. The estimate is heuristic: where it is as wide as the derivative, nothing can be said.
"""

import numpy as np

__all__ = ["extrapolated_differences"]

CONTRADICTION = 10
"""Two extrapolations that differ by more than ten times the rounding of the finer one differ for another reason: the wider step."""


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
    found = {k: _best([r[k] for r in rows], [r[k] for r in rounding], eps) for k in rows[0]}
    return {k: v for k, (v, _) in found.items()}, {k: e for k, (_, e) in found.items()}


def _best(row, rounding, eps):
    """Entry-wise, the extrapolation of least estimated error; one that finer steps contradict has the contradiction as its error.

    A difference that has more than doubled with the last step keeps growing for all one knows: its error is its size over eps.
    """
    found, before = [], row
    for order in range(1, len(row)):
        now = [fine + (fine - coarse) / (64.0**order - 1) for coarse, fine in zip(before[:-1], before[1:], strict=True)]
        for k, value in enumerate(now):
            spread = np.maximum(np.abs(value - before[k]), np.abs(value - before[k + 1]))
            found.append((k + order, value, spread + rounding[k + order]))
        before = now
    errors = np.array([error for _, _, error in found])
    for one, (level, value, _) in enumerate(found):
        for finer, other, _ in found:
            if finer > level:  # a bounded function looks flat over steps that are too wide
                apart = np.abs(value - other)
                errors[one] = np.where(apart > CONTRADICTION * rounding[finer], np.maximum(errors[one], apart), errors[one])
    last, previous = np.abs(row[-1]), np.abs(row[-2])
    growing = (last > 2 * previous) & (last - previous > CONTRADICTION * rounding[-1])
    errors = np.where(growing, np.maximum(errors, last / eps), errors)
    best = np.argmin(errors, axis=0)
    pick = lambda arrays: np.take_along_axis(np.array(arrays), best[None], axis=0)[0]  # noqa: E731
    return pick([value for _, value, _ in found]), pick(errors)
