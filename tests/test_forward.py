"""Forward values against other hands: plain loops over units written from the publications, torch, mpmath."""

import math

import mpmath
import numpy as np
import pytest

from flowcheck import catalogue, compile_cell
from flowcheck.notation import ROUTINES, squashing_functions
from flowcheck.oracles import STEP

UNITS, INPUTS, STEPS, BATCH = 4, 3, 6, 2
NET_TOLERANCE = 1e-13  # sums of at most 20 terms of size 1, six steps: below 500 roundings of 2e-16


def logistic(z):
    return 1.0 / (1.0 + math.exp(-z))


def weighted(w, source, i):
    total = 0.0
    for j in range(len(source)):
        total += w[i][j] * source[j]
    return total


def conventional_by_hand(p, xs, s0, squash=logistic):
    """Section 3.1: y^i(t) = f(net_i(t)), net_i(t) = sum_j w_ij y^j(t-1), inputs at t."""
    y, history = s0["y_prev"], []
    for x in xs:
        y = [squash(weighted(p["W_x"], x, i) + weighted(p["W_y"], y, i) + p["b"][i]) for i in range(len(y))]
        history.append({"y": y})
    return history


def tanh_by_hand(p, xs, s0):
    return conventional_by_hand(p, xs, s0, squash=math.tanh)


def carousel_by_hand(p, xs, s0):
    """Section 3.2: a linear unit whose self-connection is 1.0."""
    s, history = s0["s_prev"], []
    for x in xs:
        s = [1.0 * s[i] + weighted(p["W_x"], x, i) + p["b"][i] for i in range(len(s))]
        history.append({"s": s})
    return history


def lstm1997_by_hand(p, xs, s0):
    """Equations (7) to (9) with section 5's timing; gates see inputs, cells and gates, one of each per block."""
    s, y, y_in, y_out = s0["s_prev"], s0["y_prev"], s0["y_in_prev"], s0["y_out_prev"]
    blocks, history = len(y_in), []
    size = len(s) // blocks

    def net(unit, i, x, y, y_in, y_out):
        return (weighted(p[f"W_{unit}_x"], x, i) + weighted(p[f"W_{unit}_y"], y, i)
                + weighted(p[f"W_{unit}_y_in"], y_in, i) + weighted(p[f"W_{unit}_y_out"], y_out, i) + p[f"b_{unit}"][i])

    for x in xs:
        before = (x, y, y_in, y_out)
        new_in = [logistic(net("in", j, *before)) for j in range(blocks)]
        new_out = [logistic(net("out", j, *before)) for j in range(blocks)]
        new_s, new_y = list(s), list(y)
        for j in range(blocks):
            for v in range(size):
                c = j * size + v
                new_s[c] = s[c] + new_in[j] * (4.0 / (1.0 + math.exp(-net("c", c, *before))) - 2.0)
                new_y[c] = new_out[j] * (2.0 / (1.0 + math.exp(-new_s[c])) - 1.0)
        s, y, y_in, y_out = new_s, new_y, new_in, new_out
        history.append({"s": s, "y": y, "y_in": y_in, "y_out": y_out})
    return history


def lstm_by_hand(p, xs, s0):
    """Gers et al. 2000 without peepholes, tanh for g and h: s = f s_prev + i tanh(net_c), y = o tanh(s)."""
    s, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        new_s, new_y = [], []
        for i in range(len(s)):
            nets = {k: weighted(p[f"W_{k}_x"], x, i) + weighted(p[f"W_{k}_y"], y, i) + p[f"b_{k}"][i]
                    for k in ("in", "f", "c", "out")}
            new_s.append(logistic(nets["f"]) * s[i] + logistic(nets["in"]) * math.tanh(nets["c"]))
            new_y.append(logistic(nets["out"]) * math.tanh(new_s[i]))
        s, y = new_s, new_y
        history.append({"s": s, "y": y})
    return history


def gru_by_hand(p, xs, s0):
    """Reset gate after the product: n = tanh(W x + b + r (U y + c)), y = (1 - z) n + z y_prev."""
    y, history = s0["y_prev"], []
    for x in xs:
        new = []
        for i in range(len(y)):
            r = logistic(weighted(p["W_r_x"], x, i) + weighted(p["W_r_y"], y, i) + p["b_r"][i])
            z = logistic(weighted(p["W_z_x"], x, i) + weighted(p["W_z_y"], y, i) + p["b_z"][i])
            n = math.tanh(weighted(p["W_n_x"], x, i) + p["b_n"][i] + r * (weighted(p["W_m_y"], y, i) + p["b_m"][i]))
            new.append((1.0 - z) * n + z * y[i])
        y = new
        history.append({"y": y})
    return history


def gru_reset_before_by_hand(p, xs, s0):
    """Cho et al. 2014: n = tanh(W x + U (r y_prev)), y = (1 - z) n + z y_prev."""
    y, history = s0["y_prev"], []
    for x in xs:
        r = [logistic(weighted(p["W_r_x"], x, i) + weighted(p["W_r_y"], y, i) + p["b_r"][i]) for i in range(len(y))]
        gated = [r[i] * y[i] for i in range(len(y))]
        new = []
        for i in range(len(y)):
            z = logistic(weighted(p["W_z_x"], x, i) + weighted(p["W_z_y"], y, i) + p["b_z"][i])
            n = math.tanh(weighted(p["W_n_x"], x, i) + weighted(p["W_n_ry"], gated, i) + p["b_n"][i])
            new.append((1.0 - z) * n + z * y[i])
        y = new
        history.append({"y": y})
    return history


BY_HAND = {
    "conventional": conventional_by_hand,
    "tanh": tanh_by_hand,
    "carousel": carousel_by_hand,
    "lstm1997": lstm1997_by_hand,
    "lstm": lstm_by_hand,
    "gru": gru_by_hand,
    "gru_reset_before": gru_reset_before_by_hand,
}
CASES = [(name, size) for name in BY_HAND for size in ((1, 2) if name == "lstm1997" else (1,))]


def a_net(name, rng, block_size=1, gain=1.5):
    cell = catalogue()[name]
    kernel = compile_cell(cell)
    params = kernel.random_params(UNITS, INPUTS, rng, block_size)
    params = {k: gain * rng.normal(size=v.shape) / np.sqrt(v.shape[-1]) for k, v in params.items()}
    lengths = kernel.lengths(params)
    state0 = {old: rng.normal(size=(BATCH, lengths[cell.sizes[old]])) for old in kernel.states}
    return kernel, params, rng.normal(size=(STEPS, BATCH, INPUTS)), state0


@pytest.mark.parametrize(("name", "block_size"), CASES)
def test_forward_is_the_plain_loop_written_from_the_publication(name, block_size, rng):
    kernel, params, x, state0 = a_net(name, rng, block_size)
    trajectory = kernel.forward(params, x, state0)
    for b in range(BATCH):
        history = BY_HAND[name](params, x[:, b].tolist(), {k: v[b].tolist() for k, v in state0.items()})
        for vector in history[0]:
            expected = np.array([now[vector] for now in history])
            np.testing.assert_allclose(
                trajectory[vector][:, b], expected, rtol=0, atol=NET_TOLERANCE * np.abs(expected).max()
            )


def test_every_cell_of_the_paper_has_a_forward_by_hand(cell_names):
    assert set(BY_HAND) == set(cell_names), "write the new cell's forward here, from its publication"


def test_the_comparison_tells_a_gate_of_twice_the_argument(rng, monkeypatch):
    kernel, params, x, state0 = a_net("lstm", rng)
    monkeypatch.setitem(globals(), "logistic", lambda z: 1.0 / (1.0 + math.exp(-2.0 * z)))
    history = lstm_by_hand(params, x[:, 0].tolist(), {k: v[0].tolist() for k, v in state0.items()})
    assert np.abs(kernel.forward(params, x, state0)["y"][0, 0] - history[0]["y"]).max() > 1e-3


def test_the_state_is_zero_where_none_is_given(cell, rng):
    kernel = compile_cell(cell)
    params, x = kernel.random_params(UNITS, INPUTS, rng), rng.normal(size=(3, BATCH, INPUTS))
    lengths = kernel.lengths(params)
    zeros = {old: np.zeros((BATCH, lengths[cell.sizes[old]])) for old in kernel.states}
    given, default = kernel.forward(params, x, zeros), kernel.forward(params, x)
    assert np.array_equal(given[cell.output.name], default[cell.output.name])


TORCH = {"tanh": "RNN", "lstm": "LSTM", "gru": "GRU"}
ROWS = {  # rows of torch's stacked weights: nets that read x, nets that read h(t-1), in torch's documented order
    "tanh": ([""], [""]), "lstm": (["in", "f", "c", "out"],) * 2, "gru": (["r", "z", "n"], ["r", "z", "m"]),
}


def torch_twin(torch, name, params):
    """torch's own layer in float64 with our weights. torch has two biases per net; ours goes to the first one."""
    module = getattr(torch.nn, TORCH[name])(INPUTS, UNITS).double()
    from_x, from_h = ROWS[name]
    key = lambda *parts: "_".join(filter(None, parts))  # noqa: E731
    stacked = {
        "weight_ih_l0": [params[key("W", k, "x")] for k in from_x],
        "weight_hh_l0": [params[key("W", k, "y")] for k in from_h],
        "bias_ih_l0": [params[key("b", k)] for k in from_x],
        "bias_hh_l0": [params["b_m"] if k == "m" else np.zeros(UNITS) for k in from_h],
    }
    with torch.no_grad():
        for target, rows in stacked.items():
            getattr(module, target).copy_(torch.from_numpy(np.concatenate(rows)))
    return module


@pytest.mark.parametrize("name", TORCH)
def test_forward_is_torchs_in_double_precision(name, rng):
    torch = pytest.importorskip("torch", reason="torch is the other hand here")
    kernel, params, x, state0 = a_net(name, rng)
    h0 = torch.from_numpy(state0["y_prev"][None])
    start = (h0, torch.from_numpy(state0["s_prev"][None])) if name == "lstm" else h0
    with torch.no_grad():
        expected, _ = torch_twin(torch, name, params)(torch.from_numpy(x), start)
    got = kernel.forward(params, x, state0)["y"]
    np.testing.assert_allclose(
        got, expected.numpy(), rtol=0, atol=1e-12
    )  # torch's vector exp and tanh: a few ulp a step


def test_float32_in_float32_out(cell, rng):
    kernel = compile_cell(cell)
    params = {k: v.astype(np.float32) for k, v in kernel.random_params(UNITS, INPUTS, rng).items()}
    x = rng.normal(size=(3, BATCH, INPUTS)).astype(np.float32)
    single = kernel.forward(params, x)
    double = kernel.forward({k: v.astype(float) for k, v in params.items()}, x.astype(float))
    for equation in cell.equations:
        name = equation.out.name
        assert single[name].dtype == np.float32, name
        # three steps of sums of 15 terms in float32: within 200 roundings
        np.testing.assert_allclose(
            single[name], double[name], rtol=0, atol=200 * 6e-8 * max(1, np.abs(double[name]).max())
        )
    assert {np.asarray(v).dtype for v in single.partials.values() if not isinstance(v, float)} <= {np.dtype(np.float32)}


ARGUMENTS = np.concatenate([np.linspace(-800, 800, 161), np.linspace(-40, 40, 161), [1e-8, -1e-8, 0.3, -0.3, 1e-300]])
DEFINITIONS = {
    "sigma": lambda z: 1 / (1 + mpmath.exp(-z)),
    "h": lambda z: 2 / (1 + mpmath.exp(-z)) - 1,
    "g": lambda z: 4 / (1 + mpmath.exp(-z)) - 2,
    "tanh": lambda z: (mpmath.exp(2 * z) - 1) / (mpmath.exp(2 * z) + 1),
}
SLOPES = {
    "sigma": lambda z: mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "h": lambda z: 2 * mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "g": lambda z: 4 * mpmath.exp(-z) / (1 + mpmath.exp(-z)) ** 2,
    "tanh": lambda z: 4 * mpmath.exp(2 * z) / (mpmath.exp(2 * z) + 1) ** 2,
}
SMALLEST = float(np.finfo(float).tiny)


def exact(function, arguments):
    with mpmath.workdps(1100):  # 1 + exp(-1600) has 695 digits
        return np.array([float(function(mpmath.mpf(z))) for z in arguments])


def test_every_squashing_function_is_compared_with_its_definition():
    assert set(squashing_functions()) == set(DEFINITIONS) == set(SLOPES)


@pytest.mark.parametrize("name", DEFINITIONS)
def test_squashing_functions_are_accurate_at_every_argument(name):
    expected = exact(DEFINITIONS[name], ARGUMENTS)
    got = ROUTINES[name](ARGUMENTS)
    # exp and tanh within 2 ulp, one division, one sum; below the normal range only the absolute error is bounded
    assert np.all(np.abs(got - expected) <= 4 * np.finfo(float).eps * np.abs(expected) + SMALLEST)


@pytest.mark.parametrize("name", SLOPES)
def test_slopes_keep_full_relative_accuracy(name):
    expected = exact(SLOPES[name], ARGUMENTS)
    got = ROUTINES[f"{name}_prime"](ARGUMENTS)
    # exp within 2 ulp, one sum, one square, one division
    assert np.all(np.abs(got - expected) <= 6 * np.finfo(float).eps * expected + SMALLEST)
    assert np.any((expected > 0) & (expected < 1e-300))


def test_the_polynomial_slope_would_not_do():
    z = np.array([40.0])
    naive = ROUTINES["sigma"](z) * (1 - ROUTINES["sigma"](z))
    assert abs(naive[0] / exact(SLOPES["sigma"], z)[0] - 1) > 0.5


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_complex_step_of_a_squashing_function_is_its_slope(name):
    moved = ROUTINES[name](ARGUMENTS + 1j * STEP)
    expected = exact(SLOPES[name], ARGUMENTS)
    measurable = expected * STEP > SMALLEST / np.finfo(float).eps
    assert measurable.sum() > 150
    # complex exp, division and tanh within a few ulp each
    error = np.abs(moved.imag / STEP - expected)[measurable] / expected[measurable]
    assert error.max() < 16 * np.finfo(float).eps
    assert np.all(np.abs(moved.imag / STEP - expected)[~measurable] <= SMALLEST / STEP)
    assert np.all(np.abs(moved.real - ROUTINES[name](ARGUMENTS)) <= 4 * np.finfo(float).eps)


@pytest.mark.parametrize("name", ROUTINES)
def test_squashing_functions_raise_no_floating_point_error_but_underflow(name):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        real = ROUTINES[name](ARGUMENTS)
        lifted = ROUTINES[name](ARGUMENTS + 1j * STEP)
    assert np.isfinite(real).all() and np.isfinite(lifted).all()
