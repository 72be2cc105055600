"""What a user would write with torch, eager, float64, one thread."""

import numpy as np

__all__ = ["ways"]


def ways(problem, kinds):
    """{name: function} of the kinds asked for, nothing where torch is not installed."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    found = {
        "torch batched vjp": lambda v: _flow(torch, problem, 1),
        "torch one batched backward": lambda v: _flow(torch, problem, problem.n * (2 if problem.cell == "lstm" else 1)),
        "torch jacobian per lag": lambda v: _jacobian(torch, problem),
        "torch backward": lambda v: _flow(torch, problem, 1, v),
    }
    return {name: found[name] for name in kinds}


def _step(torch, cell, p, state, x):
    """[states] from [states], (rows, n) each, with F.linear: a product of a vector under vmap would be far slower."""
    linear, y = torch.nn.functional.linear, state[-1]
    gates = lambda names: (linear(y, p[f"W_{g}_y"]) + (p[f"W_{g}_x"] @ x + p[f"b_{g}"]) for g in names)  # noqa: E731
    if cell == "tanh":
        return [torch.tanh(linear(y, p["W_y"]) + (p["W_x"] @ x + p["b"]))]
    if cell == "gru":
        r, z = (torch.sigmoid(g) for g in gates("rz"))
        new = torch.tanh(p["W_n_x"] @ x + p["b_n"] + r * (linear(y, p["W_m_y"]) + p["b_m"]))
        return [(1 - z) * new + z * y]
    i, f, c, o = gates(("in", "f", "c", "out"))
    s = torch.sigmoid(f) * state[0] + torch.sigmoid(i) * torch.tanh(c)
    return [s, torch.sigmoid(o) * torch.tanh(s)]


def _start(torch, problem, rows):
    p = {k: torch.tensor(v) for k, v in problem.layer.params.items()}
    states = 2 if problem.cell == "lstm" else 1
    return p, torch.tensor(problem.x), [torch.zeros(rows, problem.n, dtype=torch.float64) for _ in range(states)]


def _flow(torch, problem, rows, v=None):
    """One backward pass: of the identity as a batch of vjps (rows = 1), over replicas of the net (rows = states), or of one vector v.

    Every state is a node of its own (clone), else an LSTM's s -> y within a step would count twice.
    """
    p, x, state = _start(torch, problem, rows)
    nodes = []
    for x_t in x:
        state = [s.clone().requires_grad_() if not s.requires_grad else s.clone() for s in state]
        nodes.append(state)
        state = _step(torch, problem.cell, p, state, x_t)
    final, flat = torch.cat(state, dim=1), [s for node in nodes for s in node]
    if v is not None:
        grads = torch.autograd.grad(final, flat, torch.tensor(v)[None])
    elif rows > 1:
        grads = torch.autograd.grad(final, flat, torch.eye(rows, dtype=final.dtype))
    else:
        seeds = torch.eye(final.shape[1], dtype=final.dtype)[:, None]
        grads = torch.autograd.grad(final, flat, seeds, is_grads_batched=True)
    norms = np.array([_log_norm(g) for g in grads]).reshape(len(x), -1)
    return np.logaddexp.reduce(2 * norms, axis=1)[::-1][:problem.lags] / (2 * np.log(10))


def _log_norm(g):
    """Natural log of the Frobenius norm, where squares would underflow as well."""
    largest = float(g.abs().max())
    return np.log(largest) + np.log(float((g / largest).norm()))


def _jacobian(torch, problem):
    """functional.jacobian of the last state by the state q steps before, a pass of its own for every lag."""
    with torch.no_grad():
        p, x, state = _start(torch, problem, 1)
        before = []
        for x_t in x:
            before.append(state)
            state = _step(torch, problem.cell, p, state, x_t)

    def last(joint, t):
        state = list(joint.reshape(len(before[0]), 1, -1))
        for x_t in x[t:]:
            state = _step(torch, problem.cell, p, state, x_t)
        return torch.cat(state, dim=1).ravel()

    norms = []
    for q in range(1, problem.lags + 1):
        t = len(x) - q
        joint = torch.cat(before[t], dim=0).ravel()
        norms.append(float(torch.autograd.functional.jacobian(lambda s, t=t: last(s, t), joint).norm()))
    return np.log10(norms)
