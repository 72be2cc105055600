"""Lyapunov exponents: against eigenvalues of a net at rest, QR at every step, and the determinant; intervals chosen by condition."""

import numpy as np
import pytest

from flowcheck import bptt, catalogue, compile_cell, state_flow
from flowcheck.flow.joint import JointJacobian
from flowcheck.flow.lyapunov import exponents
from flowcheck.flow.probes import probe_flow
from flowcheck.flow.spectra import spectral_norms
from flowcheck.step import Step


def a_run(cell, rng, *, steps=120, gain=1.5, units=8):
    kernel = compile_cell(cell)
    params = kernel.random_params(units, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    return kernel.forward({k: gain * v for k, v in params.items()}, rng.normal(size=(steps, 1, 3)))


def resting(W, steps):
    params = {"W_x": np.zeros((len(W), 1)), "W_y": W, "b": np.zeros(len(W))}
    return compile_cell(catalogue()["tanh"]).forward(params, np.zeros((steps, 1, 1)))


def by_qr(run):
    """Householder QR at every step."""
    jacobian = JointJacobian(Step(run), 0)
    n = jacobian.size
    Q, logs = np.linalg.qr(np.random.default_rng(0).normal(size=(n, n)))[0], np.zeros(n)
    for t in range(1, run.steps):
        Q, R = np.linalg.qr(jacobian.matrix(t) @ Q)
        logs += np.log(np.abs(np.diagonal(R)))
    return np.sort(logs / (run.steps - 1))[::-1]


@pytest.mark.parametrize("name", ["tanh", "conventional", "gru", "gru_reset_before"])
def test_they_are_those_of_qr_at_every_step(name, rng):
    run = a_run(catalogue()[name], rng)
    found = exponents(run)
    np.testing.assert_allclose(found.values, by_qr(run), rtol=0, atol=1e-10)
    assert found.sum_error < 1e-10 and found.steps == 119 and found.gradient == "full"
    assert found.mean_log_det == pytest.approx(found.values.sum(), abs=1e-10)
    jacobian = JointJacobian(Step(run), 0)
    assert found.mean_log_det == pytest.approx(np.mean([np.linalg.slogdet(jacobian.matrix(t))[1] for t in range(1, 120)]), abs=1e-10)


def test_a_net_at_rest_has_the_logs_of_its_eigenvalues(rng):
    W = np.linalg.qr(rng.normal(size=(5, 5)))[0] @ np.diag([1.3, 1.1, 0.9, 0.5, 0.2])
    W = W @ W.T  # symmetric: real eigenvalues
    found = exponents(resting(W, 3001), skip=1000)
    np.testing.assert_allclose(found.values, np.sort(np.log(np.linalg.eigvalsh(W)))[::-1], rtol=0, atol=1e-9)


def test_a_carousel_has_exponents_zero_and_long_intervals(rng):
    found = exponents(a_run(catalogue()["carousel"], rng))
    np.testing.assert_allclose(found.values, 0.0, rtol=0, atol=1e-14)
    assert found.longest_interval >= 16 and found.householder == 0


def test_the_condition_decides_the_interval(rng):
    mild, harsh = (exponents(resting(np.diag(d), 200)) for d in ([1.0, 0.9, 0.8], [1.0, 1e-2, 1e-4]))
    assert mild.longest_interval > 8 > harsh.longest_interval == 1
    np.testing.assert_allclose(harsh.values, np.log([1.0, 1e-2, 1e-4]), rtol=0, atol=0.05)


def test_the_condition_is_that_of_the_matrix_not_of_its_diagonal(rng):
    from flowcheck.flow.lyapunov import _condition

    for n in (1, 5, 40):
        R = np.asfortranarray(np.linalg.qr(rng.normal(size=(n, n)))[1])
        assert 0.1 < _condition(R) / np.linalg.cond(R)**2 < 1.01
    R = np.asfortranarray(np.eye(24) - np.triu(np.ones((24, 24)), 1))
    assert _condition(R) > 1e12
    assert _condition(np.diag([1.0, 1e-100])) > 1e199 and _condition(np.diag([1.0, 1e-200])) == np.inf


def test_halves_of_columns_are_orthonormalised_as_the_whole(rng):
    from flowcheck.flow.lyapunov import _orthonormal

    for shape in ((150, 150), (200, 131), (64, 64), (7, 1)):
        A = rng.normal(size=shape) * np.geomspace(1, 1e-3, shape[1])
        Q, grown, condition = _orthonormal(A)
        right, R = np.linalg.qr(A)
        np.testing.assert_allclose(np.abs(np.sum(Q * right, axis=0)), 1.0, rtol=0, atol=1e-9)
        np.testing.assert_allclose(grown, np.log(np.abs(np.diagonal(R))), rtol=0, atol=1e-9)
        for scale in (1e-200, 1e200):
            np.testing.assert_allclose(_orthonormal(scale * A)[1], grown + np.log(scale), rtol=1e-12)


def test_planted_intervals_that_are_too_long_are_taken_back(rng, monkeypatch):
    """An aim beyond all reason costs steps taken twice; only without the test of the condition as well are the exponents wrong."""
    from flowcheck.flow import lyapunov as room

    run = a_run(catalogue()["tanh"], rng)
    monkeypatch.setattr(room, "_AIM", 1e40)
    np.testing.assert_allclose(exponents(run).values, by_qr(run), rtol=0, atol=1e-10)
    monkeypatch.setattr(room, "_WORST", np.inf)
    with pytest.raises(ValueError, match="mean log"):
        exponents(run)


def test_a_step_too_steep_for_a_gram_matrix_takes_householder(rng):
    found = exponents(resting(np.diag([1.0, 1e-7]) @ np.linalg.qr(rng.normal(size=(2, 2)))[0], 100))
    assert found.householder > 90 and found.sum_error < 1e-10


def test_steps_that_turn_bad_within_an_interval_are_taken_one_by_one(rng):
    run = resting(np.eye(3), 200)
    slopes = np.ones((200, 1, 3))
    slopes[150:, 0] = [1.0, 1e-6, 1e-12]
    run.__dict__["partials"] = {("y", "net"): slopes}
    found = exponents(run)
    assert found.longest_interval > 8
    np.testing.assert_allclose(found.values, np.log([1.0, 1e-6, 1e-12]) * 50 / 199, rtol=0, atol=0.2)
    assert found.sum_error < 1e-9


def test_leading_exponents_are_the_first_of_all(rng):
    run = a_run(catalogue()["tanh"], rng, steps=400)
    few, every = exponents(run, 3), exponents(run)
    np.testing.assert_allclose(few.values, every.values[:3], rtol=0, atol=1e-9)
    assert few.mean_log_det is None and few.sum_error is None


def test_directions_that_a_step_makes_zero_have_exponent_minus_infinity(rng):
    found = exponents(resting(np.diag([0.5, 0.25, 0.0]), 50))
    assert np.isneginf(found.values[-1]) and np.isneginf(found.mean_log_det) and np.isfinite(found.values[:2]).all()


def test_a_frame_that_lost_its_orthogonality_is_refused(rng, monkeypatch):
    """Planted: one direction grows a thousandth too little at every step."""
    from flowcheck.flow import lyapunov as room

    right = room._orthonormal

    def slightly_wrong(moved):
        Q, grown, condition = right(moved)
        return Q, np.concatenate([grown[:-1], 0.999 * grown[-1:]]), condition

    monkeypatch.setattr(room, "_orthonormal", slightly_wrong)
    with pytest.raises(ValueError, match="mean log"):
        exponents(a_run(catalogue()["tanh"], rng))


@pytest.mark.parametrize(("count", "skip"), [(0, 0), (9, 0), (3, 119)])
def test_what_cannot_be_is_refused_in_one_line(count, skip, rng):
    with pytest.raises(ValueError) as refused:
        exponents(a_run(catalogue()["tanh"], rng), count, skip=skip)
    assert "\n" not in str(refused.value)


def test_weights_that_are_no_numbers_are_what_is_said(rng):
    run = a_run(catalogue()["lstm"], rng)
    run.params["W_c_y"][0, 0] = np.nan
    for measured in (exponents, lambda run: spectral_norms(run, 5)):
        with pytest.raises(ValueError, match="not finite; look at the weights"):
            measured(run)


@pytest.mark.parametrize(("words", "measured"), [
    ("lstm has no state 'h'; it has s, y", lambda run: state_flow(run, 5, state="h")),
    ("lstm has no vector 'h'; it has x, net_in", lambda run: bptt(run, {"h": np.zeros((10, 1, 4))})),
    ("0 random vectors", lambda run: probe_flow(run, 5, count=0)),
    ("neither can be negative", lambda run: exponents(run, skip=-5)), ("neither can be negative", lambda run: exponents(run, start=-5)),
    ("0 lags: at least 1 is needed", lambda run: state_flow(run, 0))])
def test_arguments_that_cannot_be_are_refused_in_words(words, measured, rng):
    with pytest.raises(ValueError, match=words):
        measured(a_run(catalogue()["lstm"], rng))
