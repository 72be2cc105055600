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
    middle, rows, bends, rounding = f(x), [], [], []
    for h in steps:
        plus, minus = (f({k: np.asarray(v) + s * np.asarray(direction[k]) for k, v in x.items()}) for s in (h, -h))
        up, down = ({k: np.asarray(v[k], float) - np.asarray(middle[k], float) for k in middle} for v in (plus, minus))
        rows.append({k: (np.asarray(plus[k], float) - np.asarray(minus[k], float)) / (2 * h) for k in plus})
        bends.append({k: np.abs(up[k] + down[k]) / h for k in middle})
        own = {k: eps * np.maximum(np.abs(plus[k]), np.abs(minus[k])).astype(float) for k in plus}
        rounding.append({k: 2 * (v if noise is None else np.maximum(v, noise[k])) / h for k, v in own.items()})
    found = {k: _best(*([part[k] for part in parts] for parts in (rows, bends, rounding)), eps) for k in rows[0]}
    derivatives, errors = ({k: pair[n] for k, pair in found.items()} for n in (0, 1))
    for k in noise or ():  # noise / eps is the size of slopes: where the smallest step times that exceeds f, every step is too wide
        wild = noise[k] * steps[-1] > eps * np.abs(middle[k]).max(initial=0.0)
        errors[k] = np.where(wild, np.maximum(errors[k], noise[k] / eps), errors[k])
    return derivatives, errors


def _best(row, bends, rounding, eps):
    """Entry-wise, the extrapolation of least estimated error. What shows that a function is not smooth over these steps adds to it:

    finer steps that contradict it; slopes to both sides that differ by as much at the finer step (a kink within it); and a difference
    that has more than doubled with the last step and keeps growing for all one knows: its error is its size over eps.
    """
    found, before = [], row
    for order in range(1, len(row)):
        now = [fine + (fine - coarse) / (64.0**order - 1) for coarse, fine in zip(before[:-1], before[1:], strict=True)]
        for k, value in enumerate(now):
            spread = np.maximum(np.abs(value - before[k]), np.abs(value - before[k + 1])) + rounding[k + order]
            kink = (bends[k + order] > bends[k] / 2) & (bends[k + order] > 3 * rounding[k + order])
            found.append((k + order, value, np.where(kink, np.maximum(spread, bends[k + order]), spread)))
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
