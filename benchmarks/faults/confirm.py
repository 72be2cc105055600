"""Is a finding true? Each is tried again on inputs that the detector has not seen, by the loss of the task or by an independent measure.

So that a trained net may have faults of its own: what training left dead is dead. A finding that is not confirmed is a false alarm.
"""


import numpy as np

from flowcheck import compile_cell

from .inject import Surgery
from .tasks import TASKS

__all__ = ["Task", "confirmed", "flow_truth"]

TOLERATED = 0.01
"""Share of the constant answer's loss by which an intervention without effect may change the loss."""
NEEDED = 0.05
"""Relative root mean square change of the answer from which on an intervention has an effect."""


class Task:
    """Fresh inputs of a task with their targets; the loss is relative to that of the constant answer."""

    def __init__(self, task, seed=10_000, batch=64):
        self.x, self.target, self.steps = TASKS[task](np.random.default_rng([seed, *map(ord, task)]), batch)
        target = self.target[self.steps]
        self.constant = np.mean((target - target.mean(axis=1, keepdims=True)) ** 2)

    def loss(self, answer):
        return float(np.mean((answer[self.steps] - self.target[self.steps]) ** 2) / self.constant)


def confirmed(finding, network, x, task):
    """Whether a finding about a net, from the inputs x, holds on the fresh inputs of the Task."""
    surgery = Surgery(network, x)
    check = {"dead-cell": _dead, "bias-cell": _bias, "redundant-cell": _redundant, "saturated": _saturated, "state-drift": _drifts,
             "stuck-gate": _stuck, "unused-recurrence": _unused}.get(finding.rule)
    return check is not None and bool(check(finding, surgery, task))


def _answer(network, x, hold=None):
    layer = network.layers[0].astype(float)
    run = compile_cell(layer.cell).forward(layer.params, x, hold=hold)
    return network.readout(run[layer.cell.output.name])


def _holding(surgery, unit, value, task):
    n, batch = surgery.layer.units, task.x.shape[1]
    mask = np.broadcast_to(np.arange(n) == unit, (batch, n))
    return {surgery.layer.cell.output.name: (mask, np.full(n, value))}


def _change(network, task, hold):
    """(change of the loss, change of the answer relative to its own variation)"""
    before, after = _answer(network, task.x), _answer(network, task.x, hold)
    return abs(task.loss(after) - task.loss(before)), np.sqrt(np.mean((after - before) ** 2) / max(before.var(axis=(0, 1)).mean(), 1e-300))


def _dead(finding, surgery, task):
    return _change(surgery.network, task, _holding(surgery, finding.unit, 0.0, task))[0] < TOLERATED


def _bias(finding, surgery, task):
    mean = surgery.run[surgery.layer.cell.output.name][..., finding.unit].mean()
    held = _change(surgery.network, task, _holding(surgery, finding.unit, mean, task))
    zero = _change(surgery.network, task, _holding(surgery, finding.unit, 0.0, task))
    return held[0] < TOLERATED and zero[1] > NEEDED


def _redundant(finding, surgery, task):
    """A readout of the others, fitted on the detector's inputs, replaces the unit for whoever reads it."""
    unit, name = finding.unit, surgery.layer.cell.output.name
    y = surgery.run[name].reshape(-1, surgery.layer.units)
    others = np.delete(np.arange(surgery.layer.units), unit)
    A = np.concatenate([y[:, others], np.ones((len(y), 1))], axis=1)
    weights = np.linalg.lstsq(A, y[:, unit], rcond=1e-6)[0]
    for W, b, vector in surgery.read_from():
        if vector == name:
            column = W[:, unit].copy()
            W[:, others] += np.outer(column, weights[:-1])
            b += column * weights[-1]
            W[:, unit] = 0.0
    changed = _answer(surgery.done(), task.x)
    return abs(task.loss(changed) - task.loss(_answer(surgery.network, task.x))) < TOLERATED


def _saturated(finding, surgery, task):
    vector, run = finding.evidence["vector"], surgery.layer.run(task.x)
    size = np.tanh(run["net_c"] / 2) if vector == "g(net_c)" else run[vector]  # g(z) = 2 tanh(z / 2)
    slope = (1 - size**2).mean(axis=(0, 1))
    return slope[finding.unit] < 0.05 if finding.unit is not None else np.mean(slope < 0.05) > 0.5


def _drifts(finding, surgery, task):
    """Over the fresh inputs twice in a row the state goes on growing, and its output has lost its slope at the end."""
    steps, state = len(task.x), finding.evidence["state"]
    s = np.abs(surgery.layer.run(np.concatenate([task.x, task.x]))[state][..., finding.unit])
    end = s[-1] / 2 if surgery.layer.cell.name == "lstm1997" else s[-1]  # h(s) = tanh(s / 2) there
    return np.mean((s[-1] > 1.5 * s[steps - 1]) & (1 - np.tanh(end) ** 2 < 0.05)) > 0.25


def _stuck(finding, surgery, task):
    """The gate, at the end at which it stands, does as well."""
    n, batch = surgery.layer.units, task.x.shape[1]
    mask = np.broadcast_to(np.arange(n) == finding.unit, (batch, n))
    hold = {finding.evidence["gate"]: (mask, np.full(n, float(finding.evidence["smallest"] > 0.5)))}
    return _change(surgery.network, task, hold)[0] < TOLERATED


def _unused(finding, surgery, task):
    kernel, layer = surgery.kernel, surgery.layer
    start = {old: surgery.run[new].mean(axis=(0, 1)) for old, new in kernel.states.items()}
    y = kernel.forward(layer.params, task.x.reshape(1, -1, task.x.shape[-1]), start)[layer.cell.output.name]
    answer = surgery.network.readout(y.reshape(*task.x.shape[:2], -1))
    return abs(task.loss(answer) - task.loss(_answer(surgery.network, task.x))) < TOLERATED


def flow_truth(layer, x, lags):
    """(lags + 1,) norm of d state(T) / d state(T-q), geometric mean over sequences, by the complex step: no derivative formula is used."""
    layer = layer.astype(float)
    kernel = compile_cell(layer.cell)
    run, steps, batch = layer.run(x), *x.shape[:2]
    width = {old: run[new].shape[-1] for old, new in kernel.states.items()}
    square = np.zeros((lags + 1, batch))
    square[0] = sum(width.values())
    for q in range(1, lags + 1):
        for moved, n in width.items():
            start = {old: np.repeat(run[new][steps - q - 1], n, axis=0) for old, new in kernel.states.items()}
            start[moved] = start[moved] + 1e-100j * np.tile(np.eye(n), (batch, 1))
            after = kernel.forward(layer.params, np.repeat(x[steps - q:], n, axis=1), start)
            for new in dict.fromkeys(kernel.states.values()):
                square[q] += np.sum((after[new][-1].imag.reshape(batch, n, -1) * 1e100) ** 2, axis=(1, 2))
    with np.errstate(divide="ignore"):
        return np.exp(np.log(square).mean(axis=1) / 2)
