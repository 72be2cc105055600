"""Rules of existing tools, written again from what they publish: each says of a net whether it raises an alarm.

They look at activations over all steps and at the gradient of the loss in the weights, as the tools do; thresholds are theirs.
"""

import numpy as np
import sympy

from flowcheck.notation import ROUTINES, Squashing

__all__ = ["BASELINES", "Seen"]


class Seen:
    """What the tools look at: squashed nets {vector: (net input, value, slope, lowest, highest)}, outputs y, weight gradients by name."""

    def __init__(self, layer, x, gradients):
        run = layer.run(x)
        self.y = run[layer.cell.output.name].reshape(-1, layer.units)
        self.gradients = gradients
        self.input_gradients, self.recurrent_gradients = (
            [g for name, g in gradients.items() if layer.cell.parameters[name].source in chosen]
            for chosen in ({s.name for s in layer.cell.inputs}, {s.name for s in layer.cell.state}))
        self.squashed, nets = {}, {n.out.name for n in layer.cell.nets}
        for unit in layer.cell.units:
            squash = unit.formula
            if isinstance(squash, Squashing) and nets & {s.name for s in squash.free_symbols}:
                net = sympy.lambdify(unit.reads, squash.args[0])(*(run[s.name] for s in unit.reads)).reshape(len(self.y), -1)
                low, high = map(float, squash.bounds)
                slope = ROUTINES[squash.slope.__name__](net)
                self.squashed[unit.out.name] = net, ROUTINES[type(squash).__name__](net), slope, low, high

    @property
    def all_gradients(self):
        return np.concatenate([g.ravel() for g in self.gradients.values()])


def kaldi(seen):
    """nnet3 self-repair: a unit whose mean slope is below 0.05 (sigmoid) or 0.2 (tanh)."""
    return any((slope.mean(axis=0) < (0.05 if low == 0 else 0.2)).any() for _, _, slope, low, _ in seen.squashed.values())


def sagemaker(seen):
    """SaturatedActivation: in half of a layer's units more than 1 % of the net inputs beyond +-9.4999 (tanh), -23 or 16.99999 (sigmoid)."""
    def share(net, low):
        beyond = (net < -23) | (net > 16.99999) if low == 0 else np.abs(net) > 9.4999
        return np.mean(beyond.mean(axis=0) > 0.01)
    return any(share(net, low) >= 0.5 for net, _, _, low, _ in seen.squashed.values())


def deepdiagnosis(seen):
    """Half of all net inputs beyond +-5; 70 % of the outputs at or below zero; mean |gradient| below 1e-7; variance outside 1e-5 to 10."""
    saturated = any(np.mean(np.abs(net) > 5) > 0.5 for net, *_ in seen.squashed.values())
    dead = np.mean(seen.y <= 0) >= 0.7
    return saturated or dead or np.mean(np.abs(seen.all_gradients)) < 1e-7 or not 1e-5 <= seen.y.var() <= 10


def thedeepchecker(seen):
    """rho_B above 0.85 or the 95th percentile of |y| below 1e-5 for more than half of the units; mean |gradient| outside 1e-6 to 1e6."""
    saturated = any(np.mean(_rho(2 * (value - low) / (high - low) - 1) > 0.85) > 0.5 for _, value, _, low, high in seen.squashed.values())
    dead = np.mean(np.percentile(np.abs(seen.y), 95, axis=0) < 1e-5) > 0.5
    return saturated or dead or not 1e-6 <= np.mean(np.abs(seen.all_gradients)) <= 1e6


def _rho(value):
    """(units,) mean of |mean of the bin| over 50 bins of [-1, 1], weighted by how many fall into it."""
    bins = np.clip(((value + 1) / 2 * 50).astype(int), 0, 49)
    found = np.zeros(value.shape[1])
    for k in range(value.shape[1]):
        counts = np.bincount(bins[:, k], minlength=50)
        sums = np.bincount(bins[:, k], value[:, k], minlength=50)
        found[k] = np.abs(sums).sum() / counts.sum()
    return found


def autotrainer(seen):
    """First over last kernel gradient below 1e-3 with the first below 1e-4, or above 70; 70 % of the outputs exactly zero."""
    first, last = (np.sqrt(sum(np.sum(g**2) for g in gs)) for gs in (seen.input_gradients, seen.recurrent_gradients))
    ratio = first / last if last > 0 else np.inf
    return (ratio < 1e-3 and first < 1e-4) or ratio > 70 or np.mean(seen.y == 0) >= 0.7


def torchdiag(seen):
    """Largest |gradient| of a tensor below 1e-7 or above 100; more than 20 % of the units always zero."""
    largest = [np.abs(g).max() for g in seen.gradients.values()]
    return min(largest) < 1e-7 or max(largest) > 100 or np.mean((seen.y == 0).all(axis=0)) > 0.2


def traintools(seen):
    """Gradient norm below 1e-12 or above 1e3; a unit that stays below 1e-3; effective rank of the outputs below 0.3 of the units."""
    norm = np.linalg.norm(seen.all_gradients)
    values = np.linalg.svd(seen.y - seen.y.mean(axis=0), compute_uv=False)
    p = values / max(values.sum(), 1e-300)
    rank = np.exp(-np.sum(p[p > 0] * np.log(p[p > 0]))) / seen.y.shape[1]
    return norm < 1e-12 or norm > 1e3 or (np.abs(seen.y).max(axis=0) < 1e-3).any() or rank < 0.3


BASELINES = {f.__name__: f for f in (kaldi, sagemaker, deepdiagnosis, thedeepchecker, autotrainer, torchdiag, traintools)}
"""{name: whether it raises an alarm about what is Seen}"""
