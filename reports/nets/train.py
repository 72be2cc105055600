"""Train the small nets of this folder: `python reports/nets/train.py` (about a minute; writes NAME.npz and NAME.io.npz here).

Task: the first of two inputs shows +1 or -1 at step 0 and noise (standard deviation 0.3) afterwards; the second is always 1. After the
last step the read-out is to give the sign seen at step 0. Trained on 60 steps by full BPTT and Adam, then run on 400.

recall_lstm        forget bias 3, so that errors cross 60 steps
recall_lstm_plain  the same without it, as frameworks initialise
"""

from pathlib import Path

import numpy as np

from flowcheck import Layer, Network, bptt, catalogue, compile_cell
from flowcheck.formats import write_npz
from flowcheck.network import Readout

HERE = Path(__file__).parent
UNITS, STEPS, LONG, BATCH, UPDATES, RATE = 16, 60, 400, 32, 400, 0.01


def sequences(rng, steps, batch):
    """Inputs (time, batch, 2) and the sign to recall (batch,)."""
    x = np.stack([rng.normal(scale=0.3, size=(steps, batch)), np.ones((steps, batch))], axis=-1)
    sign = rng.choice([-1.0, 1.0], batch)
    x[0, :, 0] = sign
    return x, sign


def train(forget_bias, seed):
    """A trained Network and the share of right answers at both lengths."""
    rng = np.random.default_rng(seed)
    cell = catalogue()["lstm"]
    kernel = compile_cell(cell)
    weights = kernel.random_params(UNITS, 2, rng) | {"read-out": rng.normal(size=(1, UNITS)) / np.sqrt(UNITS), "offset": np.zeros(1)}
    weights["b_f"] = weights["b_f"] + forget_bias
    first, second = ({k: np.zeros_like(v) for k, v in weights.items()} for _ in range(2))
    for update in range(1, UPDATES + 1):
        x, sign = sequences(rng, STEPS, BATCH)
        run = kernel.forward({k: weights[k] for k in kernel.parameters}, x)
        y = run["y"][-1]
        error = 2 * ((y @ weights["read-out"].T + weights["offset"])[:, 0] - sign) / BATCH
        errors = np.zeros_like(run["y"])
        errors[-1] = error[:, None] * weights["read-out"]
        gradient = bptt(run, errors).params | {"read-out": error[None] @ y, "offset": error.sum(keepdims=True)}
        for k, g in gradient.items():
            first[k] = 0.9 * first[k] + 0.1 * g
            second[k] = 0.999 * second[k] + 0.001 * g**2
            weights[k] = weights[k] - RATE * (first[k] / (1 - 0.9**update)) / (np.sqrt(second[k] / (1 - 0.999**update)) + 1e-8)
    weights = {k: v.astype(np.float32) for k, v in weights.items()}
    params = {k: weights[k] for k in kernel.parameters}
    right = {}
    for steps in (STEPS, LONG):
        x, sign = sequences(rng, steps, 256)
        answer = kernel.forward(params, x)["y"][-1] @ weights["read-out"].T + weights["offset"]
        right[steps] = float(np.mean(np.sign(answer[:, 0]) == sign))
    readout = Readout("head", weights["read-out"], weights["offset"])
    return Network("", (Layer("lstm", cell, params, gate_order="gates by name"),), readout=readout), right


def main():
    for name, bias in (("recall_lstm", 3.0), ("recall_lstm_plain", 0.0)):
        network, right = train(bias, seed=0)
        write_npz(network, HERE / f"{name}.npz")
        x, _ = sequences(np.random.default_rng(1), LONG, 4)
        states = network.layers[0].run(x.astype(np.float32))["y"]
        arrays = {"lstm.x": x.transpose(1, 0, 2).astype(np.float32), "lstm.h": states.transpose(1, 0, 2)}
        np.savez_compressed(HERE / f"{name}.io.npz", **arrays)
        print(f"{name}: right after {STEPS} steps {right[STEPS]:.3f}, after {LONG} steps {right[LONG]:.3f}")


if __name__ == "__main__":
    main()
