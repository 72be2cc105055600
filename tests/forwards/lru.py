"""The linear recurrent unit with complex numbers, as a sum over all earlier inputs: Orvieto et al. 2023, appendix A."""

import numpy as np


def with_complex_numbers(p, x, state0):
    lam = np.exp(-np.exp(p["nu"]) + 1j * np.exp(p["theta"]))
    gamma = np.exp(p["log_gain"]) * np.sqrt(1.0 - np.abs(lam) ** 2)
    driven = x @ (p["W_b_re_x"] + 1j * p["W_b_im_x"]).T * gamma
    start = state0["re_prev"] + 1j * state0["im_prev"]
    s = np.array([lam ** (t + 1) * start + sum(lam ** (t - k) * driven[k] for k in range(t + 1)) for t in range(len(x))])
    y = (s @ (p["W_y_re"] - 1j * p["W_y_im"]).T).real + x @ p["W_y_x"].T
    return {"re": s.real, "im": s.imag, "y": y}
