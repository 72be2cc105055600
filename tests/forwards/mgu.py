"""Zhou et al. 2016 by hand: f = sigma(W_f [h, x]), h = (1 - f) h + f tanh(W_h [f h, x])."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["y_prev"], []
    for x in xs:
        f = logistic(p["W_f_x"] @ x + p["W_f_y"] @ h + p["b_f"])
        h = (1.0 - f) * h + f * np.tanh(p["W_c_x"] @ x + p["W_c_fy"] @ (f * h) + p["b_c"])
        history.append({"y": h})
    return history
