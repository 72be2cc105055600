"""The variant NP of Greff et al. 2017, by hand: no peepholes."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    c, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("c", "in", "f", "out")}
        z = np.tanh(pre["c"])
        i, f, o = logistic(pre["in"]), logistic(pre["f"]), logistic(pre["out"])
        c = z * i + c * f
        y = np.tanh(c) * o
        history.append({"s": c, "y": y})
    return history
