"""Spectral norms: against all singular values and 50 digits; clusters, crossings and a spectrum that hides from the start vectors."""

import mpmath
import numpy as np
import pytest

from flowcheck import catalogue, compile_cell, state_flow
from flowcheck.flow.product import StateProduct
from flowcheck.flow.spectra import TopSingularValue, spectral_norms
from flowcheck.further import further
from flowcheck.network import fresh
from flowcheck.step import Step

TOLERANCE = 1e-9


def a_run(cell, units, steps, gain, rng):
    kernel = compile_cell(cell)
    params = kernel.random_params(units, 3, rng, 2 if "blocks" in cell.sizes.values() else 1)
    return kernel.forward({k: gain * v for k, v in params.items()}, rng.normal(size=(steps, 1, 3)))


def by_svd(run, lags):
    product = StateProduct(Step(run), 0, run.steps - 1, lags)
    return np.concatenate([np.log10(np.linalg.svd(c.matrices, compute_uv=False)[:, 0]) + c.exponent * np.log10(2)
                           for c in product.chunks()])


@pytest.mark.parametrize(("name", "units", "gain"), [("tanh", 48, 1.7), ("conventional", 48, 8.0), ("gru", 40, 1.0), ("lstm", 24, 1.5)])
def test_every_lag_is_within_the_error_that_it_states(name, units, gain, rng):
    run = a_run(catalogue()[name], units, 200, gain, rng)
    found, expected = spectral_norms(run, 198), by_svd(run, 198)
    relative = np.abs(np.expm1((found.log10_norm - expected) * np.log(10)))
    assert np.all(found.relative_error <= TOLERANCE)
    assert np.all(relative <= found.relative_error + 1e-13)  # the reference's own rounding
    assert found.decomposed[0] and not found.decomposed[-50:].any(), "many singular values at short lags, few at long ones"
    assert np.all(found.log10_norm <= state_flow(run, 198).log10_norm[0] + 1e-12)


def test_exact_on_request_and_small_nets_always(rng):
    run = a_run(catalogue()["lstm"], 20, 60, 1.5, rng)
    exact = spectral_norms(run, 50, exact=True)
    assert exact.decomposed.all()
    np.testing.assert_allclose(exact.log10_norm, by_svd(run, 50), rtol=0, atol=1e-13)
    small = spectral_norms(a_run(catalogue()["gru"], 5, 60, 1.0, rng), 50)
    assert small.decomposed.all()


def matrix_with(values, rng, n=40):
    left, right = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return (left[:, :len(values)] * values) @ right[:len(values)]


@pytest.mark.parametrize("values", [
    [1.0, 1.0, 1.0], [1.0, 1 - 1e-6, 1 - 2e-6, 0.1], [1.0] * 40, [1.0, *np.full(39, 1e-8)], [1.0], np.linspace(1, 0.9, 40),
    [1e-200, 1e-201],
], ids=["triple", "nearly equal", "orthogonal", "dominant", "rank one", "dense", "tiny"])
def test_one_matrix_of_any_spectrum(values, rng):
    matrix, top = matrix_with(np.asarray(values), rng), TopSingularValue(40, 40, TOLERANCE)
    size = np.abs(matrix).max()
    for _ in range(3):
        found, error, _ = top(matrix / size, np.linalg.norm(matrix / size))
        assert error <= TOLERANCE and found * size == pytest.approx(values[0], rel=2 * TOLERANCE)


def test_a_direction_that_the_warm_start_does_not_hold_is_not_missed(rng):
    """Two halves that know nothing of each other: the start vectors lie in one, then the other overtakes by a little."""
    half = matrix_with(np.array([1.0, 1e-3, 1e-4]), rng, 20)
    top = TopSingularValue(40, 40, TOLERANCE)
    for scale in (1e-9, 1.05):
        matrix = np.zeros((40, 40))
        matrix[:20, :20], matrix[20:, 20:] = half, scale * half.T
        top.U = np.vstack([np.linalg.qr(half @ rng.normal(size=(20, 8)))[0], np.zeros((20, 8))])
        found, error, _ = top(matrix, np.linalg.norm(matrix))
        assert found == pytest.approx(max(1.0, scale), rel=2 * TOLERANCE) and error <= TOLERANCE


def test_without_the_test_of_what_is_missed_the_warm_start_would_be_wrong(rng, monkeypatch):
    half = matrix_with(np.array([1.0, 1e-3, 1e-4]), rng, 20)
    matrix = np.zeros((40, 40))
    matrix[:20, :20], matrix[20:, 20:] = half, 1.05 * half.T
    top = TopSingularValue(40, 40, TOLERANCE)
    top.U = np.vstack([np.linalg.qr(half @ rng.normal(size=(20, 8)))[0], np.zeros((20, 8))])
    monkeypatch.setattr("flowcheck.flow.spectra._excess", lambda theta, residual, missed: np.sum(residual**2))
    found, _, decomposed = top(matrix, np.linalg.norm(matrix))
    assert not decomposed and found == pytest.approx(1.0, rel=1e-6), "plain residuals see nothing of the other half"


def test_fifty_digits(rng):
    W = rng.normal(size=(6, 6)) / 2
    run = compile_cell(catalogue()["tanh"]).forward({"W_x": np.zeros((6, 1)), "W_y": W, "b": np.zeros(6)}, np.zeros((20, 1, 1)))
    with mpmath.workdps(50):
        power = mpmath.matrix(W.tolist()) ** 12
        expected = float(mpmath.log10(max(mpmath.svd_r(power, compute_uv=False))))
    assert spectral_norms(run, 12).log10_norm[-1] == pytest.approx(expected, abs=1e-12)


def test_a_flow_of_zero_has_norm_zero():
    W = np.kron(np.eye(20), [[8.0, 8.0], [-8.0, -8.0]])
    run = compile_cell(catalogue()["tanh"]).forward({"W_x": np.zeros((40, 1)), "W_y": W, "b": np.zeros(40)}, np.zeros((10, 1, 1)))
    found = spectral_norms(run, 8)
    assert found.log10_norm[0] == pytest.approx(np.log10(16)) and np.all(np.isneginf(found.log10_norm[1:]))


def test_what_is_left_out_is_part_of_the_error(rng):
    """Rows are left out as far as the tolerance allows, and their share is in the error that is said."""
    run = a_run(catalogue()["gru"], 64, 302, 1.0, rng)
    exact = spectral_norms(run, 300, exact=True)
    for tolerance in (1e-6, 1e-9, 1e-12):
        found = spectral_norms(run, 300, tolerance=tolerance)
        off = np.abs(np.expm1((found.log10_norm - exact.log10_norm) * np.log(10)))
        assert np.all(found.relative_error <= max(tolerance, 1e-12))
        assert np.all(off <= found.relative_error + 1e-13), "but for rounding: some eps of each of 300 products"


def test_one_sequence_whose_flow_is_gone_does_not_hide_the_others(rng):
    """As in the flows beside which these norms stand: the second sequence saturates all units."""
    network, x = fresh(catalogue()["tanh"], 6, 3, 0), rng.normal(size=(40, 4, 3))
    x[20:, 1] = 1e6
    found, alone = (further(network, {network.layers[0].name: {"a": sequences}}, 10, spectral=True, probes=3)
                    for sequences in (x, x[:, [0, 2, 3]]))
    np.testing.assert_array_equal(found["spectral"][0]["log10_norm"], alone["spectral"][0]["log10_norm"])
    assert np.isfinite(found["probes"][0]["log10_frobenius"]).all()
