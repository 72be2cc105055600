"""The GRU with the reset gate before the product, as first published: by hand, Keras with reset_after=False, ONNX."""

import numpy as np
from forwards._by_hand import logistic, one_sequence, single_precision
from forwards._frameworks import keras_run, onnx_run


def _stacked(p):
    w = np.concatenate([p[f"W_{k}_x"] for k in "zrn"])
    r = np.concatenate([p["W_z_y"], p["W_r_y"], p["W_n_ry"]])
    return w, r, np.concatenate([p[f"b_{k}"] for k in "zrn"])


@one_sequence
def by_hand(p, xs, s0):
    """Cho et al. 2014: n = tanh(W x + U (r y_prev)), y = (1 - z) n + z y_prev."""
    y, history = s0["y_prev"], []
    for x in xs:
        r = logistic(p["W_r_x"] @ x + p["W_r_y"] @ y + p["b_r"])
        z = logistic(p["W_z_x"] @ x + p["W_z_y"] @ y + p["b_z"])
        n = np.tanh(p["W_n_x"] @ x + p["W_n_ry"] @ (r * y) + p["b_n"])
        y = (1.0 - z) * n + z * y
        history.append({"y": y})
    return history


@single_precision  # Keras multiplies float64 matrices in float32 on torch
def keras_reset_before(p, x, state0):
    w, r, bias = _stacked(p)
    return keras_run(lambda keras, units: keras.layers.GRU(units, return_sequences=True, reset_after=False, dtype="float64"),
                     [w.T, r.T, bias], x, [state0["y_prev"]])


def onnx_linear_after_reset(p, x, state0):
    w, r, bias = _stacked(p)
    return onnx_run("GRU", x, w, r, np.concatenate([bias, 0 * bias]), initial_h=state0["y_prev"], linear_before_reset=0)
