"""The independently recurrent net by hand: h_n(t) = max(0, w_n x(t) + u_n h_n(t-1) + b_n), Li et al. 2018."""

import numpy as np
from forwards._by_hand import one_sequence


@one_sequence
def by_hand(p, xs, s0):
    h, history = s0["y_prev"], []
    for x in xs:
        h = np.array([max(0.0, p["W_x_x"][n] @ x + p["w_u_y"][n] * h[n] + p["b_x"][n]) for n in range(len(h))])
        history.append({"y": h})
    return history
