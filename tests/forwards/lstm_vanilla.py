"""The vanilla LSTM of Greff et al. 2017: by hand, and ONNX's LSTM with peepholes. The by-hand parts also serve its variants."""

import numpy as np
from forwards._by_hand import logistic, one_sequence
from forwards._frameworks import onnx_run


@one_sequence
def by_hand(p, xs, s0):
    """Section 2.A of the publication, each gate with its peephole."""
    c, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("c", "in", "f", "out")}
        z = np.tanh(pre["c"])
        i = logistic(pre["in"] + p["w_peep_in_s"] * c)
        f = logistic(pre["f"] + p["w_peep_f_s"] * c)
        c = z * i + c * f
        y = np.tanh(c) * logistic(pre["out"] + p["w_peep_out_s"] * c)
        history.append({"s": c, "y": y})
    return history


def onnx_peepholes(p, x, state0):
    w, r = (np.concatenate([p[f"W_{k}_{s}"] for k in ("in", "out", "f", "c")]) for s in ("x", "y"))
    bias = np.concatenate([p[f"b_{k}"] for k in ("in", "out", "f", "c")])
    peepholes = np.concatenate([p[f"w_peep_{k}_s"] for k in ("in", "out", "f")])
    return onnx_run("LSTM", x, w, r, np.concatenate([bias, 0 * bias]), initial_h=state0["y_prev"], initial_c=state0["s_prev"],
                    peepholes=peepholes)
