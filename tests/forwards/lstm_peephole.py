"""The peephole LSTM by hand: Gers, Schraudolph & Schmidhuber 2002, one cell per block."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    s, y, history = s0["s_prev"], s0["y_prev"], []
    for x in xs:
        net = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ y + p[f"b_{k}"] for k in ("in", "f", "c", "out")}
        gate_in = logistic(net["in"] + p["w_peep_in_s"] * s)
        forget = logistic(net["f"] + p["w_peep_f_s"] * s)
        s = forget * s + gate_in * np.tanh(net["c"])
        y = logistic(net["out"] + p["w_peep_out_s"] * s) * s
        history.append({"s": s, "y": y})
    return history
