"""Train the nets: `python -m benchmarks.faults.train [FOLDER]`; what is in the folder already is not trained again.

Each net is written as ARCHITECTURE-TASK-SEED.npz with its inputs beside it and the share of the constant answer's loss that is left.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from flowcheck import Layer, Network, catalogue, compile_cell
from flowcheck.formats import write_npz
from flowcheck.network import Readout

from .tasks import TASKS

FOLDER = Path(__file__).parent / "nets"
ARCHITECTURES = ("tanh", "lstm1997", "lstm", "gru")
SEEDS = 4
UNITS, BATCH, UPDATES, RATE = 24, 32, 500, 5e-3


class Cells(torch.nn.Module):
    """A cell of the catalogue as a differentiable loop over time, with its weights as parameters."""

    def __init__(self, cell, inputs, outputs, rng):
        super().__init__()
        self.kernel = compile_cell(cell, "torch")
        params = compile_cell(cell).random_params(UNITS, inputs, rng)
        if "b_f" in params:
            params["b_f"] += 1.0
        self.weights = torch.nn.ParameterDict({k: torch.nn.Parameter(torch.tensor(v, dtype=torch.float32)) for k, v in params.items()})
        self.head = torch.nn.Linear(UNITS, outputs)

    def forward(self, x):
        """Outputs of the read-out, (time, batch, outputs)."""
        cell, units = self.kernel.cell, self.kernel.units
        fed = {}
        for net in cell.nets:
            names = self.kernel.weights.get(net.out.name, {})
            total = self.weights[names["1"]] if "1" in names else 0.0
            for s in net.sources:
                if s.name == cell.inputs[0].name:
                    total = total + x @ self.weights[names[s.name]].T
            fed[net.out.name] = total
        state = {old: torch.zeros(x.shape[1], UNITS) for old in self.kernel.states}
        found = []
        for t in range(len(x)):
            now = dict(state)
            for e in cell.equations:
                name = e.out.name
                if name in units:
                    now[name] = units[name].value(*(now[a] for a in units[name].args))
                elif e.kind == "shared":
                    now[name] = now[e.sources[0].name]  # blocks of one cell
                else:
                    total = fed[name][t] if fed[name].ndim == 3 else fed[name]
                    for s in e.sources:
                        if s.name != cell.inputs[0].name:
                            total = total + now[s.name] @ self.weights[self.kernel.weights[name][s.name]].T
                    now[name] = total
            state = {old: now[new] for old, new in self.kernel.states.items()}
            found.append(now[cell.output.name])
        return self.head(torch.stack(found))


def train(architecture, task, seed):
    """(Network, inputs (time, batch, n), share of the constant answer's loss that is left)."""
    rng = np.random.default_rng([seed, *map(ord, architecture + task)])
    torch.manual_seed(seed)
    draw = TASKS[task]
    x, target, steps = draw(rng, 256)
    net = Cells(catalogue()[architecture], x.shape[-1], target.shape[-1], rng)
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    for _ in range(UPDATES):
        x, target, steps = draw(rng, BATCH)
        given, wanted = (torch.tensor(array, dtype=torch.float32) for array in (x, target[steps]))
        loss = torch.nn.functional.mse_loss(net(given)[steps], wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
    x, target, steps = draw(rng, 128)
    with torch.no_grad():
        answer = net(torch.tensor(x, dtype=torch.float32))[steps].numpy()
    left = np.mean((answer - target[steps]) ** 2) / np.mean((target[steps] - target[steps].mean(axis=1, keepdims=True)) ** 2)
    params = {k: v.detach().numpy() for k, v in net.weights.items()}
    readout = Readout("head", net.head.weight.detach().numpy(), net.head.bias.detach().numpy())
    layer = Layer(architecture, catalogue()[architecture], params, gate_order="gates by name")
    return Network("", (layer,), readout=readout), x[:, :8], float(left)


def main(folder=FOLDER):
    torch.set_num_threads(1)
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for seed in range(SEEDS):
        for task in TASKS:
            for architecture in ARCHITECTURES:
                path = folder / f"{architecture}-{task}-{seed}.npz"
                if path.exists():
                    continue
                network, x, left = train(architecture, task, seed)
                np.savez_compressed(path.with_suffix(".io.npz"), **{f"{architecture}.x": x.swapaxes(0, 1).astype(np.float32)})
                path.with_suffix(".json").write_text(json.dumps({"loss_left": left}))
                write_npz(network, path)
                print(f"{path.stem}: {left:.3f} of the loss is left", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
