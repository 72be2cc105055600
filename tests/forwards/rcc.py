"""Fahlman 1991 by hand: V(t) = sigma(sum_i I_i(t) w_i + V(t-1) w_s), unit by unit."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    v, history = s0["y_prev"], []
    for x in xs:
        v = np.array([logistic(p["W_x_x"][i] @ x + p["b_x"][i] + v[i] * p["w_s_y"][i]) for i in range(len(v))])
        history.append({"y": v})
    return history
