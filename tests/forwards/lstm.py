"""The LSTM with forget gate: Gers, Schmidhuber & Cummins 2000 by hand, and every framework's."""

import numpy as np
import pytest
from forwards._by_hand import logistic, one_sequence, single_precision
from forwards._frameworks import equinox_step, flax_run, keras_run, onnx_run

ORDERS = {"torch": ("in", "f", "c", "out"), "keras": ("in", "f", "c", "out"), "onnx": ("in", "out", "f", "c")}


def _rows(p, framework):
    return (np.concatenate([p[f"W_{k}_{s}"] for k in ORDERS[framework]]) for s in ("x", "y"))


def _bias(p, framework):
    return np.concatenate([p[f"b_{k}"] for k in ORDERS[framework]])


@one_sequence
def by_hand(p, xs, s0):
    """s = f s_prev + i tanh(net_c), y = o tanh(s)."""
    s, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        net = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("in", "f", "c", "out")}
        s = logistic(net["f"]) * s + logistic(net["in"]) * np.tanh(net["c"])
        y = logistic(net["out"]) * np.tanh(s)
        history.append({"s": s, "y": y})
    return history


def torch(p, x, state0):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module, (w, r), b = torch.nn.LSTM(x.shape[-1], len(p["b_f"])).double(), _rows(p, "torch"), _bias(p, "torch")
    with torch.no_grad():
        for target, values in {"weight_ih_l0": w, "weight_hh_l0": r, "bias_ih_l0": b, "bias_hh_l0": 0 * b}.items():
            getattr(module, target).copy_(torch.from_numpy(values))
        start = torch.from_numpy(state0["y_prev"])[None], torch.from_numpy(state0["s_prev"])[None]
        y, _ = module(torch.from_numpy(x), start)
    return {"y": y.numpy()}


def keras(p, x, state0):
    w, r = _rows(p, "keras")
    return keras_run(lambda keras, units: keras.layers.LSTM(units, return_sequences=True, dtype="float64"),
                     [w.T, r.T, _bias(p, "keras")], x, [state0["y_prev"], state0["s_prev"]])


def onnx(p, x, state0):
    w, r = _rows(p, "onnx")
    bias = _bias(p, "onnx")
    return onnx_run("LSTM", x, w, r, np.concatenate([bias, 0 * bias]), initial_h=state0["y_prev"], initial_c=state0["s_prev"])


@single_precision
def flax(p, x, state0):
    letters = {"i": "in", "f": "f", "g": "c", "o": "out"}
    weights = {f"i{k}": {"kernel": p[f"W_{name}_x"].T} for k, name in letters.items()}
    weights |= {f"h{k}": {"kernel": p[f"W_{name}_y"].T, "bias": p[f"b_{name}"]} for k, name in letters.items()}
    return flax_run("OptimizedLSTMCell", weights, x, (state0["s_prev"], state0["y_prev"]))


@single_precision
def equinox(p, x, state0):
    (w, r), (h, c), outputs = _rows(p, "torch"), (state0["y_prev"].astype(np.float32), state0["s_prev"].astype(np.float32)), []
    step = equinox_step("LSTMCell", (x.shape[-1], h.shape[-1]), {"weight_ih": w, "weight_hh": r, "bias": _bias(p, "torch")})
    for x_t in x.astype(np.float32):
        h, c = step(x_t, (h, c))
        outputs.append(np.asarray(h))
    return {"y": np.array(outputs, float)}
