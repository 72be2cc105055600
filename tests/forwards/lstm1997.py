"""Hochreiter & Schmidhuber 1997, equations (7) to (9), by hand, with section 5's timing: one input and output gate per block."""

import numpy as np
from forwards._by_hand import logistic, one_sequence


@one_sequence
def by_hand(p, xs, s0):
    s, y, y_in, y_out = s0["s_prev"], s0["y_prev"], s0["y_in_prev"], s0["y_out_prev"]
    blocks, history = len(y_in), []
    size = len(s) // blocks

    def net(unit, x):
        return (p[f"W_{unit}_x"] @ x + p[f"W_{unit}_y"] @ y + p[f"W_{unit}_y_in"] @ y_in + p[f"W_{unit}_y_out"] @ y_out + p[f"b_{unit}"])

    for x in xs:
        new_in, new_out, net_c = logistic(net("in", x)), logistic(net("out", x)), net("c", x)
        new_s, new_y = np.array(s), np.array(y)
        for j in range(blocks):
            for v in range(size):
                c = j * size + v
                new_s[c] = s[c] + new_in[j] * (4.0 / (1.0 + np.exp(-net_c[c])) - 2.0)
                new_y[c] = new_out[j] * (2.0 / (1.0 + np.exp(-new_s[c])) - 1.0)
        s, y, y_in, y_out = new_s, new_y, new_in, new_out
        history.append({"s": s, "y": y, "y_in": y_in, "y_out": y_out})
    return history
