"""The leaky-integrator echo state unit by hand: Jaeger et al. 2007, x(n+1) = (1 - a) x(n) + a f(W_in u + W x)."""

import numpy as np
from forwards._by_hand import one_sequence


@one_sequence
def by_hand(p, xs, s0):
    a, state, history = 1.0 / (1.0 + np.exp(-p["log_odds"])), s0["y_prev"], []
    for u in xs:
        state = (1.0 - a) * state + a * np.tanh(p["W_x"] @ u + p["W_y"] @ state + p["b"])
        history.append({"y": state})
    return history
