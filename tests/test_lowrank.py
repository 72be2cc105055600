"""Directions that have fallen behind may be left out: no norm shows it, not even where they grow back."""

from pathlib import Path

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, load, state_flow
from flowcheck.compiled import run_layer
from flowcheck.flow import error_flows, lowrank, shared
from flowcheck.flow.joint import JointJacobian
from flowcheck.flow.one_by_one import OneByOne
from flowcheck.flow.product import StateProduct
from flowcheck.flow.spectra import spectral_norms
from flowcheck.network import fresh
from flowcheck.step import Step

LAGS = 300
NETS = Path(__file__).resolve().parents[2] / "shared" / "nets"


@pytest.fixture
def attempts(monkeypatch):
    """What `split` was asked and what it gave: [(rows, most, rows of B or None)]."""
    seen, real = [], lowrank.split

    def split(rows, most, rng):
        found = real(rows, most, rng)
        seen.append((len(rows), most, None if found[0] is None else len(found[0])))
        return found

    monkeypatch.setattr(lowrank, "split", split)
    return seen


@pytest.fixture
def every_thread(monkeypatch):
    """Few rows are worth a thread."""
    monkeypatch.setattr(shared, "_LEAST", 1)
    monkeypatch.setattr(shared, "_FEWEST", 12)


def a_net(name, units=64, gain=1.5):
    """A fresh layer, and inputs of some more steps than lags; recurrent weights so large that flow neither stays nor dies at once."""
    layer = fresh(catalogue()[name], units, 3, seed=0).layers[0]
    layer.params.update({k: gain * v for k, v in layer.params.items() if k.endswith("_y")})
    return layer, np.random.default_rng(1).normal(size=(LAGS + 20, 1, 3))


@pytest.mark.parametrize("name", ["tanh", "gru", "gru_reset_before", "lstm", "lstm_peephole", "slstm", "indrnn"])
def test_norms_are_those_of_all_rows(name, attempts):
    layer, x = a_net(name)
    run = layer.run(x)
    norms, whole = state_flow(run, LAGS), state_flow(run, LAGS, tail=0)
    np.testing.assert_allclose(norms.log10_norm, whole.log10_norm, rtol=0, atol=1e-12)
    known = np.isfinite(norms.log10_entry)
    np.testing.assert_allclose(norms.log10_entry[known], whole.log10_entry[known], rtol=0, atol=1e-12)
    assert np.isfinite(whole.log10_entry).all() and known[0, :8].all() and known.all() == all(kept is None for *_, kept in attempts)
    assert np.all(abs(norms.log10_floor - whole.log10_floor) < 1), "rounding is no worse"
    if name != "indrnn":  # whose units know nothing of each other, so that each is its own direction, and some stay
        assert min(kept for *_, kept in attempts if kept) < 32


@pytest.mark.parametrize("name", ["tanh", "gru", "lstm"])
def test_norms_are_the_same_in_compiled_loops(name, attempts):
    pytest.importorskip("numba")
    layer, x = a_net(name)
    run = run_layer(layer, x)
    np.testing.assert_allclose(state_flow(run, LAGS).log10_norm, state_flow(layer.run(x), LAGS, tail=0).log10_norm, rtol=0, atol=1e-12)
    assert min(kept for *_, kept in attempts if kept) < 32


@pytest.mark.parametrize("units", [64, 160], ids=["many lags at a time", "lag by lag"])
def test_threads_leave_out_rows_together(units, attempts, every_thread):
    layer, x = a_net("gru", units)
    run = layer.run(x)
    whole = state_flow(run, LAGS, tail=0).log10_norm
    for threads in (2, 3):
        np.testing.assert_allclose(state_flow(run, LAGS, threads=threads).log10_norm, whole, rtol=0, atol=1e-12)
    assert any(kept for *_, kept in attempts)
    np.testing.assert_allclose(state_flow(run, LAGS, threads=units, tail=0).log10_norm, whole, rtol=0, atol=1e-12)  # a row each


def test_one_state_and_every_receiver(attempts):
    layer, x = a_net("lstm")
    run = layer.run(x)
    (mine, whole), receivers = (state_flow(run, LAGS, state="s", **how) for how in ({}, {"tail": 0})), ["x", "net_in", "net_out"]
    np.testing.assert_allclose(mine.log10_norm, whole.log10_norm, rtol=0, atol=1e-12)
    mine, whole = (error_flows(run, "y", receivers, LAGS, **how) for how in ({}, {"tail": 0}))
    for r in receivers:
        np.testing.assert_allclose(mine[r].log10_norm, whole[r].log10_norm, rtol=0, atol=1e-12)
        assert mine[r].log10_norm0 == whole[r].log10_norm0 and np.isnan(mine[r].log10_entry[0, -1])
    assert sum(kept is not None for *_, kept in attempts) > 4


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_largest_singular_values_are_those_of_all_rows(name, attempts):
    """With attempts that fail, too: the rows then go on as they are."""
    layer, x = a_net(name)
    run = layer.run(x)
    found, exact = spectral_norms(run, LAGS), spectral_norms(run, LAGS, exact=True)
    np.testing.assert_allclose(found.log10_norm, exact.log10_norm, rtol=0, atol=1e-9)
    assert {kept is None for *_, kept in attempts} == {True, False}


def resting(slopes):
    """A net at rest whose units see themselves alone, by slopes (lags, units), lag 1 first: the flow is diagonal, and known."""
    lags, n = slopes.shape
    cell = compile_cell(catalogue()["tanh"])
    run = cell.forward({"W_x": np.zeros((n, 1)), "W_y": np.eye(n), "b": np.zeros(n)}, np.zeros((lags, 1, 1)))
    run.__dict__["partials"] = {("y", "net"): slopes[::-1, None]}
    logs = np.cumsum(np.log10(slopes), axis=0)
    top = logs.max(axis=1)
    return run, top + np.log10(np.sum(10.0 ** (2 * (logs - top[:, None])), axis=1)) / 2


def decades(*groups):
    """Slopes of 24 units a group from decades per lag, [(lags, decades)] of each group."""
    return 10.0 ** np.repeat([[d for lags, d in group for _ in range(lags)] for group in groups], 24, axis=0).T


STAYS = [(400, 0.0)]
RETURNS = [(100, -0.3), (100, 0.5), (200, 0.0)]
"""Thirty decades down, then fifty up."""


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_what_grows_back_is_taken_up_again(threads, attempts, every_thread):
    run, expected = resting(decades(RETURNS, STAYS, STAYS))
    flow = state_flow(run, 400, threads=threads)
    np.testing.assert_allclose(flow.log10_norm[0], expected, rtol=0, atol=1e-12)
    assert any(kept == 48 for *_, kept in attempts) and expected[-1] > 20


@pytest.mark.parametrize("threads", [1, 2])
def test_what_was_left_out_first_is_remembered(threads, attempts, every_thread):
    """A second group is left out before the first one grows back."""
    later = [(30, 0.0), (60, -0.4), (310, 0.0)]
    first = [(24, -0.375), (156, 0.0), (220, 0.039)]  # B has traces of it, which grow as much and stay out of sight
    run, expected = resting(decades(STAYS, first, later))
    np.testing.assert_allclose(state_flow(run, 400, threads=threads).log10_norm[0], expected, rtol=0, atol=1e-12)
    assert [kept for *_, kept in attempts if kept] == [48, 24]


@pytest.mark.parametrize("mistake", ["no combinations", "no ratio", "the first are forgotten", "no projection"])
def test_a_mistake_in_leaving_out_is_seen(mistake, monkeypatch):
    def split(rows, most, rng, real=lowrank.split):
        B, combinations, rest = real(rows, most, rng)
        if B is None:
            return B, combinations, rest
        return (B, np.zeros_like(combinations), rest) if mistake == "no combinations" else (rows[:len(B)], combinations, rest)

    if mistake == "no ratio":
        monkeypatch.setattr(lowrank, "GROWN", np.inf)
    elif mistake == "the first are forgotten":
        monkeypatch.setattr(lowrank, "_NOTHING", np.inf)
    else:
        monkeypatch.setattr(lowrank, "split", split)
    test = test_what_was_left_out_first_is_remembered if mistake == "the first are forgotten" else test_what_grows_back_is_taken_up_again
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test(1, [], None)


def test_threads_of_different_scale(attempts, every_thread, monkeypatch):
    """The first thread's rows shrink by forty decades, and have an exponent of their own."""
    small, behind, stays = ([(20, -2.0), (380, 0.0)], 48), ([(400, -0.5)], 40), (STAYS, 8)
    slopes = 10.0 ** np.concatenate([np.tile(np.concatenate([np.full(lags, d) for lags, d in group])[:, None], units)
                                     for group, units in (small, behind, stays)], axis=1)
    run, expected = resting(slopes)
    np.testing.assert_allclose(state_flow(run, 400, threads=2).log10_norm[0], expected, rtol=0, atol=1e-12)
    assert [kept for *_, kept in attempts if kept] == [8]
    monkeypatch.setattr(shared.SharedProduct, "rows", property(
        lambda self: np.vstack([*(p.rows[:-1] for p in self.parts), self.parts[-1].rows[-1:]])))
    assert abs(state_flow(run, 400, threads=2).log10_norm[0] - expected).max() > 0.1, "exponents that are not looked at would show"


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_for_what_was_left_out_are_watched(threads, every_thread, monkeypatch):
    monkeypatch.setattr(StateProduct, "go_on", lambda self, rows, left_out=0, real=StateProduct.go_on: real(self, rows))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        test_what_grows_back_is_taken_up_again(threads, [], None)


@pytest.mark.parametrize("way", ["matrices", "norms of many lags", "norms lag by lag", "compiled, matrices", "compiled, norms"])
def test_rows_for_what_was_left_out_are_measured_apart(way, rng, monkeypatch):
    layer, x = a_net("lstm", 20)
    if way.startswith("compiled"):
        pytest.importorskip("numba")
    step = Step(run_layer(layer, x) if way.startswith("compiled") else layer.run(x))
    rows, end = rng.normal(size=(17, 40)), LAGS
    monkeypatch.setattr(OneByOne, "pays", staticmethod(lambda rows, size: way == "norms lag by lag"))
    product = StateProduct(step, 0, end, 30, kept="matrices" in way)
    list(product.chunks(4))
    product.go_on(rows, 5)
    seen, jacobian = 4, JointJacobian(Step(layer.run(x)), 0)
    for chunk in product.chunks():
        assert chunk.left_out == 5 and chunk.first == seen + 1
        for norm, tail, exponent in zip(chunk.norms, chunk.tails, np.broadcast_to(chunk.exponent, len(chunk.norms)), strict=True):
            rows = rows @ jacobian.matrix(end - seen)
            found, expected = np.ldexp([norm, tail], exponent), [np.linalg.norm(r) for r in (rows[:-1], rows[-6:-1])]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
            seen += 1
    assert seen == 30


def test_what_is_left_out_counts_in_the_error_of_singular_values():
    """|A| / norm = 3.4e-6 at the end: the norm can be off by half its square, 6e-12, as far as eight combinations tell."""
    run, _ = resting(decades(STAYS, STAYS, [(40, -0.3), (360, 0.0163)]))
    found = spectral_norms(run, 400)
    np.testing.assert_allclose(found.log10_norm, 0.0, rtol=0, atol=1e-12)
    assert found.relative_error[:200].max() < 2e-12 and 3e-12 < found.relative_error[-1] < 1.2e-11


def test_directions_of_one_size_stay(attempts):
    run, expected = resting(decades(STAYS, STAYS, STAYS))
    np.testing.assert_allclose(state_flow(run, 400).log10_norm[0], expected, rtol=0, atol=1e-12)
    assert attempts and all(kept is None for *_, kept in attempts) and len(attempts) < 4


@pytest.mark.parametrize("per_step", [1e-30, 1e25, 1e100], ids=str)
@pytest.mark.parametrize("units", [64, 160], ids=["many lags at a time", "lag by lag"])
def test_rows_of_any_size_are_left_out(per_step, units, attempts, rng):
    W = per_step * rng.normal(size=(units, units)) / np.sqrt(units)
    cell = compile_cell(catalogue()["tanh"])
    run = cell.forward({"W_x": np.zeros((units, 1)), "W_y": W, "b": np.zeros(units)}, np.zeros((LAGS, 1, 1)))
    flow, whole = state_flow(run, LAGS), state_flow(run, LAGS, tail=0)
    np.testing.assert_allclose(flow.log10_norm, whole.log10_norm, rtol=1e-15, atol=1e-12)
    assert abs(whole.log10_norm[0, -1]) > 20 * LAGS and any(kept for *_, kept in attempts)


@pytest.mark.parametrize("drop", [0.0, np.nan], ids=["zero", "nan"])
def test_a_flow_that_ends_is_left_alone(drop, attempts):
    slopes = decades(STAYS, [(400, -0.2)], STAYS)
    slopes[100:] = drop
    run = resting(np.ones_like(slopes))[0]
    run.__dict__["partials"] = {("y", "net"): slopes[::-1, None]}
    norm, whole = state_flow(run, 400).log10_norm[0], state_flow(run, 400, tail=0).log10_norm[0]
    np.testing.assert_allclose(norm, whole, rtol=0, atol=1e-12)
    assert np.isfinite(norm[:100]).all() and not np.isfinite(norm[100:]).any() and attempts


def test_what_is_split_off_counts_by_its_square(rng):
    """rows^T rows = B^T B + A^T A: what B lacks is positive, of trace |A|^2, and the combinations estimate it without bias."""
    rows = np.linalg.qr(rng.normal(size=(50, 50)))[0] * 10.0 ** -np.arange(50) @ np.linalg.qr(rng.normal(size=(70, 70)))[0][:50]
    most, estimates = 1e-4, []
    for seed in range(100):
        B, combinations, rest = lowrank.split(rows, most, np.random.default_rng(seed))
        missing = np.linalg.eigvalsh(rows.T @ rows - B.T @ B)
        assert 1e-6 * most < rest <= most and 4 <= len(B) <= 8
        assert missing.min() > -1e-15 and missing.sum() == pytest.approx(rest**2, rel=1e-4, abs=1e-14)
        estimates.append(np.vdot(combinations, combinations) / rest**2)
    assert len(combinations) == lowrank.COMBINATIONS
    spread = np.sqrt(2 / lowrank.COMBINATIONS / len(estimates))  # of the mean, where one direction holds everything
    assert abs(np.mean(estimates) - 1) < 4 * spread and lowrank.split(np.eye(64), 0.1, rng)[0] is None


@pytest.mark.parametrize(("name", "library"), [("dtln_stage1.onnx", "onnx"), ("noaa_hourly_lstm126.pt", "numpy"),
                                              ("silero_vad.safetensors", "safetensors")])
def test_norms_of_trained_nets_are_those_of_all_rows(name, library, attempts):
    """One of them carries its memory over a thousand steps, and drifts."""
    path = NETS / name
    if not path.is_file():
        pytest.skip(f"{name} is not here: it lies beside the project, in shared/nets")
    pytest.importorskip(library)
    layers, recorded = load(path, catalogue()).layers, np.load(path.with_suffix("").with_suffix(".io.npz"))
    for k, key in enumerate(key for key in recorded if key.endswith(".x")):  # in the order of the layers; the last has two sorts of inputs
        run = layers[min(k, len(layers) - 1)].run(np.asarray(recorded[key], float).swapaxes(0, 1)[:500, :1])
        norms, whole = state_flow(run, LAGS), state_flow(run, LAGS, tail=0)
        np.testing.assert_allclose(norms.log10_norm, whole.log10_norm, rtol=0, atol=1e-12)
        mine, theirs = (error_flows(run, "y", ["x"], LAGS, **how)["x"] for how in ({}, {"tail": 0}))
        np.testing.assert_allclose(mine.log10_norm, theirs.log10_norm, rtol=0, atol=1e-12)
    assert any(kept for *_, kept in attempts)
