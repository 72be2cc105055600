"""The cases: what is measured beside what. Sizes for a quick run of two minutes and for the full one."""

import contextlib
import importlib.util
import subprocess
import sys
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from flowcheck import bptt, catalogue, rtrl, state_flow
from flowcheck.compiled import MIDDLE, run_layer
from flowcheck.flow import cell_flows, error_flows, quantities, taken_by_sender
from flowcheck.flow.lyapunov import exponents
from flowcheck.flow.pairs import pair_flows
from flowcheck.flow.probes import probe_flow
from flowcheck.flow.spectra import spectral_norms
from flowcheck.formats import write_npz
from flowcheck.network import fresh
from flowcheck.report.text import runs_text
from flowcheck.runs import Settings, Store, measure_many
from flowcheck.threads import one_blas_thread

from . import jax_ways, numpy_ways, torch_ways
from .case import Case, Way
from .nets import FLOPS, problem

__all__ = ["cases"]

SCAN, VMAP, JACREV, VJP = "jax scan of Jacobians", "jax scan, vmap of vjp", "jax jacrev over scan", "jax jitted vjp"
ALL_ROWS, FAST_ALL_ROWS = "flowcheck, all rows, forward pass given", "flowcheck --fast, all rows, forward pass given"
BATCHED, REPLICAS, PER_LAG, BACKWARD = "torch batched vjp", "torch one batched backward", "torch jacobian per lag", "torch backward"

ROUNDS = 20
"""Of what takes two cores: of a few rounds, none may have had both to itself."""

LONG_ROUNDS = 8
"""The same where a round takes seconds."""


def cases(quick):
    """Yield Cases one by one, so that only one net is in memory at a time."""
    few = 0.4 if quick else 1.0
    for busy in (False, True):
        yield two_cores("tanh", 256, int(few * 500), busy)
    if not quick:
        yield checkpoints(200)
    lags = {("tanh", 64): 1000, ("tanh", 256): 1000, ("tanh", 512): 400, ("lstm", 64): 1000, ("lstm", 256): 400, ("lstm", 512): 120,
            ("gru", 64): 1000, ("gru", 256): 1000, ("gru", 512): 300}
    for (cell, n), q in lags.items():
        yield profile(cell, n, int(few * q), every=n == 64)
    yield of_full_rank(256, int(few * 1000))
    for cell in ("tanh", "gru", "lstm"):
        yield every_flow(cell, 256, int(few * 200))
    for n, q in [(64, 40)] if quick else [(64, 60), (256, 12)]:
        yield jacobian_per_lag(n, 1000, q)
    for cell, n in [("tanh", 64), ("tanh", 256), ("lstm", 256), ("gru", 256)]:
        yield probe(cell, n, 1000)
    yield spectral("tanh", 256, int(300 * few))
    yield pairs(256, 300 if quick else 1000)
    for n, steps in [(64, 300), (256, 100)]:
        yield frames(n, int(steps * few))
    yield every_weight(32, 20)
    if not quick:
        yield every_weight(128, 20)
    for cell, n, steps in [("lstm", 32, 80)] if quick else [("tanh", 32, 200), ("lstm", 32, 80), ("tanh", 64, 60), ("lstm", 64, 20)]:
        yield learning(cell, n, steps)


def log_norms(trajectory, lags, **how):
    return state_flow(trajectory, lags, **how).log10_norm[0]


def profile(cell, n, lags, every):
    """Norm of d state(t)/d state(t-q) for q = 1 ... lags, forward pass included but where it is given. Limit: products of all rows, as all
    ways but flowcheck's multiply them. Unless `every`: without the ways that hold all lags at once, whose memory grows with their square.
    """
    p = problem(cell, n, lags)
    run = p.run()
    fast = _fast_run(p)
    _ = run.partials, fast and fast.partials
    jax = [SCAN, *([VMAP] if cell != "tanh" else []), *([JACREV] if every else [])]
    torch = [BATCHED, *([REPLICAS] if every else [])]
    return Case(f"profile {cell} n={n}, {lags} lags", {
        "flowcheck": Way(lambda: log_norms(p.run(), lags), limited=False),
        **{name: Way(way, limited=False) for name, way in _fast(p, lambda run: log_norms(run, lags)).items()},
        "flowcheck, all rows": Way(lambda: log_norms(p.run(), lags, tail=0), limited=False),
        **{f"{name}, all rows": Way(way, limited=False) for name, way in _fast(p, lambda run: log_norms(run, lags, tail=0)).items()},
        ALL_ROWS: lambda: log_norms(run, lags, tail=0),
        **({FAST_ALL_ROWS: lambda: log_norms(fast, lags, tail=0)} if fast else {}),
        "numpy dense": lambda: numpy_ways.profile(p),
        **_bound(jax_ways.ways(p, jax), None), **_bound(torch_ways.ways(p, torch), None),
    }, limit=by_dgemm(n, FLOPS[cell] * n**3 * lags))


def of_full_rank(n, lags):
    """A net whose flow has one size in all directions for ever: no row can be left out, and every attempt is lost."""
    p = problem("tanh", n, lags)
    p.layer.params["W_y"][...] = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0]
    p.x[...] = 0.0
    p.layer.params["b"][...] = 0.0
    run = p.run()
    _ = run.partials
    return Case(f"profile of full rank tanh n={n}, {lags} lags", {
        "flowcheck": lambda: log_norms(run, lags), "flowcheck, all rows": lambda: log_norms(run, lags, tail=0),
        "numpy dense": lambda: numpy_ways.profile(p),
    }, limit=by_dgemm(n, FLOPS["tanh"] * n**3 * lags))


def every_flow(cell, n, lags):
    """The full and truncated flows that are measured of a net, from one product where one has them all, beside one for each sender."""
    p = problem(cell, n, lags)
    run, cuts = p.run(), ((), True)
    _ = run.partials
    named = quantities(run.kernel.cell)
    norms = lambda each: np.concatenate([f.log10_norm[0][f.log10_norm[0] > -np.inf] for flows in each for f in flows.values()])  # noqa: E731
    return Case(f"every flow {cell} n={n}, {lags} lags", {
        "flowcheck": lambda: norms(cell_flows(run, lags, cut=cut) for cut in cuts),
        "flowcheck, a product for each sender": lambda: norms(taken_by_sender(
            named, partial(state_flow, run, lags, cut=cut), partial(error_flows, run, lags=lags, cut=cut)) for cut in cuts),
    })


def jacobian_per_lag(n, lags, measured):
    """torch.autograd.functional.jacobian lag by lag costs O(lags^2): measured over the first lags, the rest from a + b q per lag, where a
    pass is taken to cost five steps beside those that it walks back."""
    p, short = problem("tanh", n, lags), problem("tanh", n, measured)
    work = lambda q: 5 * q + q * q / 2  # noqa: E731
    ways = _bound(torch_ways.ways(short, [PER_LAG]), None)
    return Case(f"profile tanh n={n}, {lags} lags, one by one", {
        "flowcheck": Way(lambda: [None, log_norms(p.run(), lags)][0]),
        **{name: Way(lambda run=run: [None, run()][0], work(lags) / work(measured)) for name, run in ways.items()},
    })


def probe(cell, n, steps):
    """One random error vector sent back over the whole sequence, forward pass included."""
    p = problem(cell, n, steps)
    size = n * (2 if cell == "lstm" else 1)
    v = np.random.default_rng(0).normal(size=(1, size))[0]
    weights = sum(w.size for k, w in p.layer.params.items() if k.endswith("_y"))
    return Case(f"probe {cell} n={n}, {steps} steps", {
        "flowcheck": lambda: probe_flow(p.run(), steps, count=1, seed=0).log10_norm[0],
        **_fast(p, lambda run: probe_flow(run, steps, count=1, seed=0).log10_norm[0]),
        **_bound(jax_ways.ways(p, [VJP]), v), **_bound(torch_ways.ways(p, [BACKWARD]), v),
    }, limit=by_vectors(2 * steps * weights, weights))


def by_dgemm(n, operations):
    """So many floating-point operations in n x n products."""
    rng = np.random.default_rng(0)
    a, b, out = rng.normal(size=(n, n)), rng.normal(size=(n, n)), np.empty((n, n))
    return Way(lambda: np.matmul(a, b, out=out), operations / (2 * n**3))


def _halves(n, lags):
    """So many n x n products, half the rows on each of two threads."""
    a, b, out = np.ones((n, n)), np.ones((n, n)), np.empty((n, n))

    def multiply(rows):
        for _ in range(lags):
            np.matmul(a[rows], b, out=out[rows])

    with one_blas_thread(), ThreadPoolExecutor(2) as pool:
        list(pool.map(multiply, [slice(0, n // 2), slice(n // 2, n)]))


def by_vectors(entries, size):
    """Reading so many weights in products of one vector with a matrix of `size` weights: what a probe cannot do without."""
    n = int(np.sqrt(size))
    w, v = np.ones((n, n)), np.ones(n)
    return Way(lambda: v @ w, entries / n**2)


def spectral(cell, n, lags):
    """Largest singular value at every lag; the Frobenius norms beside it, for the ratio."""
    p = problem(cell, n, lags)
    run = p.run()
    _ = run.partials
    return Case(f"spectral norm {cell} n={n}, {lags} lags", {
        "flowcheck": lambda: spectral_norms(run, lags).log10_norm,
        "flowcheck, Frobenius norms": lambda: [None, log_norms(run, lags)][0],
        "numpy svd": lambda: numpy_ways.spectral(p, "svd"), "numpy eigvalsh": lambda: numpy_ways.spectral(p, "eigvalsh"),
    }, agree=2e-9)


def pairs(n, steps):
    """All pairs of end time and lag, one error vector each."""
    p = problem("tanh", n, steps - 1)
    run = p.run()
    _ = run.partials
    v = np.random.default_rng(0).normal(size=n)
    v /= np.linalg.norm(v)
    keep = np.tril(np.ones((steps, steps), bool))
    return Case(f"all pairs tanh n={n}, {steps} steps", {
        "flowcheck": lambda: pair_flows(run).log10_norm[keep],
        "numpy, end by end": lambda: numpy_ways.all_pairs(p, v, steps - 1)[keep],
    }, limit=by_dgemm(n, n * n * steps * steps))


def frames(n, steps):
    """All Lyapunov exponents along a run; the sum is checked against log |det J| on our side only."""
    p = problem("tanh", n, steps)
    run = p.run()
    _ = run.partials
    return Case(f"exponents tanh n={n}, {steps} steps", {
        "flowcheck": lambda: exponents(run).values, "numpy qr": lambda: numpy_ways.exponents(p),
    })


def every_weight(n, steps):
    """dE/dw of every weight of an LSTM, carried forward; torch's gradcheck on the biases of one gate, scaled up to all weights."""
    layer = fresh(catalogue()["lstm"], n, 8, seed=0).layers[0]
    rng = np.random.default_rng(0)
    run = layer.run(rng.normal(size=(steps, 1, 8)))
    errors = rng.normal(size=run["y"].shape)
    flat = lambda g: np.concatenate([g.params[k].ravel() for k in layer.params])  # noqa: E731
    count = sum(v.size for v in layer.params.values())
    return Case(f"all {count} weights, lstm n={n}, {steps} steps", {
        "flowcheck": lambda: flat(rtrl(run, errors)), "flowcheck, bptt": lambda: flat(bptt(run, errors)),
        **_gradcheck(layer, run, errors, count / n),
    }, agree=1e-10)


def learning(cell, n, steps):
    """RTRL, forward pass given, beside the textbook's: all weights at once, one product with the dense step Jacobian a step. BPTT does not
    learn online; all agree to 1e-12 of each array's largest entry. Floor: J(t), as formed blocks, times d state/dw at each step but one."""
    p = problem(cell, n, steps - 1)
    run, rng = p.run(), np.random.default_rng(0)
    compiled = [run_layer(p.layer, p.x[:, None])] if importlib.util.find_spec("numba") else []
    for trajectory in (run, *compiled):
        _ = trajectory.partials
    errors = rng.normal(size=run["y"].shape)
    count, largest = sum(v.size for v in p.layer.params.values()), {k: np.abs(v).max() for k, v in bptt(run, errors).params.items()}
    flat = lambda g: np.concatenate([g.params[k].ravel() / largest[k] for k in p.layer.params])  # noqa: E731
    return Case(f"rtrl {cell} n={n}, {steps} steps, {count} weights", {
        "flowcheck": lambda: flat(rtrl(run, errors)),
        **{"flowcheck --fast": lambda compiled=compiled: flat(rtrl(compiled, errors)) for compiled in compiled},
        "flowcheck, bptt": Way(lambda: flat(bptt(run, errors)), limited=False),
        "numpy, product with all weights": lambda: numpy_ways.carried(p, count),
    }, limit=by_dgemm(256, FLOPS[cell] * n**2 * (steps - 1) * count / (2 if cell == "lstm" else 1)), agree=1e-12)


def _gradcheck(layer, run, errors, factor):
    try:
        import torch
    except ImportError:
        return {}
    p = {k: torch.tensor(v) for k, v in layer.params.items()}
    x, e = torch.tensor(run.inputs["x"][:, 0]), torch.tensor(errors[:, 0])

    def loss(b_f):
        s = y = torch.zeros(1, len(b_f), dtype=torch.float64)
        total = 0.0
        for x_t, e_t in zip(x, e, strict=True):
            i, f, c, o = (torch.nn.functional.linear(y, p[f"W_{g}_y"]) + p[f"W_{g}_x"] @ x_t + b
                          for g, b in (("in", p["b_in"]), ("f", b_f), ("c", p["b_c"]), ("out", p["b_out"])))
            s = torch.sigmoid(f) * s + torch.sigmoid(i) * torch.tanh(c)
            y = torch.sigmoid(o) * torch.tanh(s)
            total = total + (e_t * y).sum()
        return total

    return {"torch gradcheck slow": Way(lambda: [None, torch.autograd.gradcheck(loss, p["b_f"].clone().requires_grad_())][0], factor)}


def two_cores(cell, n, lags, busy):
    """All rows, in two blocks on two threads, against one, by the clock on the wall, alone and beside a process that keeps one core busy.
    Limit: the products of both blocks and nothing else."""
    run = problem(cell, n, lags).run()
    _ = run.partials
    return Case(f"two cores {cell} n={n}, {lags} lags" + (", one core busy" if busy else ""), {
        "flowcheck, two threads": lambda: log_norms(run, lags, threads=2, tail=0),
        "flowcheck, one thread": Way(lambda: log_norms(run, lags, tail=0), limited=False),
    }, wall=True, setup=_busy_neighbour() if busy else None, limit=Way(lambda: _halves(n, lags)), rounds=ROUNDS)


def checkpoints(count):
    """A training run's small nets, measured over 100 lags by one worker and by two, and shown: all that the command does, workers' start
    included, but for the first time, which is not timed, from a process that has imported what they need. The rows must be the same."""
    folder = tempfile.TemporaryDirectory()
    paths = [f"{folder.name}/{k}.npz" for k in range(count)]
    for seed, path in enumerate(paths):
        write_npz(fresh(catalogue()["lstm"], 32, 8, seed), path)

    def measured(workers):
        with tempfile.TemporaryDirectory() as there:
            store = Store(f"{there}/nets.sqlite")
            runs_text(measure_many(paths, Settings(), store, workers=workers), store.path)
            return [zlib.crc32(document.encode()) for document, in store.database.execute("SELECT document FROM nets ORDER BY net")]

    return Case(f"{count} checkpoints, lstm n=32", {
        "flowcheck, two workers": lambda: measured(2), "flowcheck, one worker": lambda: measured(1),
    }, agree=1, wall=True, setup=folder, rounds=LONG_ROUNDS)


@contextlib.contextmanager
def _busy_neighbour():
    """Another process that computes without a pause."""
    spin = "import numpy as np\na = np.ones((256, 256))\nwhile True:\n    a @ a"
    neighbour = subprocess.Popen([sys.executable, "-c", spin])
    try:
        yield
    finally:
        neighbour.kill()
        neighbour.wait()


def _fast_run(p):
    """Its trajectory with `--fast`, None where that is no other way."""
    return None if p.n > MIDDLE or importlib.util.find_spec("numba") is None else run_layer(p.layer, p.x[:, None])


def _fast(p, measured):
    """The same with `--fast`, where that is another way."""
    return {} if _fast_run(p) is None else {"flowcheck --fast": lambda: measured(_fast_run(p))}


def _bound(ways, v):
    return {name: lambda way=way: way(v) for name, way in ways.items()}
