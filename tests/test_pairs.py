"""All pairs of end time and lag: each against a probe of its own, the sum against BPTT, windows, exponents."""

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell
from flowcheck.equations import Cell, Net, Unit
from flowcheck.flow.pairs import pair_flows
from flowcheck.flow.probes import probe_flow
from flowcheck.notation import sigma, symbols, tanh

STEPS = 22


def a_run(cell, rng, steps=STEPS, gain=1.2, batch=1):
    kernel = compile_cell(cell)
    params = kernel.random_params(6, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    return kernel.forward({k: gain * v for k, v in params.items()}, rng.normal(size=(steps, batch, 3)))


@pytest.fixture
def errors(cell, rng):
    kernel = compile_cell(cell)
    return rng.normal(size=(STEPS, kernel.lengths(kernel.random_params(6, 3, rng, 2))[cell.sizes[cell.output.name]]))


@pytest.mark.parametrize("cut", [(), True], ids=["full", "truncated"])
def test_every_pair_is_a_probe_of_its_own(cell, cut, rng, errors):
    run = a_run(cell, rng)
    found = pair_flows(run, errors, cut=cut)
    assert found.log10_norm.shape == (STEPS, STEPS) and found.gradient == ("truncated" if cut and cell.recurrent_edges else "full")
    assert np.array_equal(np.isnan(found.log10_norm), np.triu(np.ones((STEPS, STEPS), bool), 1))
    np.testing.assert_allclose(found.log10_norm[:, 0], np.log10(np.linalg.norm(errors, axis=1)), rtol=1e-14)
    for t in (1, 9, STEPS - 1):
        one = probe_flow(run, t, errors[t], end=t, cut=cut).log10_norm[0]
        np.testing.assert_allclose(found.log10_norm[t, 1:t + 1], one, rtol=0, atol=1e-11)


def test_the_sum_over_end_times_is_bptt(cell, rng, errors):
    """dE/dstate(t) of all errors together: what BPTT sends to the states of step t, by one step of its own."""
    run = a_run(cell, rng)
    found, output = pair_flows(run, errors).total, cell.output.name
    full = bptt(run, errors[:, None])
    for t in (0, 7, STEPS - 2):
        later = errors * (np.arange(STEPS) > t)[:, None]
        window = run.window(t + 1, STEPS)
        expected = bptt(window, later[t + 1:, None]).state0
        for old, new in run.kernel.states.items():
            own = errors[t] if new == output else 0.0
            np.testing.assert_allclose(found[new][t], expected[old][0] + own, rtol=0, atol=1e-11)
    assert set(full.params) == set(cell.parameters)


@pytest.mark.parametrize("lags", [0, 1, 5, 21])
def test_a_window_of_lags_is_cut_out_of_the_whole(lags, rng):
    run = a_run(catalogue()["lstm"], rng)
    whole, part = pair_flows(run), pair_flows(run, lags=lags)
    np.testing.assert_allclose(part.log10_norm, whole.log10_norm[:, :lags + 1], rtol=0, atol=1e-11)


def test_weighted_flow_is_the_root_mean_square_over_end_times(rng):
    run = a_run(catalogue()["gru"], rng)
    errors = rng.normal(size=(STEPS, 6)) * np.geomspace(1, 1e-3, STEPS)[:, None]
    found = pair_flows(run, errors)
    for q in (0, 3, STEPS - 1):
        norms = 10 ** found.log10_norm[q:, q]
        assert found.log10_weighted[q] == pytest.approx(np.log10(np.sqrt(np.mean(norms**2))), abs=1e-12)


@pytest.mark.parametrize("gain", [1e-3, 8.0], ids=["vanishing", "exploding"])
def test_hundreds_of_decades_are_no_trouble(gain, rng):
    W = gain * np.linalg.qr(rng.normal(size=(4, 4)))[0]
    run = compile_cell(catalogue()["tanh"]).forward({"W_x": np.zeros((4, 1)), "W_y": W, "b": np.zeros(4)}, np.zeros((300, 1, 1)))
    found = pair_flows(run)
    for t in (299, 150):
        np.testing.assert_allclose(found.log10_norm[t, :t + 1], np.log10(gain) * np.arange(t + 1), rtol=0, atol=1e-10)
    assert np.all(np.isfinite(found.log10_weighted))


def test_an_output_that_is_no_state_sends_its_errors_through_its_own_step(rng):
    x, s_prev, net_s, net_o, s, o, y = symbols("x s_prev net_s net_o s o y")
    cell = Cell("read_out", "test", 2000, [x], {s_prev: s}, y, [
        Net(net_s, x, s_prev), Unit(s, tanh(net_s)), Net(net_o, x, s_prev), Unit(o, sigma(net_o)), Unit(y, o * s)])
    run = a_run(cell, rng)
    errors = rng.normal(size=(STEPS, 6))
    found = pair_flows(run, errors)
    for t in (0, 1, 12):
        expected = [np.log10(np.linalg.norm(adjoint["s_prev"])) for _, adjoint, _, _ in _sent(run, errors[t], t)]
        np.testing.assert_allclose(found.log10_norm[t, 1:t + 1], expected[:t], rtol=0, atol=1e-11)
    later = bptt(run.window(5, STEPS), errors[5:, None]).state0["s_prev"][0]
    np.testing.assert_allclose(found.total["s"][4], later, rtol=0, atol=1e-12)


def _sent(run, error, t):
    """Adjoints of each step on the way back, unscaled."""
    from flowcheck.step import Step

    step, adjoint = Step(run), {"y": error[None]}
    for q in range(t + 1):
        adjoint = step.pullback(step.partials_at(t - q, 0), adjoint)
        yield q, adjoint, 0, 0.0
        adjoint = {"s": adjoint["s_prev"]}


def test_planted_a_slope_of_another_step_changes_the_pairs(rng):
    run = a_run(catalogue()["tanh"], rng)
    right = pair_flows(run).log10_norm
    run.__dict__["partials"] = {k: np.roll(v, 1, axis=0) for k, v in run.partials.items()}
    assert np.nanmax(np.abs(pair_flows(run).log10_norm - right)) > 1e-3


@pytest.mark.parametrize(("errors", "lags"), [(np.ones((STEPS, 5)), None), (np.ones((3, 6)), None), (None, -1)])
def test_what_does_not_fit_is_refused_in_one_line(errors, lags, rng):
    with pytest.raises(ValueError) as refused:
        pair_flows(a_run(catalogue()["tanh"], rng), errors, lags)
    assert "\n" not in str(refused.value)
