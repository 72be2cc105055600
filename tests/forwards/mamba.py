"""The selective state space model by hand: Gu & Dao 2023, algorithm 2, with the discretisation of their scan, channel by channel."""

import numpy as np
from forwards._by_hand import one_sequence


@one_sequence
def by_hand(p, xs, s0):
    channels = len(p["skip"])
    a = -np.exp(p["log_a"]).reshape(channels, -1)
    h, history = s0["h_prev"].reshape(channels, -1), []
    for x in xs:
        z = p["W_u_x"] @ x
        u = z / (1.0 + np.exp(-z))
        step = np.log1p(np.exp(p["W_dt_r"] @ (p["W_r_u"] @ u) + p["b_dt"]))
        b, c = p["W_b_u"] @ u, p["W_c_u"] @ u
        h = np.array([np.exp(step[d] * a[d]) * h[d] + step[d] * b * u[d] for d in range(channels)])
        history.append({"h": h.ravel(), "y": h @ c + p["skip"] * u})
    return history
