"""The projected LSTM: by hand from Sak, Senior & Beaufays 2014, and torch's LSTM with proj_size."""

import numpy as np
import pytest
from forwards._by_hand import logistic, one_sequence

ORDER = ("in", "f", "c", "out")


@one_sequence
def by_hand(p, xs, s0):
    c, r, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        i, f, z, o = (p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ r + p[f"b_{k}"] for k in ORDER)
        c = logistic(f) * c + logistic(i) * np.tanh(z)
        r = p["W_y_m"] @ (logistic(o) * np.tanh(c))
        history.append({"s": c, "y": r})
    return history


def torch_proj_size(p, x, state0):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.LSTM(x.shape[-1], len(p["b_f"]), proj_size=len(p["W_y_m"])).double()
    bias = np.concatenate([p[f"b_{k}"] for k in ORDER])
    weights = {"weight_ih_l0": np.concatenate([p[f"W_{k}_x"] for k in ORDER]), "weight_hr_l0": p["W_y_m"],
               "weight_hh_l0": np.concatenate([p[f"W_{k}_y"] for k in ORDER]), "bias_ih_l0": bias, "bias_hh_l0": 0 * bias}
    with torch.no_grad():
        for target, values in weights.items():
            getattr(module, target).copy_(torch.from_numpy(values))
        start = torch.from_numpy(state0["y_prev"])[None], torch.from_numpy(state0["s_prev"])[None]
        y, _ = module(torch.from_numpy(x), start)
    return {"y": y.numpy()}
