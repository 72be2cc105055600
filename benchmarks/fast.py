"""Compiled loops of small nets beside torch and JAX, forward pass included.

    gradient    BPTT over 1000 steps
    probe       one error vector sent back over 1000 steps, to all inputs
    profile     norms of the state flow over 1000 lags
    truncated   the rule of 1997: time per weight and step against the number of weights, time per step against the number of steps
"""

import time
from functools import partial

import numpy as np

from flowcheck import bptt, catalogue, compile_cell, state_flow, truncated_1997
from flowcheck.compiled import compile_loops, run_layer

from . import jax_ways
from .case import Case, run_seconds
from .nets import problem as net_problem

__all__ = ["cases", "draw", "truncated_scaling"]

STEPS, INPUTS = 1000, 9
AGREE = 1e-9
"""Relative to the largest entry: what 1000 steps leave of rounding in another order, times a thousand."""


def problem(name, n, inputs=INPUTS, steps=STEPS, batch=1):
    """(kernel, params, x, errors) of a random net and some sequences."""
    rng, kernel = np.random.default_rng(n), compile_cell(catalogue()[name])
    params = kernel.random_params(n, inputs, rng)
    return kernel, params, rng.normal(size=(steps, batch, inputs)), rng.normal(size=(steps, batch, n))


GATES = {"tanh": ("",), "lstm": ("in", "f", "c", "out")}


def stacked(name, params):
    """(W_x, W_y, b) with the gates' rows one below the other."""
    join = lambda *parts: "_".join(filter(None, parts))  # noqa: E731
    return [np.concatenate([params[join(*parts)] for parts in names]) for names in (
        [("W", k, "x") for k in GATES[name]], [("W", k, "y") for k in GATES[name]], [("b", k) for k in GATES[name]])]


def cases(quick):
    """Yield Cases, named "fast ..."."""
    yield gradient_case("lstm", 16)
    for name, n in [("tanh", 16), ("lstm", 16)] if quick else [(name, n) for name in ("tanh", "lstm") for n in (16, 64, 256)]:
        yield probe_case(name, n)
    for name, n in [("tanh", 16), ("lstm", 64)] if quick else [(name, n) for name in ("tanh", "gru", "lstm") for n in (16, 32, 64)]:
        yield profile_case(name, n)


def profile_case(name, n, lags=1000):
    p = net_problem(name, n, lags)
    kinds = ["jax scan of Jacobians", "jax jacrev over scan"]
    return Case(f"fast profile {name} n={n}, {lags} lags", {
        "flowcheck --fast": lambda: state_flow(run_layer(p.layer, p.x[:, None]), lags).log10_norm[0],
        "flowcheck": lambda: state_flow(p.run(), lags).log10_norm[0],
        **{kind: lambda way=way: way(None) for kind, way in jax_ways.ways(p, kinds).items()},
    })


def gradient_case(name, n):
    kernel, params, x, errors = problem(name, n)
    loops, split = compile_loops(kernel.cell), lambda w_x, w_y, b: {"W_x": w_x, "W_y": w_y, "b": b}
    ours = lambda: split(*stacked(name, bptt(loops.forward(params, x), errors).params))  # noqa: E731
    numpy = lambda: split(*stacked(name, bptt(kernel.forward(params, x), errors).params))  # noqa: E731
    ways = {"flowcheck --fast": ours, "flowcheck": numpy} | torch_gradient(name, params, x, errors) | jax_gradient(name, params, x, errors)
    return relative(f"fast gradient {name} n={n}, {STEPS} steps", ways)


def relative(name, ways):
    """A Case of ways that return dicts of arrays, to be equal relative to the largest entry of each."""
    largest = {key: np.abs(value).max() for key, value in next(iter(ways.values()))().items()}

    def flat(way):
        found = way()
        return np.concatenate([np.ravel(found[key]) / size for key, size in largest.items()])

    return Case(name, {label: lambda way=way: flat(way) for label, way in ways.items()}, agree=AGREE)


def probe_case(name, n):
    kernel, params, x, _ = problem(name, n)
    loops, v = compile_loops(kernel.cell), np.random.default_rng(1).normal(size=n)

    def ours():
        found, exponent = loops.send_back(loops.forward(params, x), "y", v, STEPS - 1)
        return {"x": np.ldexp(found["x"][:, 0], exponent[:, None])[::-1]}

    return relative(f"fast probe {name} n={n}, {STEPS} steps", {"flowcheck --fast": ours} | jax_probe(name, params, x, v))


def torch_gradient(name, params, x, errors):
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    leaves = [torch.tensor(w, requires_grad=True) for w in stacked(name, params)]
    inputs, weights = torch.tensor(x[:, 0]), torch.tensor(errors[:, 0])

    def run():
        w_x, w_y, b = leaves
        y = s = torch.zeros(weights.shape[1], dtype=inputs.dtype)
        total = 0.0
        for x_t, e_t in zip(inputs, weights, strict=True):
            net = w_x @ x_t + w_y @ y + b
            if name == "tanh":
                y = torch.tanh(net)
            else:
                i, f, c, o = net.chunk(4)
                s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(c)
                y = torch.sigmoid(o) * torch.tanh(s)
            total = total + y @ e_t
        return dict(zip(("W_x", "W_y", "b"), (g.numpy() for g in torch.autograd.grad(total, leaves)), strict=True))

    return {"torch eager": run}


def _jax_step(jax, name):
    def step(state, weights, x):
        w_x, w_y, b = weights
        y, s = state
        net = w_x @ x + w_y @ y + b
        if name == "tanh":
            return jax.numpy.tanh(net), s
        i, f, c, o = jax.numpy.split(net, 4)
        s = jax.nn.sigmoid(f) * s + jax.nn.sigmoid(i) * jax.numpy.tanh(c)
        return jax.nn.sigmoid(o) * jax.numpy.tanh(s), s

    return step


def _jax():
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    return jax


def jax_gradient(name, params, x, errors):
    jax = _jax()
    if jax is None:
        return {}
    step, zeros = _jax_step(jax, name), np.zeros(errors.shape[-1])

    def loss(weights, inputs, e):
        def body(state, x_e):
            state = step(state, weights, x_e[0])
            return state, state[0] @ x_e[1]

        return jax.lax.scan(body, (zeros, zeros), (inputs, e))[1].sum()

    gradient, weights = jax.jit(jax.grad(loss)), stacked(name, params)
    return {"JAX jit": lambda: dict(zip(("W_x", "W_y", "b"), map(np.asarray, gradient(weights, x[:, 0], errors[:, 0])), strict=True))}


def jax_probe(name, params, x, v):
    jax = _jax()
    if jax is None:
        return {}
    step, zeros, weights = _jax_step(jax, name), np.zeros(len(v)), stacked(name, params)

    def last(inputs):
        return jax.lax.scan(lambda state, x_t: (step(state, weights, x_t), None), (zeros, zeros), inputs)[0][0]

    probe = jax.jit(lambda inputs: jax.vjp(last, inputs)[1](v)[0])
    return {"JAX jit vjp": lambda: {"x": np.asarray(probe(x[:, 0]))}}


FAMILIES = {
    "square: units and sources grow alike": [(16, 4), (48, 6), (160, 6), (496, 6)],
    "oblong: a few units, more inputs": [(8, 24), (16, 139), (48, 471), (160, 1402)],
}
"""(units, inputs) of LSTMs of some 10^3, 10^4, 10^5 and 10^6 weights."""

ROWS_BYTES = 2**20
"""Rows of some steps of a forward pass alone, in the level-2 cache."""


def truncated_way(n, inputs, steps, batch=1):
    """(weights, call, forward) of the truncated rule with an error at every step: call(count) goes over the first steps; forward(count)
    runs the net alone over as many, a few at a time whose rows the level-2 cache holds. Checked against the NumPy rule first."""
    kernel, params, x, errors = problem("lstm", n, inputs, steps, batch)
    loops = compile_loops(kernel.cell)
    check = min(steps, 40), min(batch, 2)
    few = tuple(slice(count) for count in check)
    expected = truncated_1997(kernel.forward(params, x[few]), errors[few]).params
    found = loops.truncated_1997(params, x[few], errors[few]).params
    worst = max(np.abs(found[k] - expected[k]).max() / np.abs(expected[k]).max() for k in expected)
    if not worst < AGREE:
        raise SystemExit(f"truncated rule, n = {n}: differs by {worst:.1e}; nothing was timed")
    program = loops.program(params)
    most = min(steps, ROWS_BYTES // (8 * program.storage.size))
    weights, rows = program.storage.pack(params)[0], np.zeros((1, most + 1, program.storage.size))

    def forward(count):
        for start in range(0, count, most):
            few = min(most, count - start)
            program.forward(rows[:, :few + 1], x[start:start + few], weights, 0)

    return sum(v.size for v in params.values()), lambda count: loops.truncated_1997(params, x[:count], errors[:count]), forward


def truncated_scaling(repeats=5):
    """{family: [(units, weights, ns per weight and step)]}, [(steps, ns per step)] at 16 units, and the first of the forward pass alone;
    CPU time of one thread.

    All in turn, round after round, each call repeated until that is long enough: the least of many short runs would be less than that of
    a few long ones. A call costs some 0.2 ms of its own: of nets, the difference between all steps and half of them counts; short
    sequences go into a call together, 10^5 steps in all.
    """
    nets = {(family, n): (truncated_way(n, inputs, steps), steps) for family, sizes in FAMILIES.items() for n, inputs in sizes
            for steps in [max(512, min(6400, int(4e8 / (n * (n + inputs) * 4) / 64) * 64))]}
    lengths = (100, 1000, 10_000, 100_000, 1_000_000)
    sequences = {steps: truncated_way(16, INPUTS, steps, max(1, 100_000 // steps))[1] for steps in lengths}
    runs = {(net, count): partial(call, count) for net, ((_, call, _), steps) in nets.items() for count in (steps, steps // 2)}
    runs |= {(net, "alone"): partial(forward, steps) for net, ((*_, forward), steps) in nets.items()}
    runs |= {steps: partial(call, steps) for steps, call in sequences.items()}
    best = dict.fromkeys(runs, np.inf)
    for _ in range(repeats):
        for key, run in runs.items():
            best[key] = min(best[key], run_seconds(run, time.process_time))
    by_weights, alone = ({family: [] for family in FAMILIES} for _ in range(2))
    for (family, n), ((weights, *_), steps) in nets.items():
        a_step = (best[(family, n), steps] - best[(family, n), steps // 2]) / (steps - steps // 2)
        by_weights[family].append((n, weights, a_step / weights * 1e9))
        alone[family].append((n, weights, best[(family, n), "alone"] / steps / weights * 1e9))
    return by_weights, [(steps, best[steps] / max(steps, 100_000) * 1e9) for steps in lengths], alone


def shares(by_weights):
    """(a, b, largest relative deviation): time a step = a weights + b units, fitted to all nets, each relative to its time.

    Products and carried derivatives grow with the weights, squashing functions and their slopes with the units only.
    """
    units, weights, each = np.array([point for points in by_weights.values() for point in points]).T
    grid = np.stack([np.ones(len(each)), units / weights], axis=1) / each[:, None]
    (a, b), *_ = np.linalg.lstsq(grid, np.ones(len(each)))
    return float(a), float(b), float(np.abs(grid @ (a, b) - 1).max())


def truncated_rows(quick):
    """[{"what", "size", "nanoseconds"}] of the truncated rule, for the table."""
    by_weights, by_steps, alone = truncated_scaling(1 if quick else 5)
    a, b, deviation = shares(by_weights)
    fit = f"fit to {sum(map(len, by_weights.values()))} nets, off by {deviation:.0%} at most"
    return [{"what": f"{what}, {family}", "size": f"{weights} weights", "nanoseconds": ns}
            for what, found in (("a weight and step", by_weights), ("forward pass alone", alone))
            for family, points in found.items() for _, weights, ns in points] + [
        {"what": "time a step = a weights + b units: a", "size": fit, "nanoseconds": a},
        {"what": "time a step = a weights + b units: b", "size": fit, "nanoseconds": b}] + [
        {"what": "a step, 16 units", "size": f"{steps} steps", "nanoseconds": ns} for steps, ns in by_steps]


def draw(by_weights, by_steps, alone, path):
    """Write both curves as one SVG file."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    pyplot.rcParams |= {"svg.hashsalt": "flowcheck", "svg.fonttype": "none", "font.size": 9}
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    a, b, _ = shares(by_weights)
    for family, points in by_weights.items():
        units, weights, each = np.array(points).T
        line, = left.loglog(weights, each, "o", label=family)
        left.loglog(weights, a + b * units / weights, "--", color=line.get_color())
        left.loglog(weights, [ns for *_, ns in alone[family]], "o", mfc="none", color=line.get_color())
    left.loglog([], [], "ko", mfc="none", label="forward pass alone")
    left.loglog([], [], "k--", label=f"{a:.2g} ns a weight + {b:.2g} ns a unit")
    left.set(xlabel="weights", ylabel="ns per weight and step", ylim=(0.03, 3), title="Truncated rule of 1997, LSTM")
    left.legend(fontsize="small")
    right.loglog(*zip(*by_steps, strict=True), "o-")
    right.set(xlabel="steps", ylabel="ns per step", title=f"16 units, {INPUTS} inputs", ylim=(by_steps[-1][1] / 10, by_steps[-1][1] * 10))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
