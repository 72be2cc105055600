"""Steps a second of training the net of task 2c (6,064 weights) by the rule of 1997, beside torch, JAX and a loop written by hand.

All ways make the same change of weights over one sequence, checked first. `python -m benchmarks --only training`
"""

import numpy as np

from flowcheck import catalogue
from flowcheck.compiled.lanes import LANES, Lanes
from flowcheck.compiled.online import Online
from flowcheck.experiments.adding import adding
from flowcheck.experiments.long_lag import very_long
from flowcheck.experiments.nets import initial, with_outputs

from .case import Case, Way

__all__ = ["cases"]

Q = P = 1000
RATE = 0.01
AGREE = 1e-9


def by_hand():
    """A Numba loop for two memory cells of size 1 without biases, one-hot inputs, errors at the end; slopes from values."""
    import math

    from numba import njit

    @njit(error_model="numpy")
    def learn(starts, x, target, W, V, dW, p_in, p_c, src):  # W (inputs + 6, 6): columns in0 in1 out0 out1 c0 c1; V (2, 2)
        m = W.shape[0] - 6
        for n in range(starts.shape[0] - 1):
            p_in[:] = 0.0
            p_c[:] = 0.0
            src[:] = 0.0
            s0 = s1 = y0 = y1 = h0 = h1 = o0 = o1 = 0.0
            code = 0
            for t in range(starts[n], starts[n + 1]):
                code = x[t]
                n0, n1, n2, n3, n4, n5 = W[code]
                for j in range(6):
                    v = src[j]
                    n0 += v * W[m + j, 0]
                    n1 += v * W[m + j, 1]
                    n2 += v * W[m + j, 2]
                    n3 += v * W[m + j, 3]
                    n4 += v * W[m + j, 4]
                    n5 += v * W[m + j, 5]
                i0, i1 = 1 / (1 + math.exp(-n0)), 1 / (1 + math.exp(-n1))
                o0, o1 = 1 / (1 + math.exp(-n2)), 1 / (1 + math.exp(-n3))
                g0, g1 = 4 / (1 + math.exp(-n4)) - 2, 4 / (1 + math.exp(-n5)) - 2
                s0 += i0 * g0
                s1 += i1 * g1
                u0, u1 = g0 * i0 * (1 - i0), g1 * i1 * (1 - i1)
                c0, c1 = i0 * (1 - g0 * g0 / 4), i1 * (1 - g1 * g1 / 4)
                p_in[code, 0] += u0
                p_in[code, 1] += u1
                p_c[code, 0] += c0
                p_c[code, 1] += c1
                for j in range(6):
                    v = src[j]
                    p_in[m + j, 0] += u0 * v
                    p_in[m + j, 1] += u1 * v
                    p_c[m + j, 0] += c0 * v
                    p_c[m + j, 1] += c1 * v
                h0, h1 = 2 / (1 + math.exp(-s0)) - 1, 2 / (1 + math.exp(-s1)) - 1
                y0, y1 = o0 * h0, o1 * h1
                last = src.copy() if t == starts[n + 1] - 1 else src
                src[0], src[1], src[2], src[3], src[4], src[5] = y0, y1, i0, i1, o0, o1
            k0, k1 = 1 / (1 + math.exp(-(V[0, 0] * y0 + V[0, 1] * y1))), 1 / (1 + math.exp(-(V[1, 0] * y0 + V[1, 1] * y1)))
            end = starts[n + 1] - 1
            e0, e1 = (k0 - target[end, 0]) * k0 * (1 - k0), (k1 - target[end, 1]) * k1 * (1 - k1)
            b0, b1 = V[0, 0] * e0 + V[1, 0] * e1, V[0, 1] * e0 + V[1, 1] * e1
            q0, q1 = b0 * o0 * (1 - h0 * h0) / 2, b1 * o1 * (1 - h1 * h1) / 2
            r0, r1 = b0 * h0 * o0 * (1 - o0), b1 * h1 * o1 * (1 - o1)
            for j in range(m + 6):
                W[j, 0] -= RATE * q0 * p_in[j, 0]
                W[j, 1] -= RATE * q1 * p_in[j, 1]
                W[j, 4] -= RATE * q0 * p_c[j, 0]
                W[j, 5] -= RATE * q1 * p_c[j, 1]
            W[code, 2] -= RATE * r0
            W[code, 3] -= RATE * r1
            for j in range(6):
                W[m + j, 2] -= RATE * r0 * last[j]
                W[m + j, 3] -= RATE * r1 * last[j]
            V[0, 0] -= RATE * e0 * y0
            V[0, 1] -= RATE * e0 * y1
            V[1, 0] -= RATE * e1 * y0
            V[1, 1] -= RATE * e1 * y1

    return learn


SOURCES = ("x", "y", "y_in", "y_out")


def matrices(params):
    """(W (6, inputs + 6), V (2, 2)): rows in, out, c; columns x, y, y_in, y_out."""
    return np.concatenate([np.concatenate([params[f"W_{r}_{s}"] for s in SOURCES], axis=1) for r in ("in", "out", "c")]), params["W_k_y"]


def torch_way(params, sequence):
    import torch

    torch.set_num_threads(1)
    W, V = (torch.tensor(a, requires_grad=True) for a in matrices(params))
    m = W.shape[1] - 6

    def run():
        s, src = torch.zeros(2, dtype=W.dtype), torch.zeros(6, dtype=W.dtype)
        for code in sequence.x.tolist():
            net = W[:, code] + W[:, m:] @ src.detach()
            i, o, g = torch.sigmoid(net[:2]), torch.sigmoid(net[2:4]), 2 * torch.tanh(net[4:] / 2)
            s = s + i * g
            y = o * torch.tanh(s / 2)
            src = torch.cat([y, i, o])
        k = torch.sigmoid(V @ y)
        loss = ((k - torch.tensor(sequence.target[-1])) ** 2).sum() / 2
        dW, dV = torch.autograd.grad(loss, [W, V])
        return (W - RATE * dW).detach().numpy(), (V - RATE * dV).detach().numpy()

    return run


def jax_way(params, sequence):
    import jax

    jax.config.update("jax_enable_x64", True)
    W, V = matrices(params)
    m = W.shape[1] - 6

    def loss(weights, x, target):
        W, V = weights

        def step(state, code):
            s, src = state
            net = W[:, code] + W[:, m:] @ jax.lax.stop_gradient(src)
            i, o, g = jax.nn.sigmoid(net[:2]), jax.nn.sigmoid(net[2:4]), 2 * jax.numpy.tanh(net[4:] / 2)
            s = s + i * g
            y = o * jax.numpy.tanh(s / 2)
            return (s, jax.numpy.concatenate([y, i, o])), None

        (_, src), _ = jax.lax.scan(step, (jax.numpy.zeros(2), jax.numpy.zeros(6)), x)
        return ((jax.nn.sigmoid(V @ src[:2]) - target) ** 2).sum() / 2

    gradient = jax.jit(jax.grad(loss))

    def run():
        dW, dV = gradient((W, V), sequence.x, sequence.target[-1])
        return W - RATE * np.asarray(dW), V - RATE * np.asarray(dV)

    return run


def net_2c():
    cell, rng = with_outputs(catalogue()["lstm1997"]), np.random.default_rng(0)
    params, frozen = initial(cell, {"units": 2, "inputs": P + 4, "outputs": 2}, rng, 0.2)
    return cell, params, frozen, rng


def cases(quick):
    """Yield Cases, named "training ...": seconds for 1,000,000 steps; ways that take one sequence a call are scaled up."""
    cell, params, frozen, rng = net_2c()
    one, batch = very_long(rng, 1, Q, P), very_long(rng, 4 if quick else 20, Q, P)
    start = lambda: Online(cell, params, one_hot=True, alpha=RATE, frozen=frozen)  # noqa: E731
    net = start()
    net.run(one)
    expected, net = matrices(net.params), start()
    learn, m = by_hand(), P + 4
    W, V = (np.ascontiguousarray(a) for a in (matrices(params)[0].T, matrices(params)[1].copy()))
    room = np.zeros((m + 6, 2)), np.zeros((m + 6, 2)), np.zeros(6)
    learn(one.starts, one.x, one.target, W, V, W, *room)
    agree("a loop by hand", (W.T, V), expected)
    whole, single = 1e6 / len(batch.x), 1e6 / len(one.x)
    nets, batches = [start() for _ in range(LANES)], [very_long(rng, len(batch), Q, P) for _ in range(LANES)]
    lanes = together(nets, batches, start)
    ways = {"flowcheck": Way(lambda: nothing(net.run(batch)), whole),
            f"flowcheck, {LANES} nets in lanes": Way(lambda: nothing(lanes.run(nets, batches)), 1e6 / sum(len(b.x) for b in batches)),
            "a Numba loop by hand": Way(lambda: nothing(learn(batch.starts, batch.x, batch.target, W, V, W, *room)), whole)}
    for name, way in (("JAX jit, one sequence a call", jax_way), ("torch eager", torch_way)):
        try:
            run = way(params, one)
        except ImportError:
            continue
        agree(name, run(), expected)
        ways[name] = Way(lambda run=run: nothing(run()), single)
    yield Case("training on task 2c, q = p = 1000, 1e6 steps", ways)
    cell = with_outputs(catalogue()["lstm1997"])
    params, frozen = initial(cell, {"units": 4, "inputs": 2, "outputs": 1}, rng, 0.1, blocks=2, biases=("b_in", "b_out", "b_c", "b_k"),
                             fixed={"b_in": [-3, -6]})
    start = lambda: Online(cell, params, alpha=0.5, frozen=frozen)  # noqa: E731
    adder, sums = start(), adding(rng, 40, 500)
    adders, tasks = [start() for _ in range(LANES)], [adding(rng, 40, 500) for _ in range(LANES)]
    added = together(adders, tasks, start)
    yield Case("training on adding, T = 500, 1e6 steps", {
        "flowcheck": Way(lambda: nothing(adder.run(sums)), 1e6 / len(sums.x)),
        f"flowcheck, {LANES} nets in lanes": Way(lambda: nothing(added.run(adders, tasks)), 1e6 / sum(len(t.x) for t in tasks))})


def together(nets, batches, start):
    """Lanes for the nets, after a first run in which each has learned exactly what a net alone learns."""
    lanes = Lanes(nets[0])
    lanes.run(nets, batches)
    for net, batch in zip(nets, batches, strict=True):
        alone = start()
        alone.run(batch)
        if not np.array_equal(net.w, alone.w):
            raise SystemExit("a net in a lane learns something else than alone; nothing was timed")
    return lanes


def nothing(_):
    """No numbers to compare: the weights go on changing from run to run."""


def agree(name, found, expected):
    for a, b in zip(found, expected, strict=True):
        if not np.abs(a - b).max() < AGREE * RATE:
            raise SystemExit(f"{name} changes the weights by {np.abs(a - b).max():.1e} otherwise; nothing was timed")
