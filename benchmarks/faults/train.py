"""Train the nets: `python -m benchmarks.faults.train [FOLDER]`; what is in the folder already is not trained again.

All seeds of a program (an architecture on a task) train together, as one stack of matrices. Each net is written as
ARCHITECTURE-TASK-SEED.npz with its inputs beside it and the share of the constant answer's loss that is left. Initial values are those
that the literature advises for the lag of the tasks, so that most nets learn: chrono forget biases, negative input-gate biases (1997),
orthogonal or identity recurrence.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sympy
import torch

from flowcheck import Layer, Network, compile_cell
from flowcheck.formats import write_npz
from flowcheck.network import Readout

from .programs import CELLS, FOLDER, PROGRAMS, SEEDS
from .tasks import TASKS

UNITS, BATCH, UPDATES, RATE = 16, 16, 400, 1e-2
LAG = 30
"""Steps for which the initial values of gates are made to remember."""
FAST = {"sigma": torch.sigmoid, "tanh": torch.tanh, "g": lambda z: 2 * torch.tanh(z / 2), "h": lambda z: torch.tanh(z / 2),
        "Max": lambda *parts: torch.relu(next(p for p in parts if torch.is_tensor(p)))}
"""Squashing functions of the framework: in float32 they are as good as those of the package, and faster."""


def start(architecture, inputs, rng):
    """Initial weights {name: array} of one net."""
    params = compile_cell(CELLS[architecture]).random_params(UNITS, inputs, rng)
    spread = np.log(rng.uniform(1.0, LAG - 1.0, UNITS))
    if architecture.startswith("lstm_") or architecture == "lstm":
        params["b_f"], params["b_in"] = spread, -spread
    if architecture == "gru":
        params["b_z"] = spread
    if architecture == "lstm1997":
        params["b_in"] -= 3.0
    if architecture == "tanh":
        params["W_y"] = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0]
    if architecture == "irnn":
        params |= {"W_y": np.eye(UNITS), "b": np.zeros(UNITS), "W_x": rng.normal(scale=0.05, size=params["W_x"].shape)}
    return params


class Cells(torch.nn.Module):
    """One cell of the catalogue with weights of several nets, as a differentiable loop over time; vectors are (nets, batch, units)."""

    def __init__(self, cell, params, outputs):
        super().__init__()
        self.kernel = compile_cell(cell)
        self.units = {u.out.name: (sympy.lambdify(u.reads, u.formula, modules=FAST), [r.name for r in u.reads]) for u in cell.units}
        stacked = {k: torch.tensor(np.stack([p[k] for p in params]), dtype=torch.float32) for k in params[0]}
        self.weights = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in stacked.items()})
        self.W = torch.nn.Parameter(torch.empty(len(params), outputs, UNITS).uniform_(-UNITS**-0.5, UNITS**-0.5))
        self.b = torch.nn.Parameter(torch.zeros(len(params), 1, outputs))

    def forward(self, x):
        """Outputs of the read-outs (time, nets, batch, outputs) for x (time, nets, batch, inputs)."""
        cell, units, source = self.kernel.cell, self.units, self.kernel.cell.inputs[0].name
        fed = {}
        for net in cell.nets:
            names = self.kernel.weights.get(net.out.name, {})
            total = self.weights[names["1"]][:, None] if "1" in names else 0.0
            fed[net.out.name] = (total + x @ self.weights[names[source]].mT).unbind() if source in names else [total] * len(x)
        state = {old: torch.zeros(*x.shape[1:3], UNITS) for old in self.kernel.states}
        found = []
        for t in range(len(x)):
            now = dict(state)
            for e in cell.equations:
                name = e.out.name
                if name in units:
                    formula, reads = units[name]
                    now[name] = formula(*(now[a] for a in reads))
                elif e.kind == "shared":
                    now[name] = now[e.sources[0].name]  # blocks of one cell
                else:
                    total = fed[name][t]
                    for s in e.sources:
                        if s.name != source:
                            w = self.weights[self.kernel.weights[name][s.name]]
                            total = total + (now[s.name] * w[:, None] if e.kind == "diagonal" else now[s.name] @ w.mT)
                    now[name] = total
            state = {old: now[new] for old, new in self.kernel.states.items()}
            found.append(now[cell.output.name])
        return torch.stack(found) @ self.W.mT + self.b


def draws(task, rngs, batch):
    """x (time, nets, batch, inputs), target (time, nets, batch, outputs), the steps that count; every net has its own draw."""
    drawn = [TASKS[task](rng, batch) for rng in rngs]
    return (*(np.stack(arrays, axis=1) for arrays in zip(*(d[:2] for d in drawn), strict=True)), drawn[0][2])


def train(architecture, task):
    """[(Network, inputs (time, batch, n), share of the constant answer's loss that is left)] for every seed."""
    rngs = [np.random.default_rng([seed, *map(ord, architecture + task)]) for seed in range(SEEDS)]
    torch.manual_seed(0)
    x, target, steps = draws(task, rngs, BATCH)
    net = Cells(CELLS[architecture], [start(architecture, x.shape[-1], rng) for rng in rngs], target.shape[-1])
    optimiser = torch.optim.Adam(net.parameters(), RATE)
    for update in range(UPDATES):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - update / UPDATES)
        x, target, steps = draws(task, rngs, BATCH)
        given, wanted = (torch.tensor(array, dtype=torch.float32) for array in (x, target[steps]))
        losses = ((net(given)[steps] - wanted) ** 2).mean(dim=(0, 2, 3))
        optimiser.zero_grad()
        losses.sum().backward()
        for k in range(SEEDS):  # each net's gradient is clipped by itself
            norm = torch.sqrt(sum((p.grad[k] ** 2).sum() for p in net.parameters()))
            for p in net.parameters():
                p.grad[k] *= torch.clamp(1.0 / (norm + 1e-12), max=1.0)
        optimiser.step()
    x, target, steps = draws(task, rngs, 128)
    with torch.no_grad():
        answer = net(torch.tensor(x, dtype=torch.float32))[steps].numpy()
    wanted = target[steps]
    left = np.mean((answer - wanted) ** 2, axis=(0, 2, 3)) / np.mean((wanted - wanted.mean(axis=2, keepdims=True)) ** 2, axis=(0, 2, 3))
    return [(network(architecture, net, k), x[:, k, :8], float(left[k])) for k in range(SEEDS)]


def network(architecture, net, k):
    """The k-th net as a Network."""
    params = {name: v.detach()[k].numpy() for name, v in net.weights.items()}
    readout = Readout("head", net.W.detach()[k].numpy(), net.b.detach()[k, 0].numpy())
    return Network("", (Layer(architecture, CELLS[architecture], params, gate_order="gates by name"),), readout=readout)


def main(folder=FOLDER):
    torch.set_num_threads(1)
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    for architecture, task in PROGRAMS:
        paths = [folder / f"{architecture}-{task}-{seed}.npz" for seed in range(SEEDS)]
        if all(path.exists() for path in paths):
            continue
        found = train(architecture, task)
        for path, (trained, x, left) in zip(paths, found, strict=True):
            np.savez_compressed(path.with_suffix(".io.npz"), **{f"{architecture}.x": x.swapaxes(0, 1).astype(np.float32)})
            path.with_suffix(".json").write_text(json.dumps({"loss_left": left}))
            write_npz(trained, path)
        print(f"{architecture}-{task}: {', '.join(f'{left:.3f}' for *_, left in found)} of the loss is left", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
