"""Waibel et al. 1989 by hand: a convolution over the last three inputs."""

import numpy as np
from forwards._by_hand import logistic


def by_hand(p, x, state0):
    padded = np.concatenate([state0["x_2"][None], state0["x_1"][None], x])
    taps = [p["W_x_2"], p["W_x_1"], p["W_x"]]
    return {"y": np.array([logistic(sum(padded[t + k] @ taps[k].T for k in range(3)) + p["b"]) for t in range(len(x))])}


def torch_convolution(p, x, state0):
    import pytest

    torch = pytest.importorskip("torch", reason="torch is not installed")
    padded = np.concatenate([state0["x_2"][None], state0["x_1"][None], x]).transpose(1, 2, 0)
    kernel = np.stack([p["W_x_2"], p["W_x_1"], p["W_x"]], axis=-1)
    out = torch.nn.functional.conv1d(torch.from_numpy(padded), torch.from_numpy(kernel), torch.from_numpy(p["b"]))
    return {"y": torch.sigmoid(out).permute(2, 0, 1).numpy()}
