"""The real-gated linear recurrent unit by hand: De et al. 2024, equations 1 to 4, with c = 8."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["h_prev"], []
    for x in xs:
        u = p["W_u_x"] @ x + p["b_u"]
        r, i = logistic(p["W_r_u"] @ u + p["b_r"]), logistic(p["W_i_u"] @ u + p["b_i"])
        a = logistic(p["lam"]) ** (8.0 * r)
        h = a * h + np.sqrt(1.0 - a**2) * (i * u)
        history.append({"h": h})
    return history
