"""What a user would write with NumPy."""

import numpy as np

from .nets import dense_jacobian, step

__all__ = ["all_pairs", "carried", "exponents", "products", "profile", "probe", "spectral"]


def states(problem):
    """state(0), state(1), ... as vectors."""
    size = problem.n * (2 if problem.cell == "lstm" else 1)
    found = [np.zeros(size)]
    for x in problem.x:
        found.append(step(np, problem.cell, problem.layer.params, found[-1], x))
    return found


def products(problem):
    """Yield (P, log10 scale) lag after lag: P <- P J, dense, rescaled when it gets small or large."""
    before, product, scale = states(problem), None, 0.0
    for q in range(problem.lags):
        t = len(problem.x) - 1 - q
        j = dense_jacobian(np, problem.cell, problem.layer.params, before[t], problem.x[t])
        product = j if product is None else product @ j
        size = np.abs(product).max()
        if not 1e-20 < size < 1e20 and size > 0:
            product, scale = product / size, scale + np.log10(size)
        yield product, scale


def profile(problem):
    return np.array([scale + np.log10(np.linalg.norm(p)) for p, scale in products(problem)])


def spectral(problem, values):
    """By all singular values, or by the eigenvalues of P P^T."""
    if values == "svd":
        return np.array([scale + np.log10(np.linalg.svd(p, compute_uv=False)[0]) for p, scale in products(problem)])
    return np.array([scale + np.log10(np.linalg.eigvalsh(p @ p.T)[-1]) / 2 for p, scale in products(problem)])


def probe(problem, v):
    before, found, scale = states(problem), [], 0.0
    for q in range(problem.lags):
        t = len(problem.x) - 1 - q
        v = v @ dense_jacobian(np, problem.cell, problem.layer.params, before[t], problem.x[t])
        size = np.linalg.norm(v)
        v, scale = v / size, scale + np.log10(size)
        found.append(scale)
    return np.array(found)


def all_pairs(problem, v, lags):
    """log10 |v d state(t)/d state(t-q)|, end time after end time; a tanh net, J never formed."""
    weights, y = problem.layer.params["W_y"], np.array(states(problem))[1:]
    slopes, found = 1 - y**2, np.full((len(y), lags + 1), np.nan)
    for t in range(len(y)):
        row, scale = v, 0.0
        found[t, 0] = np.log10(np.linalg.norm(v))
        for q in range(1, min(lags, t) + 1):
            row = (row * slopes[t - q + 1]) @ weights
            size = np.linalg.norm(row)
            row, scale = row / size, scale + np.log10(size)
            found[t, q] = scale
    return found


def exponents(problem):
    """QR at every step (the textbook way)."""
    before, size = states(problem), problem.n * (2 if problem.cell == "lstm" else 1)
    Q, logs = np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0], np.zeros(size)
    for t in range(1, len(problem.x)):
        Q, R = np.linalg.qr(dense_jacobian(np, problem.cell, problem.layer.params, before[t], problem.x[t]) @ Q)
        logs += np.log(np.abs(np.diagonal(R)))
    return np.sort(logs / (len(problem.x) - 1))[::-1]


def carried(problem, weights):
    """Returns nothing to compare: the products of RTRL alone, S <- J S for all weights at once, at least a part of its work."""
    before = states(problem)
    sensitivity = np.zeros((len(before[0]), weights))
    for t in range(1, len(problem.x)):
        sensitivity = dense_jacobian(np, problem.cell, problem.layer.params, before[t], problem.x[t]) @ sensitivity
