"""The GRU with the reset gate after the product: by hand, and in every framework that has it."""

import numpy as np
import pytest
from forwards._by_hand import logistic, one_sequence, single_precision
from forwards._frameworks import equinox_step, flax_run, keras_run, onnx_run


def _bias(p, order):
    """Biases of the nets that read x, then of those that read y(t-1); only the candidate has its own there."""
    zero = 0 * p["b_n"]
    return np.concatenate([p[f"b_{k}"] for k in order]), np.concatenate([p["b_m"] if k == "n" else zero for k in order])


def _rows(p, order):
    return np.concatenate([p[f"W_{k}_x"] for k in order]), np.concatenate([p[f"W_{'m' if k == 'n' else k}_y"] for k in order])


@one_sequence
def by_hand(p, xs, s0):
    """n = tanh(W x + b + r (U y + c)), y = (1 - z) n + z y_prev."""
    y, history = s0["y_prev"], []
    for x in xs:
        r = logistic(p["W_r_x"] @ x + p["W_r_y"] @ y + p["b_r"])
        z = logistic(p["W_z_x"] @ x + p["W_z_y"] @ y + p["b_z"])
        n = np.tanh(p["W_n_x"] @ x + p["b_n"] + r * (p["W_m_y"] @ y + p["b_m"]))
        y = (1.0 - z) * n + z * y
        history.append({"y": y})
    return history


def torch(p, x, state0):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.GRU(x.shape[-1], len(p["b_z"])).double()
    with torch.no_grad():
        names = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"
        for target, values in zip(names, (*_rows(p, "rzn"), *_bias(p, "rzn")), strict=True):
            getattr(module, target).copy_(torch.from_numpy(values))
        y, _ = module(torch.from_numpy(x), torch.from_numpy(state0["y_prev"])[None])
    return {"y": y.numpy()}


def keras_reset_after(p, x, state0):
    w, r = _rows(p, "zrn")
    return keras_run(lambda keras, units: keras.layers.GRU(units, return_sequences=True, reset_after=True, dtype="float64"),
                     [w.T, r.T, np.stack(_bias(p, "zrn"))], x, [state0["y_prev"]])


def onnx_linear_before_reset(p, x, state0):
    w, r = _rows(p, "zrn")
    return onnx_run("GRU", x, w, r, np.concatenate(_bias(p, "zrn")), initial_h=state0["y_prev"], linear_before_reset=1)


@single_precision
def flax(p, x, state0):
    weights = {f"i{k}": {"kernel": p[f"W_{k}_x"].T, "bias": p[f"b_{k}"]} for k in "rzn"}
    weights |= {"hr": {"kernel": p["W_r_y"].T}, "hz": {"kernel": p["W_z_y"].T}, "hn": {"kernel": p["W_m_y"].T, "bias": p["b_m"]}}
    return flax_run("GRUCell", weights, x, state0["y_prev"])


@single_precision
def equinox(p, x, state0):
    (w, r), (bias, _), h, outputs = _rows(p, "rzn"), _bias(p, "rzn"), state0["y_prev"].astype(np.float32), []
    step = equinox_step("GRUCell", (x.shape[-1], h.shape[-1]), {"weight_ih": w, "weight_hh": r, "bias": bias, "bias_n": p["b_m"]})
    for x_t in x.astype(np.float32):
        h = step(x_t, h)
        outputs.append(np.asarray(h))
    return {"y": np.array(outputs, float)}
