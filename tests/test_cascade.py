"""Recurrent cascade correlation beside plain NumPy written from its publication."""

import numpy as np
import pytest

from flowcheck.experiments import cascade
from flowcheck.experiments.cascade import Cascade, Quickprop, candidates_slope, unit
from flowcheck.experiments.criteria import Strings
from flowcheck.experiments.reber import as_sequences, two_sets
from flowcheck.experiments.settings import Setting
from flowcheck.experiments.trials import run_trial


def published(sources, w, w_s, f=lambda z: 1 / (1 + np.exp(-z)) - 0.5):
    """V(t) of one unit, step by step, and dV/dw, dV/dw_s by the recursion forward in time."""
    v, dw, dw_s, found = 0.0, np.zeros(len(w)), 0.0, []
    for source in sources:
        before, z = v, source @ w + w_s * v
        v = f(z)
        slope = (v + 0.5) * (0.5 - v)
        dw, dw_s = slope * (source + w_s * dw), slope * (before + w_s * dw_s)
        found.append((v, dw, dw_s))
    return found


def slopes(w, w_s, sources, pull):
    """sum_t pull(t) dV(t)/dw, as published."""
    parts = [published(sources[:, n], w, w_s) for n in range(sources.shape[1])]
    return tuple(sum(pull[t, n] * step[k] for n, part in enumerate(parts) for t, step in enumerate(part)) for k in (1, 2))


@pytest.fixture
def candidates(rng):
    """(sources, w, w_s, pull) of three candidates over two sequences of six steps."""
    return rng.normal(size=(6, 2, 4)), rng.normal(size=(4, 3)), np.array([0.8, -1.5, 3.0]), rng.normal(size=(6, 2, 3))


def test_candidates_are_the_published_units_with_their_slopes(candidates):
    sources, w, w_s, pull = candidates
    v = unit(sources, w, w_s)
    got_w, got_s = candidates_slope(sources, v, w_s, pull)
    for c in range(3):
        for n in range(2):
            expected = [step[0] for step in published(sources[:, n], w[:, c], w_s[c])]
            np.testing.assert_allclose(v[:, n, c], expected, rtol=0, atol=1e-15)
        dw, dw_s = slopes(w[:, c], w_s[c], sources, pull[..., c])
        np.testing.assert_allclose(got_w[:, c], dw, rtol=1e-13, atol=1e-14)
        assert got_s[c] == pytest.approx(dw_s, rel=1e-13)


def test_the_published_slopes_are_derivatives(candidates):
    """Complex step: exact to rounding, and without the formula of a slope."""
    sources, w, w_s, pull = candidates

    def weighed(w, w_s):
        total = 0.0
        for n in range(2):
            v = 0.0
            for t in range(6):
                v = 1 / (1 + np.exp(-(sources[t, n] @ w + w_s * v))) - 0.5
                total = total + pull[t, n, 0] * v
        return total

    dw, dw_s = slopes(w[:, 0], w_s[0], sources, pull[..., 0])
    for i in range(4):
        h = np.zeros(4, complex)
        h[i] = 1e-30j
        assert dw[i] == pytest.approx(weighed(w[:, 0] + h, w_s[0]).imag / 1e-30, rel=1e-13)
    assert dw_s == pytest.approx(weighed(w[:, 0], w_s[0] + 1e-30j).imag / 1e-30, rel=1e-13)


@pytest.mark.parametrize("plant", ["no path through the unit's past", "the slope of the logistic function's argument"])
def test_a_planted_mistake_in_the_slopes_shows(plant, candidates):
    sources, w, w_s, pull = candidates
    v = unit(sources, w, w_s)
    wrong = {"w_s": 0 * w_s, "v": v} if plant.startswith("no") else {"w_s": w_s, "v": v + 0.01}
    got, _ = candidates_slope(sources, pull=pull, **wrong)
    dw, _ = slopes(w[:, 0], w_s[0], sources, pull[..., 0])
    assert np.abs(got[:, 0] - dw).max() > 1e-3


def test_quickprop_jumps_to_the_bottom_of_a_parabola_and_no_further_than_mu():
    minimum, x, steps = np.array([3.0, -0.02]), np.zeros(2), []
    step = Quickprop(2, 0.01, 2.0)
    for _ in range(8):
        steps.append(step(2 * (x - minimum)))
        x = x + steps[-1]
    np.testing.assert_allclose(x, minimum, rtol=0, atol=1e-6)
    for one, two in zip(steps, steps[1:], strict=False):
        assert np.all(np.abs(two) <= 2.0 * np.abs(one) + 0.01 * 2 * np.abs(minimum) + 1e-12)


def test_a_unit_is_added_for_what_the_errors_are_correlated_with(rng, monkeypatch):
    monkeypatch.setattr(Cascade, "LONGEST", 40)
    sets = two_sets(rng, 24, drawn=True)
    s = as_sequences(sets[0])
    net, losses = Cascade(s, 7, rng), {}
    for changed in net.grow(2):
        losses.setdefault(len(net.hidden), []).append(net._errors()[2])
    assert losses[0][0] > losses[0][-1] > losses[1][-1] > losses[2][-1]  # every unit helps
    assert net.weights == 7 * 8 + (8 + 1 + 7) + (9 + 1 + 7)
    x = np.hstack([np.eye(7)[s.one(5)[0]], np.ones((s.lengths[5], 1))])
    for w, w_s in net.hidden:
        x = np.hstack([x, [[step[0]] for step in published(x, w, w_s)]])
    expected = 1 / (1 + np.exp(-x @ net.W))
    np.testing.assert_allclose(net.outputs(s)[s.starts[5]:s.starts[6]], expected, rtol=1e-12)


def test_a_trial_of_cascade_correlation_repeats_itself(monkeypatch):
    monkeypatch.setattr(cascade.Cascade, "LONGEST", 10)
    setting = Setting("1", method="rcc", units=1, drawn=True, budget=256 * 25)
    one, two = (run_trial(setting, 5) | {"cpu_seconds": 0, "seconds": 0} for _ in range(2))
    assert one == two and one["sequences"] == 256 * 25 and one["weights"] in (56, 72)
    monkeypatch.setattr(Strings, "_right", staticmethod(lambda y, possible: True))
    assert run_trial(setting, 5)["success"]
    with pytest.raises(ValueError, match="built for experiment 1, not for 2a"):
        run_trial(Setting("2a", method="rcc", p=4), 0)
