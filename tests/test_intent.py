"""What a gradient is declared to be: truncated, scaled, a direction, stochastic, clipped. As declared passes; anything else does not."""

import numpy as np
import pytest
from test_check_gradient import lstm_backward, lstm_forward, lstm_problem, rnn_backward, rnn_forward, rnn_problem

from flowcheck import Mismatch, check_gradient, clipped, direction, stochastic, truncated, up_to_scale, verify_gradient
from flowcheck.verify.intent import read_intent

STEPS = 9


def windows(start):
    """A backward pass that sends the error of step t back to step start(t) and no further: one right pass a step, over the window."""
    def backward(params, inputs, state0, grad_outputs):
        y = np.concatenate([state0["h0"][None], rnn_forward(params, inputs, state0)["y"]])
        total = {k: np.zeros_like(v) for group in (params, inputs, state0) for k, v in group.items()}
        for t in range(len(inputs["x"])):
            first = start(t)
            error = np.zeros((t + 1 - first, y.shape[1]))
            error[-1] = grad_outputs["y"][t]
            part = rnn_backward(params, {"x": inputs["x"][first:t + 1]}, {"h0": y[first]}, {"y": error})
            for k in params:
                total[k] += part[k]
            total["x"][first:t + 1] += part["x"]
            total["h0"] += part["h0"] * (first == 0)
        return total
    return backward


TRUNCATIONS = {
    "window-4": (truncated(window=4), lambda t: max(0, t - 3)),
    "detached": (truncated(window=1), lambda t: t),
    "tbptt-3-5": (truncated(k1=3, k2=5), lambda t: max(0, t // 3 * 3 - 2)),
    "tbptt-4-4": (truncated(k1=4, k2=4), lambda t: t // 4 * 4),
}


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_a_gradient_truncated_as_declared_passes_and_fails_as_full(name):
    intent, start = TRUNCATIONS[name]
    problem, backward = rnn_problem(0.9, STEPS, seed=2), windows(start)
    verification = verify_gradient(rnn_forward, backward, *problem, time_axis=0, intent=intent)
    assert verification.verdict == "pass", str(verification)
    left = verification.omitted["x"]
    assert left[0] == 0 and left[STEPS - 1] == 1 and f"left out of dE/dx: 0% at lag{'s' if left[1] == 0 else ''} 0" in str(verification)
    assert {lag for lag, share in left.items() if share == 1} == {lag for lag in range(STEPS) if STEPS - 1 - lag < start(STEPS - 1)}
    assert 0 < verification.omitted["Wh"][None] <= 1
    with pytest.raises(Mismatch):
        check_gradient(rnn_forward, backward, *problem, time_axis=0)


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_the_full_gradient_is_not_what_a_truncation_declares(name):
    intent = TRUNCATIONS[name][0]
    verification = verify_gradient(rnn_forward, rnn_backward, *rnn_problem(0.9, STEPS, seed=2), time_axis=0, intent=intent, hard=False)
    assert verification.verdict == "fail"


@pytest.mark.parametrize("wrong", [lambda t: max(0, t - 4), lambda t: max(0, t - 2)], ids=["one-longer", "one-shorter"])
def test_a_window_of_another_length_fails(wrong):
    verification = verify_gradient(rnn_forward, windows(wrong), *rnn_problem(0.9, STEPS, seed=2), time_axis=0, intent=truncated(window=4))
    assert verification.verdict == "fail" and verification.findings[0].lag in (3, 4)


def rule_of_1997(forget=True):
    """Of the LSTM's backward pass, only the carousel carries error through time: nothing goes back through the nets."""
    def backward(params, inputs, state0, grad_outputs):
        tape = []
        lstm_forward(params, inputs, state0, tape)
        units, n_inputs = state0["h0"].shape[1], inputs["x"].shape[2]
        dW, dx, dc = np.zeros_like(params["W"]), np.zeros_like(inputs["x"]), np.zeros_like(state0["c0"])
        for t, (joined, i, f, g, o, before, c) in reversed(list(enumerate(tape))):
            dh = grad_outputs["out"][:, t]
            dc = dc + dh * o * (1 - np.tanh(c) ** 2)
            nets = dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2), dh * np.tanh(c) * o * (1 - o)
            dz = np.concatenate(nets, axis=1)
            dW += dz.T @ joined
            dx[:, t] = (dz @ params["W"])[:, :n_inputs]
            dc = dc * (f if forget else 1)
        return {"W": dW, "x": dx, "h0": np.zeros((len(dc), units)), "c0": dc}
    return backward


def test_the_rule_of_1997_passes_as_truncated_and_fails_as_full():
    problem = lstm_problem(0.9, STEPS, seed=3)
    forward = lambda *a: {"out": lstm_forward(*a)["out"]}  # noqa: E731
    options = {"time_axis": 1, "cell": "lstm"}
    verification = verify_gradient(forward, rule_of_1997(), *problem, intent="truncated_1997", **options)
    assert verification.verdict == "pass" and verification.cell == "lstm", str(verification)
    left = verification.omitted["x"]
    assert left[0] == 0 and all(0 < left[lag] <= 1 for lag in range(1, STEPS)) and "left out of dE/dx" in str(verification)
    assert verify_gradient(forward, rule_of_1997(), *problem, **options).verdict == "fail"
    broken = verify_gradient(forward, rule_of_1997(forget=False), *problem, intent=truncated(cut=True), **options)
    assert broken.verdict == "fail" and broken.findings[0].lag == 1
    right = lambda p, x, s, g: lstm_backward(p, x, s, g | {"last_c": np.zeros_like(s["c0"])})  # noqa: E731
    assert verify_gradient(forward, right, *problem, intent=truncated(cut=True), **options).verdict == "fail"


def test_cut_connections_need_a_cell():
    verification = verify_gradient(rnn_forward, rnn_backward, *rnn_problem(0.9, 5), time_axis=0, intent="truncated_1997")
    assert verification.verdict == "inconclusive"


def altered(change):
    return lambda *a: {k: change(k, v) for k, v in rnn_backward(*a).items()}


def noisy(scale=0.3, bias=0.0):
    noise = np.random.default_rng(0)
    return lambda *a: {k: v * (1 + bias + scale * noise.normal(size=v.shape)) for k, v in rnn_backward(*a).items()}


def clip_value(bound):
    return altered(lambda _, v: np.clip(v, -bound, bound))


def clip_norm(bound):
    def backward(*a):
        grads = rnn_backward(*a)
        norm = np.sqrt(sum(float(np.sum(v**2)) for v in grads.values()))
        return {k: v * min(1.0, bound / norm) for k, v in grads.items()}
    return backward


DECLARED = [  # intent, backward, verdict
    (up_to_scale(), altered(lambda _, v: 0.25 * v), "pass"),
    (up_to_scale(), altered(lambda _, v: -v), "fail"),
    (up_to_scale(), altered(lambda k, v: v * (2 if k == "b" else 1)), "fail"),
    (direction(0.95), altered(lambda _, v: v + 0.1 * np.abs(v)), "pass"),
    (direction(0.999), altered(lambda _, v: np.sign(v)), "fail"),
    (direction(0.5), altered(lambda _, v: -v), "fail"),
    (stochastic(160), noisy(), "not fail"),
    (stochastic(160), noisy(bias=0.5), "fail"),
    (clipped(value=0.5), clip_value(0.5), "pass"),
    (clipped(value=0.5), clip_value(0.4), "fail"),
    (clipped(value=0.5), lambda *a: {k: 1.01 * v for k, v in clip_value(0.5)(*a).items()}, "fail"),
    (clipped(norm=1.0), clip_norm(1.0), "pass"),
    (clipped(norm=1.0), clip_norm(0.7), "fail"),
]


@pytest.mark.parametrize(("intent", "backward", "verdict"), DECLARED, ids=[f"{i}-{v}-{k}" for k, (i, _, v) in enumerate(DECLARED)])
def test_declared_departures(intent, backward, verdict):
    verification = verify_gradient(rnn_forward, backward, *rnn_problem(0.9, 5, seed=1), time_axis=0, intent=intent, hard=False)
    assert (verification.verdict != "fail") if verdict == "not fail" else verification.verdict == verdict, str(verification)


def test_a_clip_that_is_not_declared_is_said():
    verification = verify_gradient(rnn_forward, clip_value(0.5), *rnn_problem(0.9, 5, seed=1), time_axis=0)
    assert verification.verdict == "fail" and any("clipped to [-0.5, 0.5]" in f.words for f in verification.findings)


@pytest.mark.parametrize("make", [
    lambda: truncated(), lambda: truncated(window=0), lambda: truncated(k1=3), lambda: truncated(k1=5, k2=3), lambda: direction(0.0),
    lambda: stochastic(2), lambda: clipped(), lambda: clipped(value=1.0, norm=1.0), lambda: clipped(norm=-1.0),
    lambda: read_intent("nearly"),
])
def test_a_declaration_that_makes_no_sense_is_refused(make):
    with pytest.raises(ValueError) as refused:
        make()
    assert "\n" not in str(refused.value)
