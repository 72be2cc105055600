"""The minimal LSTM by hand, both as the recurrence and in closed form as a weighted sum of all candidates: Feng et al. 2024."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["y_prev"], []
    for x in xs:
        f, i = logistic(p["W_f_x"] @ x + p["b_f"]), logistic(p["W_i_x"] @ x + p["b_i"])
        h = f / (f + i) * h + i / (f + i) * (p["W_c_x"] @ x + p["b_c"])
        history.append({"y": h})
    return history


def by_prefix_sums(p, x, state0):
    """h(t) = exp(a(t)) (h(0) + sum_s exp(-a(s)) i'(s) c(s)), a the sum of the logs of f'; all steps at once."""
    f, i = logistic(x @ p["W_f_x"].T + p["b_f"]), logistic(x @ p["W_i_x"].T + p["b_i"])
    written = i / (f + i) * (x @ p["W_c_x"].T + p["b_c"])
    decay = np.cumsum(np.log(f / (f + i)), axis=0)
    return {"y": np.exp(decay) * (state0["y_prev"] + np.cumsum(np.exp(-decay) * written, axis=0))}
