"""The minimal GRU by hand, as the recurrence and in closed form: Feng et al. 2024."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["y_prev"], []
    for x in xs:
        z = logistic(p["W_z_x"] @ x + p["b_z"])
        h = (1.0 - z) * h + z * (p["W_c_x"] @ x + p["b_c"])
        history.append({"y": h})
    return history


def by_prefix_sums(p, x, state0):
    """h(t) = exp(a(t)) (h(0) + sum_s exp(-a(s)) z(s) c(s)), a the sum of the logs of 1 - z; all steps at once."""
    z = logistic(x @ p["W_z_x"].T + p["b_z"])
    decay = np.cumsum(np.log(1.0 - z), axis=0)
    return {"y": np.exp(decay) * (state0["y_prev"] + np.cumsum(np.exp(-decay) * z * (x @ p["W_c_x"].T + p["b_c"]), axis=0))}
