"""The mLSTM by hand, without its stabiliser: Beck et al. 2024, equations 19 to 27 with i = exp, f = sigma, C and n in their own scale."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def without_stabiliser(p, xs, s0):
    scale = np.exp(s0["m_prev"][0])
    memory, n, history = scale * s0["C_prev"].reshape(len(p["b_v"]), -1), scale * s0["n_prev"], []
    for x in xs:
        q, k, v, o = (p[f"W_{name}_x"] @ x + p[f"b_{name}"] for name in ("q", "k", "v", "o"))
        f, i = logistic(p["W_f_x"] @ x + p["b_f"])[0], np.exp(p["W_i_x"] @ x + p["b_i"])[0]
        memory = f * memory + i * np.outer(v, k)
        n = f * n + i * k
        history.append({"y": logistic(o) * (memory @ q) / max(abs(n @ q), 1.0)})
    return history
