"""The full flow profile: norm of d state(t)/d state(t-q) for q = 1 ... lags, beside what a user would write instead.

    numpy   products of step Jacobians formed by hand as dense matrices, P <- P J(t-q+1), rescaled
    torch   the same products without gradients (analytic slopes, F.linear)
    vjp     torch autograd, all rows of the identity sent back in one batch (is_grads_batched), read at every step

The limit is the time that the least number of floating-point operations takes at the dgemm rate of that size.
"""

import numpy as np

from flowcheck import catalogue, state_flow
from flowcheck.network import fresh

__all__ = ["CASES", "alternatives", "least_flops", "ours", "problem"]

CASES = [("tanh", 64, 300), ("tanh", 256, 300), ("lstm", 64, 200), ("lstm", 256, 100)]


def problem(cell, n, lags):
    """A fresh layer along noise, its slopes already evaluated."""
    layer = fresh(catalogue()[cell], n, 8, seed=0).layers[0]
    run = layer.run(np.random.default_rng(1).normal(size=(lags + 10, 1, 8)))
    _ = run.partials
    return layer, run


def least_flops(cell, n, lags):
    """2 n^3 a lag for one dense block of n rows, 8 n^3 for an LSTM (two dense blocks of 2n rows)."""
    return lags * n**3 * {"tanh": 2, "lstm": 8}[cell]


def ours(layer, run, lags):
    return state_flow(run, lags).log10_norm[0]


def alternatives(cell, layer, run, lags):
    """{name: function that returns the log10 norms}, those whose library is installed."""
    jacobian = {"tanh": _tanh_jacobian, "lstm": _lstm_jacobian}[cell]
    found = {"numpy": lambda: _products(jacobian, layer, run, lags)}
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    return found | {"torch vjp": lambda: _torch_vjp(torch, cell, layer, run, lags)}


def _products(jacobian, layer, run, lags):
    product, scale, norms = None, 0.0, []
    for q in range(1, lags + 1):
        j = jacobian(layer.params, run, run.steps - q)
        product = j if product is None else product @ j
        size = np.linalg.norm(product)
        norms.append(scale + np.log10(size))
        product, scale = product / size, norms[-1]
    return np.array(norms)


def _tanh_jacobian(params, run, t):
    return np.diag(1 - run["y"][t, 0] ** 2) @ params["W_y"]


def _lstm_jacobian(params, run, t):
    i, f, c, o = (run[name][t, 0] for name in ("y_in", "y_f", "c", "y_out"))
    before, s = run.at("s_prev", t)[0], run["s"][t, 0]
    s_by_y = (np.diag(c * i * (1 - i)) @ params["W_in_y"] + np.diag(before * f * (1 - f)) @ params["W_f_y"]
              + np.diag(i * (1 - c**2)) @ params["W_c_y"])
    h = np.tanh(s)
    by_s = o * (1 - h**2)
    return np.block([[np.diag(f), s_by_y],
                     [np.diag(by_s * f), np.diag(by_s) @ s_by_y + np.diag(h * o * (1 - o)) @ params["W_out_y"]]])


def _torch_vjp(torch, cell, layer, run, lags):
    """One batched backward pass; float64 without rescaling, so lags at which the flow underflows would come out as zero."""
    p = {k: torch.tensor(v) for k, v in layer.params.items()}
    start, linear = run.steps - lags, torch.nn.functional.linear
    x = torch.tensor(run["x"][start:, 0])
    state = [torch.tensor(run.at(old, start)) for old in run.kernel.states]
    nodes = []
    for x_t in x:
        state = [v.clone().requires_grad_() if not v.requires_grad else v.clone() for v in state]
        nodes.append(state)
        y = state[-1]
        if cell == "tanh":
            state = [torch.tanh(linear(y, p["W_y"]) + p["W_x"] @ x_t + p["b"])]
        else:
            i, f, c, o = (linear(y, p[f"W_{g}_y"]) + p[f"W_{g}_x"] @ x_t + p[f"b_{g}"] for g in ("in", "f", "c", "out"))
            s = torch.sigmoid(f) * state[0] + torch.sigmoid(i) * torch.tanh(c)
            state = [s, torch.sigmoid(o) * torch.tanh(s)]
    final = torch.cat(state, dim=1)
    seeds = torch.eye(final.shape[1], dtype=final.dtype)[:, None]
    flat = [v for node in nodes for v in node]
    grads = torch.autograd.grad(final, flat, seeds, is_grads_batched=True)
    width = len(state)
    norms = [sum(float((g**2).sum()) for g in grads[k * width:(k + 1) * width]) for k in range(lags)]
    return np.log10(norms[::-1]) / 2
