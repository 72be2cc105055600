"""S4D with complex numbers, channel by channel, as a convolution with its kernel: Gu, Gupta, Goel & Re 2022, section 3."""

import numpy as np


def by_convolution(p, x, state0):
    steps, batch, channels = len(x), x.shape[1], len(p["skip"])
    modes = len(p["log_a"]) // channels
    y = np.zeros((steps, batch, channels))
    for h in range(channels):
        mine = slice(h * modes, (h + 1) * modes)
        a = -np.exp(p["log_a"][mine]) + 1j * p["omega"][mine]
        c = p["c_re"][mine] + 1j * p["c_im"][mine]
        dt = np.exp(p["log_dt"][h])
        a_bar, b_bar = np.exp(dt * a), (np.exp(dt * a) - 1.0) / a
        kernel = np.array([2.0 * np.sum(c * a_bar**k * b_bar).real for k in range(steps)])
        for b in range(batch):
            u = x[:, b] @ p["W_u_x"][h]
            start = state0["re_prev"][b, mine] + 1j * state0["im_prev"][b, mine]
            for t in range(steps):
                y[t, b, h] = sum(kernel[t - k] * u[k] for k in range(t + 1)) + p["skip"][h] * u[t]
                y[t, b, h] += 2.0 * np.sum(c * a_bar ** (t + 1) * start).real
    return {"y": y}
