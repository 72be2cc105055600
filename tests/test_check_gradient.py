"""`check_gradient` on two backward passes written by hand: right ones pass, mistakes are caught at their first lag."""

import re

import numpy as np
import pytest
import threadpoolctl

from flowcheck import Mismatch, check_gradient, verify_gradient
from flowcheck.verify.comparison import Comparison
from flowcheck.verify.seeds import Seed
from flowcheck.verify.wording import describe

INPUTS, UNITS = 2, 4


def rnn_forward(params, inputs, state0):
    """One sequence, time first, one list entry per step."""
    h, hs = state0["h0"], []
    for x_t in inputs["x"]:
        h = np.tanh(params["Wx"] @ x_t + params["Wh"] @ h + params["b"])
        hs.append(h)
    return {"y": np.stack(hs)}


def rnn_backward(params, inputs, state0, grad_outputs, plant=None, first=0):
    """Textbook BPTT; `plant` is a mistake made at every lag from `first` on, counted from the last step."""
    y = rnn_forward(params, inputs, state0)["y"]
    steps, Wh = len(y), params["Wh"]
    grads = {k: np.zeros_like(v) for group in (params, inputs, state0) for k, v in group.items()}
    da = np.zeros(UNITS, y.dtype)
    for t in range(steps - 1, -1, -1):
        bad = plant if steps - 1 - t >= first else None
        carried = (Wh if bad == "transposed" else Wh.T) @ da
        if bad == "no carry":
            carried = 0 * carried
        if bad == "one unit dropped":
            carried = carried * (np.arange(UNITS) != 1)
        if bad == "units shifted":
            carried = np.roll(carried, 1)
        da = grad_outputs["y"][t] + carried
        slope = 1 - y[t] ** 2
        if bad == "activation for slope":
            slope = y[t]
        if bad == "slope of the step after":
            slope = 1 - y[min(t + 1, steps - 1)] ** 2
        if bad == "slope forgotten":
            slope = np.ones_like(slope)
        da = da * slope
        da = {"sign": -da, "twice": 2 * da, "a thousandth more": 1.001 * da, "half precision": half(da),
              "clipped": np.clip(da, -0.6 * np.abs(da).max(), 0.6 * np.abs(da).max())}.get(bad, da)
        grads["Wx"] += np.outer(da, inputs["x"][t])
        if bad != "part of dE/dWh forgotten":
            grads["Wh"] += np.outer(da, y[t - 1] if t else state0["h0"])
        grads["b"] += da
        grads["x"][t] = params["Wx"].T @ da
    grads["h0"] = Wh.T @ da
    return grads


def half(array):
    """Rounded to 11 bits at its own size."""
    size = np.abs(array).max()
    return (array / size).astype(np.float16).astype(array.dtype) * size if size else array


def logistic(z):
    return 1 / (1 + np.exp(-z))


def lstm_forward(params, inputs, state0, keep=None):
    """A batch, time in the middle; gates i, f, g, o stacked in one matrix over [x, h, 1]."""
    h, c, ys = state0["h0"], state0["c0"], []
    ones = np.ones_like(h[:, :1])
    for t in range(inputs["x"].shape[1]):
        joined = np.concatenate([inputs["x"][:, t], h, ones], axis=1)
        z = joined @ params["W"].T
        gates, g = logistic(z), np.tanh(z[:, 2 * UNITS:3 * UNITS])
        i, f, o = gates[:, :UNITS], gates[:, UNITS:2 * UNITS], gates[:, 3 * UNITS:]
        before, c = c, f * c + i * g
        h = o * np.tanh(c)
        ys.append(h)
        if keep is not None:
            keep.append((joined, i, f, g, o, before, c))
    return {"out": np.stack(ys, axis=1), "last_c": c}


def lstm_backward(params, inputs, state0, grad_outputs, plant=None, first=0):
    tape = []
    lstm_forward(params, inputs, state0, tape)
    dW, dx = np.zeros_like(params["W"]), np.zeros_like(inputs["x"])
    dh, dc = np.zeros_like(state0["h0"]), grad_outputs["last_c"].copy()
    for t, (joined, i, f, g, o, before, c) in reversed(list(enumerate(tape))):
        bad = plant if len(tape) - 1 - t >= first else None
        dh = dh + grad_outputs["out"][:, t]
        tanh_c = np.tanh(c)
        if bad == "state not carried":
            dc = 0 * dc
        if bad != "no path from output to state":
            dc = dc + dh * o * (1 - (np.tanh(before) if bad == "tanh of the state before" else tanh_c) ** 2)
        di, df, dg, do = dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2), dh * tanh_c * o * (1 - o)
        if bad == "gates swapped":
            di, df = df, di
        if bad == "logistic slope squared":
            do = do * o * (1 - o)
        if bad == "new state for old":
            df = dc * c * f * (1 - f)
        dz = np.concatenate([di, df, dg, do], axis=1)
        dW += dz.T @ joined
        back = dz @ params["W"]
        dx[:, t] = back[:, :INPUTS]
        dh, dc = back[:, INPUTS:INPUTS + UNITS], dc * f
    return {"W": dW, "x": dx, "h0": dh, "c0": dc}


def rnn_problem(gain, steps, seed=0, dtype=np.float64):
    rng = np.random.default_rng([seed, steps])
    params = {"Wx": rng.normal(size=(UNITS, INPUTS)), "Wh": gain * rng.normal(size=(UNITS, UNITS)) / np.sqrt(UNITS),
              "b": rng.normal(size=UNITS) / 2}
    inputs, state0 = {"x": rng.normal(size=(steps, INPUTS))}, {"h0": rng.normal(size=UNITS) / 2}
    return tuple({k: v.astype(dtype) for k, v in group.items()} for group in (params, inputs, state0))


def lstm_problem(gain, steps, seed=0, dtype=np.float64):
    rng = np.random.default_rng([seed, steps])
    scale = np.concatenate([np.ones(INPUTS), np.full(UNITS, gain / np.sqrt(UNITS)), [0.5]])
    params = {"W": rng.normal(size=(4 * UNITS, INPUTS + UNITS + 1)) * scale}
    inputs = {"x": rng.normal(size=(2, steps, INPUTS))}
    state0 = {"h0": rng.normal(size=(2, UNITS)) / 2, "c0": rng.normal(size=(2, UNITS)) / 2}
    return tuple({k: v.astype(dtype) for k, v in group.items()} for group in (params, inputs, state0))


def verify_rnn(problem, backward=rnn_backward, forward=rnn_forward, hard=False):
    """On the arguments given alone; harder ones are tried in the tests that say so."""
    return verify_gradient(forward, backward, *problem, hard=hard, smallest=False)


def verify_lstm(problem, backward=lstm_backward):
    """Time is axis 1 of x and out; the last state, which has no axis of time, stays out of the sum."""
    forward = lambda *groups: {"out": lstm_forward(*groups)["out"]}  # noqa: E731
    last = {"last_c": np.zeros_like(problem[2]["c0"])}
    return verify_gradient(forward, lambda p, x, s, g: backward(p, x, s, {**last, **g}), *problem, time_axis=1, hard=False, smallest=False)


GAINS = [0.3, 1.2, 5.0]
BOTH = (np.float64, np.float32)
NETS = [(kind, gain, steps, dtype) for kind in ("rnn", "lstm") for gain, steps in zip(GAINS, (11, 4, 11), strict=True) for dtype in BOTH]
NETS += [("rnn", gain, 60, dtype) for gain in (0.3, 5.0) for dtype in BOTH] + [("lstm", 5.0, 40, np.float64)]


@pytest.mark.parametrize(("kind", "gain", "steps", "dtype"), NETS,
                         ids=[f"{k}-gain{g}-T{s}-{np.dtype(d).name}" for k, g, s, d in NETS])
def test_a_right_backward_pass_raises_no_alarm(kind, gain, steps, dtype):
    verify, problem = (verify_rnn, rnn_problem) if kind == "rnn" else (verify_lstm, lstm_problem)
    verification = verify(problem(gain, steps, seed=3, dtype=dtype))
    assert verification.verdict == "pass", str(verification)
    by_lag = verification.detectable["x"]
    assert set(by_lag) <= set(range(steps)) and by_lag and max(by_lag.values()) <= 0.1


def quiet_problem(gain, steps, seed):
    """An RNN with little input, so that large weights make it chaotic or saturate it."""
    rng = np.random.default_rng(seed)
    Wx, Wh, b = (rng.normal(size=shape) for shape in ((UNITS, INPUTS), (UNITS, UNITS), UNITS))
    params = {"Wx": 0.1 * Wx, "Wh": gain * Wh / np.sqrt(UNITS), "b": 0.05 * b}
    return params, {"x": 0.1 * rng.normal(size=(steps, INPUTS))}, {"h0": 0.1 * rng.normal(size=UNITS)}


@pytest.mark.parametrize("seed", range(3))
def test_a_right_backward_pass_of_a_chaotic_net_raises_no_alarm(seed):
    verification = verify_rnn(quiet_problem(5.0, 60, seed))
    assert verification.verdict == "pass", str(verification)


def test_a_right_backward_pass_of_a_flow_whose_square_underflows_raises_no_alarm():
    verification = verify_rnn(rnn_problem(1e-3, 60, seed=3))  # down to 1e-191, far inside the range of float64
    assert verification.verdict == "pass", str(verification)


@pytest.mark.parametrize("gain", [1e-4, 1e-6])
def test_a_right_backward_pass_of_a_flow_that_the_complex_step_cannot_hold_is_not_called_wrong(gain):
    verification = verify_rnn(rnn_problem(gain, 60, seed=3))  # times the step of 5e-91 it is below float64
    assert verification.verdict != "fail", str(verification)


@pytest.mark.parametrize(("gain", "seed"), [(10.0, 10), (20.0, 3), (40.0, 1)])
def test_a_right_backward_pass_of_a_saturated_net_is_not_called_wrong(gain, seed):
    verification = verify_rnn(quiet_problem(gain, 30, seed), hard=True)
    assert verification.verdict != "fail", str(verification)


RNN_MISTAKES = ["transposed", "no carry", "one unit dropped", "units shifted", "activation for slope", "twice", "sign",
                "slope forgotten", "slope of the step after", "a thousandth more", "half precision", "clipped"]
LSTM_MISTAKES = ["state not carried", "no path from output to state", "tanh of the state before", "gates swapped",
                 "logistic slope squared", "new state for old"]
FIRST_LAGS = [1, 30]


def assert_caught(verification, first):
    finding = verification.findings[0]
    assert verification.verdict == "fail"
    assert (finding.first_bad_lag, finding.term) == (first, "dE/dx"), str(verification)
    assert f"lag {first} " in finding.words and f"lag {first} " in str(verification)
    assert finding.error > finding.tolerance


@pytest.mark.parametrize("first", FIRST_LAGS)
@pytest.mark.parametrize("plant", RNN_MISTAKES)
def test_a_mistake_in_an_rnn_is_caught_at_its_first_lag(plant, first):
    backward = lambda *a: rnn_backward(*a, plant=plant, first=first)  # noqa: E731
    assert_caught(verify_rnn(rnn_problem(0.9, first + 2, seed=1), backward), first)


@pytest.mark.parametrize("first", [1, 20])
@pytest.mark.parametrize("plant", LSTM_MISTAKES)
def test_a_mistake_in_an_lstm_is_caught_at_its_first_lag(plant, first):
    backward = lambda *a: lstm_backward(*a, plant=plant, first=first)  # noqa: E731
    assert_caught(verify_lstm(lstm_problem(0.9, first + 2, seed=1), backward), first)


@pytest.mark.parametrize("plant", ["transposed", "no carry", "twice"])
@pytest.mark.parametrize("first", [1, 20])
def test_a_mistake_in_a_float32_backward_pass_is_caught_at_its_first_lag(plant, first):
    single = lambda groups: [{k: v.astype(np.float32) for k, v in g.items()} for g in groups]  # noqa: E731
    backward = lambda *a: rnn_backward(*single(a), plant=plant, first=first)  # noqa: E731
    assert_caught(verify_rnn(rnn_problem(0.9, first + 2, seed=1, dtype=np.float32), backward), first)


def test_a_right_float32_backward_pass_passes():
    backward = lambda *a: {k: v.astype(np.float32) for k, v in rnn_backward(  # noqa: E731
        *[{k: v.astype(np.float32) for k, v in g.items()} for g in a]).items()}
    assert verify_rnn(rnn_problem(0.9, 22, seed=1, dtype=np.float32), backward).verdict == "pass"


def altered(**changes):
    """The right backward pass with some entries replaced by functions of them."""
    def backward(params, inputs, state0, grad_outputs):
        grads = rnn_backward(params, inputs, state0, grad_outputs)
        for name, change in changes.items():
            grads[name] = change(grads[name])
        return grads
    return backward


def without(name):
    return lambda *a: {k: v for k, v in rnn_backward(*a).items() if k != name}


def last_step_only(params, inputs, state0, grad_outputs):
    grads, y = rnn_backward(params, inputs, state0, grad_outputs), rnn_forward(params, inputs, state0)["y"]
    da = grad_outputs["y"][-1] * (1 - y[-1] ** 2)
    return grads | {"Wh": np.outer(da, y[-2])}


WRONG_ENTRIES = {
    "only the last step accumulated": (last_step_only, "dE/dWh"),
    "mean instead of sum": (altered(Wx=lambda g: g / 12), "dE/dWx"),
    "bias forgotten": (altered(b=np.zeros_like), "dE/db"),
    "weights transposed": (altered(Wh=lambda g: g.T), "dE/dWh"),
    "initial state not reached": (altered(h0=lambda g: 0 * g), "dE/dh0"),
    "one entry wrong": (altered(Wh=lambda g: g + 1e-3 * np.eye(UNITS, k=2)), "dE/dWh"),
    "entry missing": (without("b"), "dE/db: missing, backward returns Wx, Wh, x, h0"),
    "entry None": (altered(Wh=lambda g: None), "dE/dWh: backward returns None"),
    "wrong shape": (altered(b=lambda g: g[:, None]), "dE/db: shape (4, 1), expected (4,)"),
    "not a number": (altered(Wx=lambda g: g * np.nan), "dE/dWx"),
    "infinite": (altered(Wh=lambda g: g + np.where(np.eye(UNITS, k=2), np.inf, 0.0)), "dE/dWh"),
    "complex": (altered(Wh=lambda g: g + 1j), "dE/dWh: backward returns complex128 numbers, expected real ones"),
}


@pytest.mark.parametrize("name", WRONG_ENTRIES)
def test_a_wrong_entry_is_named(name):
    backward, words = WRONG_ENTRIES[name]
    with pytest.raises(Mismatch) as caught:
        check_gradient(rnn_forward, backward, *rnn_problem(0.9, 12, seed=1))
    verification = caught.value.verification
    assert verification.verdict == "fail" and words in verification.findings[0].words
    assert words in str(caught.value)
    assert {c.term for c in verification.findings} == {words.split(":")[0]}


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("cell", [None, True])
def test_one_number_that_is_not_finite_fails_and_is_located(value, cell):
    def one(g):
        g[1, 2] = value
        return g

    found = verify_gradient(rnn_forward, altered(Wh=one), *rnn_problem(0.9, 12, seed=1), cell=cell)
    assert found.verdict == "fail"
    words = found.findings[0].words
    assert f"not finite in 1 of its {UNITS**2} numbers, the first, {value}, at [1, 2]" in words
    assert "clip" not in words and "must be zero" not in words and "wrong term" not in words


def test_a_forward_that_is_not_finite_is_what_is_wrong():
    params, inputs, state0 = rnn_problem(0.9, 12, seed=1)
    params["Wx"][0, 0] = np.nan
    found = verify_gradient(rnn_forward, rnn_backward, params, inputs, state0)
    assert found.verdict == "fail" and len(found.findings) == 1
    assert "forward returns output y not finite" in found.findings[0].words and "neither is params['Wx']" in found.findings[0].words


@pytest.mark.parametrize(("axis", "words"), [
    (7, "time_axis 7: x has shape (12, 2)"), ({"X": 0}, "time_axis names X, expected entries or outputs: Wx, Wh, b, x, h0, y"),
    ({"x": 2}, "time_axis 2: x has shape"), ("time", "time_axis is 'time', expected a whole number"),
    ({"x": 1.5}, "expected a whole number"), (True, "expected a whole number"),
])
def test_an_axis_of_time_that_is_not_there_is_refused(axis, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        verify_gradient(rnn_forward, rnn_backward, *rnn_problem(0.9, 12, seed=1), time_axis=axis)


def test_a_factor_at_every_step_begins_nowhere_where_no_later_step_can_be_looked_at():
    """An LSTM that hands out y alone cannot be restarted: that its first step is wrong says nothing of the next."""
    def forward(*given):
        return {"out": lstm_forward(*given)["out"]}

    def backward(params, inputs, state0, grad_outputs):
        grads = lstm_backward(params, inputs, state0, grad_outputs | {"last_c": np.zeros_like(state0["c0"])})
        grads["W"] *= 2
        return grads

    found = verify_gradient(forward, backward, *lstm_problem(1.2, 12), time_axis=1)
    finding, = found.findings
    assert "2 times the right value" in finding.words and "right at step" not in finding.words
    assert finding.lag in (None, 0)


def test_the_check_runs_with_one_blas_thread():
    seen = set()

    def forward(*given):
        seen.update(library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas")
        return rnn_forward(*given)

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        verify_gradient(forward, rnn_backward, *rnn_problem(0.9, 6), hard=False)
        assert seen == {1}


def test_mean_instead_of_sum_is_said_as_a_factor():
    verification = verify_rnn(rnn_problem(0.9, 12, seed=1), altered(Wx=lambda g: g / 12))
    assert "0.08333 times" in verification.findings[0].words


def test_a_flipped_sign_is_said_in_words():
    assert "sign is flipped" in verify_rnn(rnn_problem(0.9, 12, seed=1), altered(Wh=lambda g: -g)).findings[0].words


def mutating_backward(params, inputs, state0, grad_outputs):
    grads = rnn_backward(params, inputs, state0, grad_outputs)
    inputs["x"] *= 2
    return grads


def mutating_forward(params, inputs, state0):
    outputs = rnn_forward(params, inputs, state0)
    state0["h0"][:] = outputs["y"][-1]
    return {"y": outputs["y"] * 0 + 1}


def consuming_backward(params, inputs, state0, grad_outputs):
    grads = rnn_backward(params, inputs, state0, grad_outputs)
    grad_outputs["y"] *= 0
    return grads


@pytest.mark.parametrize(("forward", "backward", "argument"), [
    (rnn_forward, mutating_backward, "inputs['x']"), (mutating_forward, rnn_backward, "state0['h0']"),
    (rnn_forward, consuming_backward, "grad_outputs['y']"),
], ids=["backward", "forward", "errors"])
def test_a_function_that_changes_its_arguments_is_a_finding(forward, backward, argument):
    with pytest.raises(Mismatch) as caught:
        check_gradient(forward, backward, *rnn_problem(0.9, 6))
    said = [f.words for f in caught.value.verification.findings if argument in f.words]
    assert len(said) == 1 and "in place" in said[0] and "in place" in str(caught.value)


def test_a_forward_that_is_not_deterministic_fails():
    noise = np.random.default_rng(0)
    forward = lambda *a: {"y": rnn_forward(*a)["y"] * (1 + 1e-9 * noise.normal())}  # noqa: E731
    with pytest.raises(Mismatch, match="not deterministic"):
        check_gradient(forward, rnn_backward, *rnn_problem(0.9, 6))


def forward_with(bend):
    return lambda *a: {"y": bend(rnn_forward(*a)["y"])}


def forward_that_casts(params, inputs, state0):
    if any(np.iscomplexobj(v) for group in (params, inputs, state0) for v in group.values()):
        raise TypeError("must be real")
    return rnn_forward(params, inputs, state0)


@pytest.mark.parametrize(("forward", "verdict"), [
    (forward_with(np.abs), "fail"),
    (forward_with(lambda y: y + 0.01 * np.abs(y)), "fail"),
    (forward_with(np.real), "pass"),
    (forward_with(np.conj), "pass"),
    (forward_that_casts, "pass"),
], ids=["abs", "partly-abs", "real", "conj", "refuses-complex"])
def test_a_forward_that_the_complex_step_cannot_judge_is_judged_by_differences(forward, verdict):
    verification = verify_rnn(rnn_problem(0.9, 6), forward=forward)
    assert verification.verdict == verdict, str(verification)
    assert any("extrapolated differences" in note and "complex step cannot judge" in note for note in verification.notes)


def flipped_from(lag):
    """rnn_backward with the part of dE/dx at lags >= `lag` of the wrong sign."""
    def backward(params, inputs, state0, grad_outputs):
        grads = rnn_backward(params, inputs, state0, grad_outputs)
        for t in np.flatnonzero(np.any(grad_outputs["y"], axis=1)):
            alone = grad_outputs["y"] * (np.arange(len(grads["x"])) == t)[:, None]
            part = rnn_backward(params, inputs, state0, {"y": alone})["x"]
            grads["x"][:max(0, t - lag + 1)] -= 2 * part[:max(0, t - lag + 1)]
        return grads

    return backward


def test_where_differences_cannot_see_a_lag_the_check_says_so():
    """Flow at lag 13 is 1e-11 of the output: no difference can see it, and a pass says of which lags it says nothing."""
    problem = rnn_problem(0.15, 14)
    verification = verify_rnn(problem, forward=forward_that_casts)
    assert verification.verdict == "pass" and "lags from" in verification.unseen["x"]
    assert "error at the last step" in verification.unseen["h0"]  # seen under an error at the first step
    seen = max(verification.detectable["x"])
    assert 3 < seen < 13 and "13 (the reference" in verification.unseen["x"]
    assert verify_rnn(problem, flipped_from(13), forward_that_casts).verdict == "pass"
    assert verify_rnn(problem, flipped_from(seen), forward_that_casts).verdict == "fail"


def test_an_entry_that_no_comparison_sees_is_no_pass():
    """The output moves by 1e-20 u: under a rounding of 1e-16, differences tell nothing of dE/du."""
    def forward(params, inputs, state0):
        return {"y": forward_that_casts(params, inputs, state0)["y"] + 1e-20 * params["u"]}

    def backward(*given):
        return rnn_backward(*given) | {"u": 1e-20 * given[3]["y"].sum(axis=0)}

    params, inputs, state0 = rnn_problem(0.9, 4)
    verification = verify_rnn((params | {"u": np.ones(UNITS)}, inputs, state0), backward, forward)
    assert verification.verdict == "inconclusive" and [f.entry for f in verification.findings] == ["u"]


def test_a_backward_that_returns_no_dict_is_refused():
    with pytest.raises(ValueError, match="tuple"):
        check_gradient(rnn_forward, lambda *a: tuple(rnn_backward(*a).values()), *rnn_problem(0.9, 6))


def test_entries_of_one_name_in_two_groups_are_refused():
    params, inputs, state0 = rnn_problem(0.9, 6)
    with pytest.raises(ValueError, match="twice: x"):
        check_gradient(rnn_forward, rnn_backward, params | {"x": params["b"]}, inputs, state0)


def test_every_message_is_short():
    many = {f"W{k}": np.eye(3) for k in range(40)}
    forward = lambda p, x, s: {"y": x["x"] * sum(np.sum(w) for w in p.values())}  # noqa: E731
    backward = lambda p, x, s, g: {k: np.full((3, 3), 17.0) for k in p} | {"x": -g["y"]}  # noqa: E731
    with pytest.raises(Mismatch) as caught:
        check_gradient(forward, backward, many, {"x": np.arange(5.0)[:, None]}, {})
    assert len(str(caught.value).splitlines()) <= 25
    assert all("\n" not in c.words for c in caught.value.verification.checks)
    assert "also: W2" in str(caught.value)


def test_a_pass_says_what_it_could_have_caught_at_every_lag():
    verification = check_gradient(rnn_forward, rnn_backward, *rnn_problem(0.5, 40))
    assert set(verification.detectable["x"]) == set(range(40))
    assert "would have been caught" in str(verification) and len(str(verification).splitlines()) <= 25
    assert not verification.findings


def test_a_planted_mistake_ten_times_the_detectable_one_is_caught():
    problem = rnn_problem(0.5, 30)
    smallest = verify_rnn(problem).detectable["x"]
    for lag in (3, 17, 29):
        def backward(params, inputs, state0, grad_outputs, lag=lag):
            grads = rnn_backward(params, inputs, state0, grad_outputs)
            grads["x"][29 - lag] *= 1 + 10 * smallest[lag]
            return grads
        assert_caught(verify_rnn(problem, backward), lag)


def test_a_truncated_backward_pass_of_a_decaying_net_is_no_pass():
    """What sums with an absolute floor accept: everything past lag 20 is zero, and the flow there is below 1e-12."""
    problem = rnn_problem(0.3, 24)
    backward = lambda *a: rnn_backward(*a, plant="no carry", first=20)  # noqa: E731
    last = np.ones((40, UNITS)) * (np.arange(40) == 39)[:, None]
    right, cut = (b(*problem, {"y": last})["Wh"] for b in (rnn_backward, backward))
    assert np.abs(right - cut).max() < 1e-12
    assert_caught(verify_rnn(problem, backward), 20)


@pytest.mark.parametrize(("plant", "gain", "entry"), [("twice", 1e-14, "x"), ("part of dE/dWh forgotten", 1e-14, "Wh"),
                                                      ("part of dE/dWh forgotten", 0.1, "Wh")])
def test_where_flow_from_the_last_step_has_faded_errors_from_nearby_show_the_first_lag(plant, gain, entry):
    """At 1e-14 a step, 15 lags leave 1e-210 of an error, too small to compare; an error at that very step shows the mistake whole."""
    backward = lambda *a: rnn_backward(*a, plant=plant, first=15)  # noqa: E731
    finding = verify_gradient(rnn_forward, backward, *rnn_problem(gain, 18), hard=False).findings[0]
    assert (finding.entry, finding.lag) == (entry, 15), finding
    assert "wrong at step 2, lag 15 from the last step, and right at step 3 (error at step 2)" in finding.words


def wrapping(params, inputs, state0, grad_outputs):
    """dE/dWh += da outer(y[t - 1]) at t = 0, too, where y[-1] is the last output."""
    grads, y = rnn_backward(params, inputs, state0, grad_outputs), rnn_forward(params, inputs, state0)["y"]
    grads["Wh"] += np.outer(np.linalg.solve(params["Wh"].T, grads["h0"]), y[-1] - state0["h0"])
    return grads


def all_but_the_first(params, inputs, state0, grad_outputs):
    """A loop that ends at t = 1."""
    y, grads = rnn_forward(params, inputs, state0)["y"], {k: np.zeros_like(v) for g in (params, inputs, state0) for k, v in g.items()}
    da = np.zeros(UNITS)
    for t in range(len(y) - 1, 0, -1):
        da = (grad_outputs["y"][t] + params["Wh"].T @ da) * (1 - y[t] ** 2)
        grads["Wx"] += np.outer(da, inputs["x"][t])
        grads["Wh"] += np.outer(da, y[t - 1])
        grads["b"] += da
        grads["x"][t] = params["Wx"].T @ da
    grads["h0"] = params["Wh"].T @ da
    return grads


@pytest.mark.parametrize(("backward", "entry"), [(wrapping, "Wh"), (all_but_the_first, "x")])
def test_the_first_step_of_a_loop_is_named_by_its_own_lag(backward, entry, steps=6):
    """Also where runs from later steps were looked at, in which each has a first step of its own."""
    verification = verify_gradient(rnn_forward, backward, *rnn_problem(0.7, steps), hard=False)
    assert {f.entry: f.lag for f in verification.findings}[entry] == steps - 1, str(verification)
    assert {f.lag for f in verification.findings} <= {steps - 1, steps, None}, str(verification)


def test_a_term_is_named_by_the_errors_that_show_it_best():
    """An error at the last step leaves 2e-12 of the mistake, which is hardly more than rounding; errors at all steps show it whole."""
    backward = lambda *a: rnn_backward(*a, plant="part of dE/dWh forgotten", first=15)  # noqa: E731
    finding, = verify_gradient(rnn_forward, backward, *rnn_problem(0.28, 18), cell="tanh", hard=False).findings
    assert finding.lag == 15 and finding.hypotheses == ("dE/dWh: is missing (at lags from 15 on)",)


def test_an_index_that_wraps_around_at_the_first_step_is_named():
    verification = verify_gradient(rnn_forward, wrapping, *rnn_problem(0.7, 5), cell="tanh", hard=False)
    finding, = verification.findings
    assert finding.lag == 4 and finding.hypotheses[0].startswith("dE/dWh: its source at the first step is the state after the last")


@pytest.mark.parametrize("lag", [2, 7])
def test_a_window_that_only_errors_from_afar_show_is_named_by_its_own_lag(lag):
    """dE/dWh of each error lacks the parts at lags from the window's end on: no step is wrong for errors that enter nearby."""
    def backward(params, inputs, state0, grad_outputs):
        grads = rnn_backward(params, inputs, state0, grad_outputs)
        grads["Wh"] *= 0
        for t in np.flatnonzero(np.any(grad_outputs["y"], axis=1)):
            alone = grad_outputs["y"][:t + 1] * (np.arange(t + 1) == t)[:, None]
            grads["Wh"] += rnn_backward(params, {"x": inputs["x"][:t + 1]}, state0, {"y": alone}, "no carry", lag)["Wh"]
        return grads

    verification = verify_gradient(rnn_forward, backward, *rnn_problem(0.7, 10), hard=False)
    finding, = verification.findings
    assert (finding.entry, finding.lag) == ("Wh", lag), str(verification)
    assert "error at the last step" in finding.words and "right at step" not in finding.words


def symmetric(params, inputs, state0):
    return params | {"Wh": params["Wh"] + params["Wh"].T}, inputs, state0


HIDDEN = {
    "symmetric weights": (symmetric, lambda *a: rnn_backward(*a, plant="transposed")),
    "two steps": (lambda p, x, s: (p, {"x": x["x"][:2]}, s), lambda *a: rnn_backward(*a, plant="no carry", first=2)),
    "zero biases": (lambda p, x, s: (p | {"b": 0 * p["b"]}, x, s), lambda p, x, s, g: rnn_backward(p | {"b": 0 * p["b"]}, x, s, g)),
    "zero state": (lambda p, x, s: (p, x, {"h0": 0 * s["h0"]}), lambda p, x, s, g: rnn_backward(p, x, {"h0": 0 * s["h0"]}, g)),
}


@pytest.mark.parametrize("where", HIDDEN)
def test_a_mistake_that_hides_on_the_arguments_given_is_found_on_harder_ones(where):
    given, backward = HIDDEN[where]
    problem = given(*rnn_problem(0.9, 6))
    assert verify_rnn(problem, backward).verdict == "pass"
    found = verify_rnn(problem, backward, hard=True)
    assert found.verdict == "fail" and "random arguments of the same shapes" in found.findings[0].words


def test_without_an_axis_of_time_the_check_says_that_it_saw_no_lags():
    verification = verify_gradient(rnn_forward, rnn_backward, *rnn_problem(0.9, 6), time_axis=None)
    assert verification.verdict == "pass" and any("no lag" in note for note in verification.notes)


def test_integer_entries_are_not_differentiated():
    params, inputs, state0 = rnn_problem(0.9, 6)
    lengths = inputs | {"lengths": np.array([6])}
    backward = lambda p, x, s, g: {k: v for k, v in rnn_backward(p, {"x": x["x"]}, s, g).items()}  # noqa: E731
    verification = check_gradient(rnn_forward, backward, params, lengths, state0)
    assert all(c.term != "dE/dlengths" for c in verification.checks)


@pytest.mark.parametrize(("axis", "words"), [(None, "note: time_axis is None: no lag"), ("detect", "note: no axis of time shows")])
def test_why_no_lag_was_looked_at_is_said(axis, words):
    params, inputs, state0 = rnn_problem(0.9, 6)
    zero = {k: 0 * v for k, v in params.items()}, {k: 0 * v for k, v in inputs.items()}, {k: 0 * v for k, v in state0.items()}
    found = verify_gradient(rnn_forward, rnn_backward, *zero, time_axis=axis, hard=False)
    assert words in str(found)


def test_a_result_rounded_to_float32_on_the_way_is_suspected():
    def backward(params, inputs, state0, grad_outputs):
        errors = {"y": grad_outputs["y"].astype(np.float32).astype(float)}
        return rnn_backward(params, inputs, state0, errors)

    found = verify_rnn(rnn_problem(0.9, 6, seed=1), backward)
    assert found.verdict == "fail" and "rounded to float32" in found.findings[0].words
    coarse = verify_rnn(rnn_problem(0.9, 6, seed=1), altered(Wh=lambda g: g * (1 + 1e-4 * np.arange(UNITS))))
    assert coarse.verdict == "fail" and "float32" not in coarse.findings[0].words


def test_a_clip_that_acts_on_larger_errors_only_is_noted():
    def clipped(*given):
        return {k: np.clip(g, -1e3, 1e3) for k, g in rnn_backward(*given).items()}

    found = verify_rnn(rnn_problem(0.9, 6, seed=1), clipped)
    assert found.verdict == "pass" and "a clip or a threshold acts there" in " ".join(str(found).split())
    assert not any("linear" in note for note in verify_rnn(rnn_problem(0.9, 6, seed=1)).notes)


def test_a_backward_that_refuses_larger_errors_passes():
    def careful(params, inputs, state0, grad_outputs):
        assert np.abs(grad_outputs["y"]).max() < 1e3
        return rnn_backward(params, inputs, state0, grad_outputs)

    found = verify_rnn(rnn_problem(0.9, 6, seed=1), careful)
    assert found.verdict == "pass" and not any("linear" in note for note in found.notes)


def test_a_part_that_is_not_finite_is_said_where_the_whole_gradient_is():
    one = Comparison("W", "params", Seed("error at the last step", {}, 5), np.ones(3), verdict="fail")
    one.bad = 2, np.inf, 0.0, [np.inf], [1.0], None
    assert "not finite" in describe(one) and "must be zero" not in describe(one)


@pytest.mark.parametrize(("add", "verdict"), [("at", "pass"), ("indexed", "fail"), ("assigned", "fail")])
@pytest.mark.parametrize("refuses", [False, True], ids=["", "refused where repeated"])
def test_gradients_of_repeated_indices_are_added(add, verdict, refuses, rng):
    """No index given comes twice, so that only others show that `grads[i] += e` keeps one of two errors."""
    def forward(params, inputs, state0):
        if refuses and any(len(set(ids)) < len(ids) for ids in inputs["ids"].tolist()):
            raise ValueError("an index comes twice in a step")
        h, found = np.zeros(4), []
        for ids in inputs["ids"]:
            h = np.tanh(params["E"][ids] + h @ params["U"].T)
            found.append(h)
        return {"h": np.array(found)}

    def backward(params, inputs, state0, grad_outputs):
        h, grads, back = forward(params, inputs, state0)["h"], {k: np.zeros_like(v) for k, v in params.items()}, 0.0
        for t, ids in reversed(list(enumerate(inputs["ids"]))):
            error = (grad_outputs["h"][t] + back) * (1 - h[t] ** 2)
            if add == "at":
                np.add.at(grads["E"], ids, error)
            else:
                grads["E"][ids] = error + (grads["E"][ids] if add == "indexed" else 0.0)
            grads["U"] += error.T @ h[t - 1] if t else 0.0
            back = error @ params["U"]
        return grads

    params = {"E": rng.normal(size=(60, 4)), "U": 0.5 * rng.normal(size=(4, 4))}
    verification = verify_gradient(forward, backward, params, {"ids": 7 + rng.permutation(50)[:24].reshape(8, 3)})
    assert verification.verdict == ("pass" if refuses and add == "indexed" else verdict)
    if not refuses:
        assert ("indices repeated" in " ".join(str(verification).split())) == (verdict == "fail")


def test_the_smallest_case_is_that_of_the_finding_shown_first():
    """The weights' gradient is twice as large over two steps already; that of the inputs is wrong from lag 4 on."""
    params, inputs, state0 = rnn_problem(0.9, 12, seed=1)

    def wrong(*given):
        grads = rnn_backward(*given)
        lags = np.arange(len(grads["x"]))[::-1].reshape(-1, *[1] * (grads["x"].ndim - 1))
        return grads | {"Wh": 2 * grads["Wh"], "x": grads["x"] * np.where(lags < 4, 1.0, 0.5)}

    verification = verify_gradient(rnn_forward, wrong, params, inputs, state0)
    assert "dE/dx is wrong, first at lag 4" in verification.findings[0].words and verification.shrunk["T"] == 5


def a_plain_net(rng, steps, **inputs):
    """(run, back, params, inputs, state0) of a tanh net of 3 sequences: run(W, x, h) is y, back(W, x, h, dE/dy) dE/dx, dE/dW and dE/dh."""
    def run(W, x, h):
        found = []
        for a in x:
            h = np.tanh(a + h @ W.T)
            found.append(h)
        return np.array(found)

    def back(W, x, h, errors, transposed=False):
        hs, dx, dW, carried = [h, *run(W, x, h)], np.zeros_like(x), np.zeros_like(W), 0.0
        for t in reversed(range(len(x))):
            dx[t] = error = (errors[t] + carried) * (1 - hs[t + 1] ** 2)
            dW, carried = dW + error.T @ hs[t], error @ (W.T if transposed else W)
        return dx, dW, carried

    return (run, back, {"W": 0.5 * np.eye(4)}, {"x": rng.normal(size=(steps, 3, 4))} | {n: np.array(v) for n, v in inputs.items()},
            {"h": rng.normal(size=(3, 4))})


SEQUENCES = np.arange(3)
REVERSED = [[length - 1 - t if t < length else t for length in (5, 3, 4)] for t in range(5)]
"""Steps of three sequences of these lengths, backwards."""


@pytest.mark.parametrize(("integers", "steps"), [
    ({"lengths": [12, 9, 10]}, 12), ({"slot": [3, 7, 1, 9, 0, 4]}, 6), ({"order": REVERSED}, 5),
    ({"segments": [0, 0, 1, 1, 1, 2, 2, 3]}, 8)], ids=["lengths", "slots", "order", "segments"])
@pytest.mark.parametrize("transposed", [False, True], ids=["right", "wrong"])
def test_integers_with_a_meaning_stay_as_they_are(integers, steps, transposed, rng):
    """What they mean would be lost with others, or with other steps; and with fewer nothing would be seen of a W for its transpose, which
    the weights given, a multiple of the identity, hide."""
    run, back, *given = a_plain_net(rng, steps, **integers)

    def gathered(y, inputs):
        if "slot" in inputs:
            memory = np.zeros((10, 3, 4), y.dtype)
            memory[inputs["slot"]] = y
            return memory
        if "segments" in inputs:
            return np.add.reduceat(y, np.flatnonzero(np.r_[True, np.diff(inputs["segments"]) != 0]), axis=0)
        return y[inputs["lengths"] - 1 if "lengths" in inputs else inputs["order"], SEQUENCES]

    def forward(params, inputs, state0):
        y = run(params["W"], inputs["x"], state0["h"])
        return {"y": y, "gathered": gathered(y, inputs)}

    def backward(params, inputs, state0, grad_outputs):
        errors, more = grad_outputs["y"].copy(), grad_outputs["gathered"]
        if "slot" in inputs or "segments" in inputs:
            errors += more[inputs["slot" if "slot" in inputs else "segments"]]
        else:
            place = inputs["lengths"] - 1 if "lengths" in inputs else inputs["order"]
            np.add.at(errors, (place, SEQUENCES), more)
        dx, dW, dh = back(params["W"], inputs["x"], state0["h"], errors, transposed)
        return {"x": dx, "W": dW, "h": dh}

    axes = {"x": 0, "y": 0} | ({} if "lengths" in integers else {next(iter(integers)): 0})
    assert verify_gradient(forward, backward, *given, time_axis=axes).verdict == ("fail" if transposed else "pass")


@pytest.mark.parametrize("ids", [np.arange(24).reshape(8, 3), [[3, 5, 4], [5, 4, 3]] * 4, [4, 7, 1]], ids=["in order", "few", "each"])
@pytest.mark.parametrize("add", ["at", "indexed"])
def test_labels_of_rows_are_repeated_whatever_they_are(ids, add, rng):
    run, back, params, inputs, state0 = a_plain_net(rng, 8, ids=ids)
    params = {"W": 0.4 * rng.normal(size=(4, 4)), "E": rng.normal(size=(25, 4))}

    def forward(params, inputs, state0):
        return {"y": run(params["W"], inputs["x"] + params["E"][inputs["ids"]], state0["h"])}

    def backward(params, inputs, state0, grad_outputs):
        dx, dW, dh = back(params["W"], inputs["x"] + params["E"][inputs["ids"]], state0["h"], grad_outputs["y"])
        dE = np.zeros_like(params["E"])
        for t in range(len(dx)):
            if add == "at":
                np.add.at(dE, inputs["ids"] if inputs["ids"].ndim == 1 else inputs["ids"][t], dx[t])
            else:
                dE[inputs["ids"] if inputs["ids"].ndim == 1 else inputs["ids"][t]] += dx[t]
        return {"x": dx, "W": dW, "E": dE, "h": dh}

    axes = {"x": 0, "y": 0} | ({"ids": 0} if np.ndim(ids) > 1 else {})
    assert verify_gradient(forward, backward, params, inputs, state0, time_axis=axes).verdict == ("pass" if add == "at" else "fail")
