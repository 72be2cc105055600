"""The nets that are measured, as plain formulas: step functions and step Jacobians written by hand, for NumPy and JAX alike.

Knows the weights' names, else nothing of flowcheck.
"""

from dataclasses import dataclass

import numpy as np

from flowcheck import catalogue
from flowcheck.network import fresh

__all__ = ["FLOPS", "Problem", "dense_jacobian", "problem", "step"]

FLOPS = {"tanh": 2, "gru": 2, "lstm": 8}
"""n^3 per lag, at least: one dense block of n rows, or two blocks under 2n rows (LSTM); the state Jacobian as formed blocks."""


@dataclass(frozen=True)
class Problem:
    cell: str
    n: int
    layer: object
    x: np.ndarray
    lags: int

    def run(self):
        """A fresh trajectory."""
        return self.layer.run(self.x[:, None])


def problem(cell, n, lags, inputs=8):
    """A fresh layer along noise, one step longer than the lags; recurrent weights a little larger, so that flow does not underflow."""
    layer = fresh(catalogue()[cell], n, inputs, seed=0).layers[0]
    layer.params.update({k: 1.5 * v for k, v in layer.params.items() if k.endswith("_y")})
    return Problem(cell, n, layer, np.random.default_rng(1).normal(size=(lags + 1, inputs)), lags)


def step(xp, cell, p, state, x):
    """state(t) from state(t-1), as one vector: (s, y) for an LSTM, y else."""
    sigma = lambda z: 1 / (1 + xp.exp(-z))  # noqa: E731
    if cell == "tanh":
        return xp.tanh(p["W_y"] @ state + p["W_x"] @ x + p["b"])
    if cell == "gru":
        r, z = (sigma(p[f"W_{g}_y"] @ state + p[f"W_{g}_x"] @ x + p[f"b_{g}"]) for g in "rz")
        new = xp.tanh(p["W_n_x"] @ x + p["b_n"] + r * (p["W_m_y"] @ state + p["b_m"]))
        return (1 - z) * new + z * state
    n = len(p["b_in"])
    s, y = state[:n], state[n:]
    i, f, c, o = (p[f"W_{g}_y"] @ y + p[f"W_{g}_x"] @ x + p[f"b_{g}"] for g in ("in", "f", "c", "out"))
    s = sigma(f) * s + sigma(i) * xp.tanh(c)
    return xp.concatenate([s, sigma(o) * xp.tanh(s)])


def dense_jacobian(xp, cell, p, state, x):
    """d state(t)/d state(t-1), [to, from], as one dense matrix, from state(t-1) and x(t)."""
    sigma = lambda z: 1 / (1 + xp.exp(-z))  # noqa: E731
    if cell == "tanh":
        return (1 - step(xp, cell, p, state, x) ** 2)[:, None] * p["W_y"]
    if cell == "gru":
        r, z = (sigma(p[f"W_{g}_y"] @ state + p[f"W_{g}_x"] @ x + p[f"b_{g}"]) for g in "rz")
        m = p["W_m_y"] @ state + p["b_m"]
        new = xp.tanh(p["W_n_x"] @ x + p["b_n"] + r * m)
        by_net = (1 - z) * (1 - new**2)
        return (xp.diag(z) + ((state - new) * z * (1 - z))[:, None] * p["W_z_y"] + (by_net * m * r * (1 - r))[:, None] * p["W_r_y"]
                + (by_net * r)[:, None] * p["W_m_y"])
    n = len(p["b_in"])
    s_prev, y = state[:n], state[n:]
    i, f, c, o = (p[f"W_{g}_y"] @ y + p[f"W_{g}_x"] @ x + p[f"b_{g}"] for g in ("in", "f", "c", "out"))
    i, f, c, o = sigma(i), sigma(f), xp.tanh(c), sigma(o)
    h = xp.tanh(f * s_prev + i * c)
    s_by_y = ((c * i * (1 - i))[:, None] * p["W_in_y"] + (s_prev * f * (1 - f))[:, None] * p["W_f_y"]
              + (i * (1 - c**2))[:, None] * p["W_c_y"])
    by_s = o * (1 - h**2)
    return xp.concatenate([
        xp.concatenate([xp.diag(f), s_by_y], axis=1),
        xp.concatenate([xp.diag(by_s * f), by_s[:, None] * s_by_y + (h * o * (1 - o))[:, None] * p["W_out_y"]], axis=1)])
