"""Probes: rows of the full flow, cell by cell; streams over checkpoints and files; intervals that hold; memory like the root of time."""

import tracemalloc

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, state_flow
from flowcheck.flow import probes, state_matrices
from flowcheck.flow.probes import probe_flow, streamed_probes
from flowcheck.flow.rows import RowProduct
from flowcheck.kernels import ShapeError
from flowcheck.step import Step


def a_net(cell, rng, gain=1.2, units=6):
    kernel = compile_cell(cell)
    params = kernel.random_params(units, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    return kernel, {k: gain * v for k, v in params.items()}


def a_run(cell, rng, steps=40, **more):
    kernel, params = a_net(cell, rng, **more)
    return kernel.forward(params, rng.normal(size=(steps, 1, 3)))


def size_of(run):
    return sum(run[s].shape[-1] for s in run.kernel.states.values())


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
@pytest.mark.parametrize("count", [1, 7], ids=["vectors", "a matrix"])
def test_probes_are_rows_times_the_flow(cell, count, cut, rng, monkeypatch):
    monkeypatch.setattr(probes, "_WINDOW", 15)  # two seams
    run = a_run(cell, rng)
    found = probe_flow(run, 38, count=count, seed=5, cut=cut)
    v = np.random.default_rng(5).normal(size=(count, size_of(run)))
    states = [*run.kernel.states.values()]
    for q, m, exponent, _ in state_matrices(run, 38, cut=cut):
        sent = np.linalg.norm(v @ np.block([[m[a, c] for c in states] for a in states]), axis=1)
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(found.log10_norm[:, q - 1], np.log10(sent) + exponent * np.log10(2), rtol=0, atol=1e-10)
    assert found.gradient == ("truncated" if cut and cell.recurrent_edges else "full")


def test_collapsed_slopes_and_equations_one_by_one_agree(cell, rng):
    run = a_run(cell, rng)
    fast, slow = RowProduct(Step(run)), RowProduct(Step(run))
    slow.slopes = None
    rows = rng.normal(size=(2, size_of(run)))
    np.testing.assert_allclose(fast.back(rows, 30, 12), slow.back(rows, 30, 12), rtol=0, atol=1e-12)


def test_the_cells_of_today_are_collapsed(rng):
    for name in ("lstm", "gru", "tanh", "conventional"):
        assert RowProduct(Step(a_run(catalogue()[name], rng))).slopes is not None, name


def test_given_errors_at_any_state(rng):
    run = a_run(catalogue()["lstm"], rng)
    e_s, e_y = rng.normal(size=(2, 2, 6))
    both, only_y = probe_flow(run, 20, {"s": e_s, "y": e_y}), probe_flow(run, 20, e_y)
    for q, m, exponent, _ in state_matrices(run, 20):
        rows_s = np.hstack([m["s", "s"], m["s", "y"]])
        rows_y = np.hstack([m["y", "s"], m["y", "y"]])
        for found, sent in ((both, e_s @ rows_s + e_y @ rows_y), (only_y, e_y @ rows_y)):
            expected = np.log10(np.linalg.norm(sent, axis=1)) + exponent * np.log10(2)
            np.testing.assert_allclose(found.log10_norm[:, q - 1], expected, rtol=0, atol=1e-11)
    with pytest.raises(ValueError, match="random"):
        both.frobenius()


def test_a_flow_below_the_floor_is_seen_as_such(rng):
    """A nilpotent step: all that comes after its order is rounding."""
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    W = turn @ np.diag([3.0, 3.0, 0.0, 0.0], k=1) @ turn.T
    run = compile_cell(catalogue()["tanh"]).forward({"W_x": np.zeros((5, 1)), "W_y": W, "b": np.zeros(5)}, np.zeros((30, 1, 1)))
    for errors in (None, rng.normal(size=(3, 5))):
        found = probe_flow(run, 25, errors, count=3)
        above = found.log10_norm > found.log10_floor
        assert above[:, :2].all() and not above[:, 3:].any()


def test_the_frobenius_norm_lies_in_its_interval(rng):
    """Over 200 seeds of 3 probes a 95 % interval misses at most 10 in a hundred, at every lag; without the right factor most would miss."""
    run = a_run(catalogue()["tanh"], rng, steps=30, gain=2.0)
    exact, missed, centred = state_flow(run, 28).log10_norm[0], 0, 0
    for seed in range(200):
        estimate, low, high = probe_flow(run, 28, count=3, seed=seed).frobenius()
        assert np.all((low < estimate) & (estimate < high))
        missed = missed + ((exact < low) | (exact > high))
        centred = centred + 10 ** (2 * (estimate - exact)) / 200
    assert np.all(missed <= 20), missed
    np.testing.assert_allclose(centred, 1.0, atol=4 * np.sqrt(2 / 3 / 200))  # four standard errors of a rank-one estimate


def streamed(cell, rng, pieces):
    """(Probes of a stream of 130 steps in at least two segments, the same of the whole trajectory), `pieces` of x streamed."""
    kernel, params = a_net(cell, rng)
    x = rng.normal(size=(130, 3))
    state0 = {old: rng.normal(size=(1, kernel.lengths(params)[cell.sizes[old]])) for old in kernel.states}
    whole = probe_flow(kernel.forward(params, x[:, None], state0), 129, count=2)
    words, memory = [], 2_000 * sum(state.size for state in state0.values())
    found = streamed_probes(kernel, params, pieces(x), count=2, state0=state0, memory=memory, progress=words.append)
    assert len(words) >= 4, "two segments or more, each forward and back"
    return found, whole


def test_a_stream_gives_the_numbers_of_the_whole(cell, rng):
    found, whole = streamed(cell, rng, lambda x: x)
    np.testing.assert_allclose(found.log10_norm, whole.log10_norm, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.log10_floor, whole.log10_floor, rtol=0, atol=0.2)
    assert np.array_equal(found.lags, np.arange(1, 130))


@pytest.mark.parametrize("how", ["memmap", "pieces"])
def test_what_is_no_array_streams_as_well(how, rng, tmp_path):
    def mapped(x):
        file = np.memmap(tmp_path / "x", float, "w+", shape=x.shape)
        file[:] = x
        return file

    found, whole = streamed(catalogue()["gru"], rng, mapped if how == "memmap" else lambda x: (x[k:k + 17] for k in range(0, 130, 17)))
    np.testing.assert_allclose(found.log10_norm, whole.log10_norm, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["elman", "mamba", "lstm"])
def test_errors_at_any_vector_of_the_last_step(name, rng):
    """The output where it is no state, an activation, and both together, against the flow of each vector by the states before."""
    cell = catalogue()[name]
    run = a_run(cell, rng)
    inner = cell.units[0].out.name
    errors = {v: rng.normal(size=(2, run[v].shape[-1])) for v in dict.fromkeys((cell.output.name, inner))}
    found = probe_flow(run, 20, errors)
    step = Step(run)
    adjoint = {k: e.copy() for k, e in errors.items()}
    for q in range(20):
        adjoint = step.pullback(step.partials_at(39 - q, 0), adjoint)
        adjoint = {new: adjoint[old] for old, new in run.kernel.states.items() if old in adjoint}
        expected = np.log10(np.linalg.norm(np.hstack([*adjoint.values()]), axis=1))
        np.testing.assert_allclose(found.log10_norm[:, q], expected, rtol=0, atol=1e-11)
    assert np.all(found.log10_floor < found.log10_norm - 6)


def test_one_more_step_at_a_seam_would_show(rng):
    """Planted: a checkpoint one step late gives other numbers."""
    kernel, params = a_net(catalogue()["tanh"], rng, gain=2.0)
    x = rng.normal(size=(130, 3))
    right = streamed_probes(kernel, params, x, memory=40_000).log10_norm
    wrong = streamed_probes(kernel, params, np.vstack([x[:60], x[61:], x[:1]]), memory=40_000).log10_norm
    assert np.abs(right - wrong).max() > 1e-3


def peak_bytes(function):
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_grows_like_the_root_of_the_steps(rng):
    kernel, params = a_net(catalogue()["lstm"], rng, units=16)
    peaks = [peak_bytes(lambda x=x: streamed_probes(kernel, params, x, count=1)) - 16 * len(x)
             for x in (rng.normal(size=(steps, 3)).astype(np.float32) for steps in (150, 2400))]
    assert peaks[1] < 5 * peaks[0], "sixteen times the steps, four times the memory"


def test_a_budget_is_kept(rng):
    kernel, params = a_net(catalogue()["lstm"], rng, units=16)
    x = rng.normal(size=(1000, 3))
    for memory in (300_000, 1_000_000):
        assert peak_bytes(lambda memory=memory: streamed_probes(kernel, params, x, count=1, memory=memory)) < memory + 16 * len(x) + 400_000
    with pytest.raises(ValueError, match="fit"):
        streamed_probes(kernel, params, x, memory=1000)


@pytest.mark.parametrize(("inputs", "errors"), [
    (np.zeros((5, 4)), None), (np.zeros((1, 3)), None), (np.zeros((5, 1, 3)), None), ([], None),
    ([np.zeros((2, 3)), np.zeros((2, 2))], None),
    (np.zeros((5, 3)), np.zeros((2, 5))), (np.zeros((5, 3)), {"x": np.zeros((2, 6))}),
], ids=["features", "one step", "axes", "nothing", "pieces", "error units", "error name"])
def test_what_does_not_fit_is_refused_in_one_line(inputs, errors, rng):
    kernel, params = a_net(catalogue()["gru"], rng)
    with pytest.raises(ValueError) as refused:
        streamed_probes(kernel, params, inputs, errors)
    assert "\n" not in str(refused.value)
    assert isinstance(refused.value, ShapeError) or "state" in str(refused.value)
