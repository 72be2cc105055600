"""The neural sequence chunker beside a forward pass written from its publication, differentiated by the complex step."""

import numpy as np
import pytest

from flowcheck.experiments.chunker import FAILED, Chunker
from flowcheck.experiments.long_lag import local_code
from flowcheck.experiments.sequences import Sequences
from flowcheck.experiments.settings import Setting
from flowcheck.experiments.trials import Trial, run_trial

SYMBOLS = 4


def f(z):
    return 1 / (1 + np.exp(-z))


def energies(params, x, passed=None, held=None):
    """(E of the automatizer, E of the chunker, steps at which it sees the input, its hidden unit at every step), fixed where given."""
    eye, (W, V, w, Z, B, u) = np.eye(SYMBOLS), (params[k] for k in ("W", "V", "w", "Z", "B", "u"))
    a, c, y, z, of_a, of_c, seen, hidden = 0.0, 0.0, None, None, 0.0, 0.0, [], []
    for t in range(len(x) - 1):
        code = eye[x[t]]
        if (t in passed) if passed is not None else (t == 0 or np.abs(y - code).max() >= FAILED):
            if z is not None:
                of_c = of_c + ((z - code) ** 2).sum() / 2
            c = f(code @ u[:-1] + u[-1] * c)
            z = f(code @ Z + B * c)
            seen.append(t)
        hidden.append(c)
        a = f(code @ w[:-1] + w[-1] * a)
        both = f(code @ W + V * a)
        y = both[:-1]
        wanted = np.append(eye[x[t + 1]], c if held is None else held[t])
        of_a = of_a + ((both - wanted) ** 2).sum() / 2
    return of_a, of_c, seen, hidden


def gradient(params, x, which):
    """dE/dw of one of the two, by the complex step."""
    _, _, seen, hidden = energies(params, x)
    found = {}
    for name, value in params.items():
        found[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            shifted = {k: v.astype(complex) for k, v in params.items()}
            shifted[name][place] += 1e-30j
            found[name][place] = np.imag(energies(shifted, x, seen, hidden)[which]) / 1e-30
    return found


@pytest.fixture
def case(rng):
    """(chunker, symbols of a sequence): the automatizer knows what follows 1, so that the chunker does not see all inputs."""
    net = Chunker(SYMBOLS, 1e-6, 1.0, rng, interpreted=True)
    net.params["W"][1, :SYMBOLS] = [-9.0, -9.0, 9.0, -9.0]
    return net, np.array([0, 1, 2, 1, 2, 3, 1, 2, 0])


def one(x):
    return Sequences(np.array([0, len(x) - 1]), x[:-1], np.eye(SYMBOLS)[x[1:]], np.ones(len(x) - 1, bool))


def test_changes_are_the_gradients_of_both_errors(case):
    net, x = case
    before = {k: v.copy() for k, v in net.params.items()}
    _, _, seen, _ = energies(before, x)
    assert 2 not in seen and 4 not in seen and {0, 1, 5} <= set(seen)
    net.run(one(x))
    for which, names in ((0, "WVw"), (1, "ZBu")):
        expected = gradient(before, x, which)
        for name in names:
            # weights change at every step: a relative 1e-6 of second order in alpha, and eps of weights of order 10 over alpha
            change = (before[name] - net.params[name]) / net.alpha
            np.testing.assert_allclose(change, expected[name], rtol=0, atol=2e-5 * np.abs(expected[name]).max() + 1e-8, err_msg=name)


@pytest.mark.parametrize("plant", ["alpha", "threshold"])
def test_a_planted_mistake_shows(plant, case, monkeypatch):
    net, x = case
    before = {k: v.copy() for k, v in net.params.items()}
    if plant == "threshold":
        monkeypatch.setattr("flowcheck.experiments.chunker.FAILED", 0.0)
    else:
        net.alpha *= 1.001
    net.run(one(x))
    expected = gradient(before, x, 1)["Z"]
    assert np.abs((before["Z"] - net.params["Z"]) / 1e-6 - expected).max() > 1e-4 * np.abs(expected).max()


def test_answers_are_the_automatizers_and_change_nothing(case, rng):
    net, x = case
    before = {k: v.copy() for k, v in net.params.items()}
    found = net.run(one(x), learn=False)
    assert all(np.array_equal(net.params[k], v) for k, v in before.items())
    a, errors = 0.0, []
    for t in range(len(x) - 1):
        code = np.eye(SYMBOLS)[x[t]]
        a = f(code @ before["w"][:-1] + before["w"][-1] * a)
        errors.append(f(code @ before["W"] + before["V"] * a)[:-1] - np.eye(SYMBOLS)[x[t + 1]])
    errors = np.abs(errors)
    np.testing.assert_allclose(found[0], [errors.max(), errors.sum(), (errors**2).sum(), errors[-1].max()], rtol=1e-12)


def test_a_trial_of_the_chunker_has_the_weights_of_table_2_and_learns_what_is_predictable(monkeypatch):
    from functools import partial

    from flowcheck.experiments import trials

    monkeypatch.setattr(trials, "Chunker", partial(Chunker, interpreted=True))
    assert len(Trial(Setting("2a", method="chunker", p=100, alpha=1.0, reach=0.2), 0).net.free_w) == 10_506
    trial = Trial(Setting("2a", method="chunker", p=4, alpha=1.0, reach=0.2, budget=1500), 0)
    assert not trial.run()["success"]
    found = trial.net.run(local_code(np.random.default_rng(1), 50, 4), learn=False)
    # all but the last symbol follow from the one before; 0.5 is best for that without a memory
    assert (found[:, 1] - 2 * found[:, 3]).max() < 1.5 and abs(found[:, 3].mean() - 0.5) < 0.15
    with pytest.raises(ValueError, match="2a and 2b, not for 2c"):
        run_trial(Setting("2c", method="chunker", q=4, p=3), 0)
