"""S5 with complex numbers, as a sum over all earlier inputs: Smith, Warrington & Linderman 2023, equations 2 and 6."""

import numpy as np


def with_complex_numbers(p, x, state0):
    a, dt = -np.exp(p["log_a"]) + 1j * p["omega"], np.exp(p["log_dt"])
    a_bar = np.exp(a * dt)
    b_bar = ((a_bar - 1.0) / a)[:, None] * (p["W_in_re_x"] + 1j * p["W_in_im_x"])
    s, states = state0["re_prev"] + 1j * state0["im_prev"], []
    for x_t in x:
        s = a_bar * s + x_t @ b_bar.T
        states.append(s)
    s = np.array(states)
    return {"re": s.real, "im": s.imag, "y": s.real @ p["W_y_re"].T + s.imag @ p["W_y_im"].T + x @ p["W_y_x"].T}
