"""JANET by hand: van der Westhuizen & Lasenby 2018, f = sigma(U h + W x + b), h = f h + (1 - f) tanh(U h + W x + b)."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["s_prev"], []
    for x in xs:
        f = logistic(p["W_f_s"] @ h + p["W_f_x"] @ x + p["b_f"])
        h = f * h + (1.0 - f) * np.tanh(p["W_c_s"] @ h + p["W_c_x"] @ x + p["b_c"])
        history.append({"s": h})
    return history
