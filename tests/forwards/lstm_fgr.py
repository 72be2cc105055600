"""The variant FGR of Greff et al. 2017, by hand: nine more matrices carry the gates of the step before to the gates."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    c, y, i, f, o, history = s0["s_prev"], s0["y_prev"], s0["y_in_prev"], s0["y_f_prev"], s0["y_out_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("c", "in", "f", "out")}
        for k in ("in", "f", "out"):
            pre[k] = pre[k] + p[f"W_{k}_y_in"] @ i + p[f"W_{k}_y_f"] @ f + p[f"W_{k}_y_out"] @ o
        i = logistic(pre["in"] + p["w_peep_in_s"] * c)
        f = logistic(pre["f"] + p["w_peep_f_s"] * c)
        c = np.tanh(pre["c"]) * i + c * f
        o = logistic(pre["out"] + p["w_peep_out_s"] * c)
        y = np.tanh(c) * o
        history.append({"s": c, "y": y, "y_in": i, "y_f": f, "y_out": o})
    return history
