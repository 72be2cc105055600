"""The plain recurrent net of tanh units: by hand, torch, Keras, ONNX, Flax."""

import numpy as np
import pytest
from forwards._by_hand import one_sequence, single_precision


@one_sequence
def by_hand(p, xs, s0):
    y, history = s0["y_prev"], []
    for x in xs:
        y = np.tanh(p["W_x"] @ x + p["W_y"] @ y + p["b"])
        history.append({"y": y})
    return history


def torch(p, x, state0):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.RNN(x.shape[-1], len(p["b"])).double()
    with torch.no_grad():
        for target, values in {"weight_ih_l0": p["W_x"], "weight_hh_l0": p["W_y"], "bias_ih_l0": p["b"], "bias_hh_l0": 0 * p["b"]}.items():
            getattr(module, target).copy_(torch.from_numpy(values))
        y, _ = module(torch.from_numpy(x), torch.from_numpy(state0["y_prev"])[None])
    return {"y": y.numpy()}


@single_precision  # Keras multiplies float64 matrices in float32 on torch
def keras(p, x, state0):
    from forwards._frameworks import keras_run

    def layer(keras, units):
        return keras.layers.SimpleRNN(units, return_sequences=True, dtype="float64")

    return keras_run(layer, [p["W_x"].T, p["W_y"].T, p["b"]], x, [state0["y_prev"]])


def onnx(p, x, state0):
    from forwards._frameworks import onnx_run

    bias = np.concatenate([p["b"], 0 * p["b"]])
    return onnx_run("RNN", x, p["W_x"], p["W_y"], bias, initial_h=state0["y_prev"])


@single_precision
def flax(p, x, state0):
    from forwards._frameworks import flax_run

    weights = {"i": {"kernel": p["W_x"].T, "bias": p["b"]}, "h": {"kernel": p["W_y"].T}}
    return flax_run("SimpleCell", weights, x, state0["y_prev"])
