"""The variant CIFG of Greff et al. 2017, by hand: coupled input and forget gate."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    c, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("c", "f", "out")}
        z = np.tanh(pre["c"])
        f = logistic(pre["f"] + p["w_peep_f_s"] * c)
        c = z * (1 - f) + c * f
        y = np.tanh(c) * logistic(pre["out"] + p["w_peep_out_s"] * c)
        history.append({"s": c, "y": y})
    return history
