"""Networks from the recurrent modules that ran: weights as the readers of checkpoints take them, inputs as they were captured."""

from dataclasses import dataclass, replace

import numpy as np

from ..formats import InputSet
from ..formats.checks import check_finite
from ..formats.layers import build_layers
from ..formats.readout import find_readout
from ..formats.stored import Contents
from ..formats.torch_layers import torch_layers
from ..formats.torch_names import strip_wrappers
from ..measure import MOST_SEQUENCES
from ..network import Network
from .sequences import sequences

__all__ = ["Stack", "stacks"]

ROUNDING = 1000
"""Units of the last place of the module's own type by which its outputs may differ from a replay in float64, over a thousand steps."""


@dataclass(frozen=True)
class Stack:
    """A Network of layers that feed each other, the inputs of its first layers, where each layer starts {layer: {label: state0}}, and the
    errors of a loss at its outputs {label: dE/dy}, None without one.

    given   sequences that the module was called with, of which the sets may have the first ones only
    axes    the axes of its inputs in the order that it reads them, empty where its own code or packing decides
    """

    network: Network
    sets: list
    starts: dict
    given: int
    axes: str
    errors: dict | None = None


def stacks(module, used, cells):
    """[Stack] of the modules that ran. Raises ValueError where a replay does not meet the outputs that a module gave."""
    tensors = {strip_wrappers(name): value for name, value in _arrays(module.state_dict()).items()}
    return [_stack(module, chain, tensors, cells) for chain in _chains(used)]


def _chains(used):
    """Modules in the order of their calls, those together whose one call reads nothing but the output of the one before.

    Where errors were captured each stands alone: they are known at its own output, whoever else reads it.
    """
    if used[0].calls[0].error is not None:
        return [[one] for one in used]
    chains = []
    for one in used:
        if chains and _feeds(chains[-1][-1].calls, one.calls):
            chains[-1].append(one)
        else:
            chains.append([one])
    return chains


def _feeds(below, above):
    """Both ran once, from zero states, and what the upper one got is the whole output of the lower one and no copy of it."""
    if len(below) > 1 or len(above) > 1 or below[0].states is not None or above[0].states is not None:
        return False
    a, b = (t.data if hasattr(t, "batch_sizes") else t for t in (below[0].output, above[0].x))
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()


def _stack(module, chain, tensors, cells):
    where = type(module).__name__
    own, names = {}, [strip_wrappers(one.name) for one in chain]
    for one, name in zip(chain, names, strict=True):
        own |= {f"{name}.{role}" if name else role: value for role, value in _weights(one.module).items()}
    stored, found = torch_layers(own, cells, where)
    rectified = {name for one, name in zip(chain, names, strict=True) if getattr(one.module, "nonlinearity", "tanh") == "relu"}
    stored = [replace(s, activations={"g": "relu"}) if s.stack in rectified else s for s in stored]
    layers, assumed = build_layers(Contents(layers=stored), cells, where)
    readout, guessed = find_readout(tensors, layers, where)
    notes = [n for n in (*found, *assumed, *guessed) if "assumed" not in n and "one stack in this order" not in n]
    network = Network(where, layers, readout=readout, notes=tuple(notes))
    sets, starts = [], {}
    runs, given = sequences(chain[0], MOST_SEQUENCES)
    for label, sequence in runs.items():
        check_finite(sequence.x, f"{where}: x of {names[0] or 'the layer'}" + (f" ({label})" if len(runs) > 1 else ""))
        for layer in network.levels[0]:
            sets.append(InputSet(label, layer.name, sequence.x))
        for layer, state0 in zip(layers, sequence.state0, strict=False):
            if state0 is not None:
                starts.setdefault(layer.name, {})[label] = _named(layer, state0)
    expected, _ = sequences(chain[-1], MOST_SEQUENCES)
    _replayed(where, names[-1], network, sets, starts, expected, chain[-1].module)
    errors = {label: s.error for label, s in expected.items() if s.error is not None}
    return Stack(network, sets, starts, given, _axes(chain[0]), errors or None)


def _axes(one):
    """Of the inputs of a Used module, as `Stack` has them."""
    if one.is_cell or hasattr(one.calls[0].x, "batch_sizes"):
        return ""
    return "batch, time, features" if one.module.batch_first else "time, batch, features"


def _named(layer, state0):
    """{previous state: (batch, units)} of torch's (h,) or (h, c)."""
    output = layer.cell.output
    names = sorted((old.name for old, new in layer.cell.state.items()), key=lambda n: n != _previous(layer.cell, output))
    return dict(zip(names, state0, strict=True))


def _previous(cell, output):
    return next(old.name for old, new in cell.state.items() if new == output)


def _replayed(where, name, network, sets, starts, expected, module):
    """Raises ValueError unless the last level's replay meets what the module put out."""
    by_layer = {}
    for s in sets:
        by_layer.setdefault(s.layer, {})[s.label] = s.x
    last = len(network.levels) - 1
    outputs = {}
    for layer, runs in network.run_layers(by_layer, starts=starts):
        if layer.level == last:
            for label, run in runs.items():
                y = run[layer.cell.output.name]
                outputs.setdefault(label, []).append(y[::-1] if layer.reverse else y)
    for label, parts in outputs.items():
        y, given = np.concatenate(parts, axis=-1), expected[label].output
        allowed = ROUNDING * expected[label].rounding * max(1.0, float(np.abs(given).max()))
        error = float(np.abs(y - given).max())
        if not error <= allowed:
            raise ValueError(f"{where}: {name or 'the layer'}, replayed from its inputs and weights, is off its own outputs by "
                             f"{error:.1e}, expected below {allowed:.0e}: its forward pass is not torch.nn.{type(module).__name__}'s; "
                             "save its weights and name its cell with flowcheck diagnose --layer NAME=CELL:ORDER")


def _weights(module):
    """{torch's name of the weight: array} as the module uses them, parametrised or not."""
    names = getattr(module, "_flat_weights_names", None) or [n for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                                                             if getattr(module, n, None) is not None]
    return _arrays({n: getattr(module, n) for n in names})


def _arrays(tensors):
    found = {}
    for name, tensor in tensors.items():
        if hasattr(tensor, "detach") and tensor.is_floating_point():
            tensor = tensor.detach().cpu()
            found[name] = (tensor.float() if tensor.element_size() < 4 else tensor).numpy()
    return found


