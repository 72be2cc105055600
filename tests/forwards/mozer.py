"""Mozer 1992 by hand: leaky hidden units with time constants of their own."""

import numpy as np
from forwards._by_hand import one_sequence


@one_sequence
def by_hand(p, xs, s0):
    tau = 1.0 / (1.0 + np.exp(-p["log_odds"]))
    y, history = s0["y_prev"], []
    for x in xs:
        y = np.array([tau[i] * y[i] + (1.0 - tau[i]) * np.tanh(p["W_x"][i] @ x + p["W_y"][i] @ y + p["b"][i]) for i in range(len(y))])
        history.append({"y": y})
    return history
