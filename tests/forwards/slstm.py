"""The sLSTM by hand, without its stabiliser: Beck et al. 2024, equations 8 to 10 with i = exp, f = sigma, c and n in their own scale."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def without_stabiliser(p, xs, s0):
    scale = np.exp(s0["m_prev"])
    c, n, h, history = scale * s0["c_prev"], scale * s0["n_prev"], s0["y_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ h + p[f"b_{k}"] for k in "ifzo"}
        f, i = logistic(pre["f"]), np.exp(pre["i"])
        c = f * c + i * np.tanh(pre["z"])
        n = f * n + i
        h = logistic(pre["o"]) * (c / n)
        history.append({"y": h})
    return history


@one_sequence
def with_stabiliser(p, xs, s0):
    """Equations 15 to 17: the same, divided by exp(m)."""
    c, n, m, h, history = s0["c_prev"], s0["n_prev"], s0["m_prev"], s0["y_prev"], []
    for x in xs:
        pre = {k: p[f"W_{k}_x"] @ x + p[f"W_{k}_y"] @ h + p[f"b_{k}"] for k in "ifzo"}
        before, log_f = m, np.log(logistic(pre["f"]))
        m = np.maximum(log_f + before, pre["i"])
        f, i = np.exp(log_f + before - m), np.exp(pre["i"] - m)
        c, n = f * c + i * np.tanh(pre["z"]), f * n + i
        h = logistic(pre["o"]) * (c / n)
        history.append({"c": c, "n": n, "m": m, "y": h})
    return history
