"""Errors that a loss sends into a net: dE/dy(t) at every layer, from targets, so that flow can be weighed by the errors that occur."""

import numpy as np

from ..gradients import bptt

__all__ = ["LOSSES", "errors_of_targets", "layer_errors"]

LOSSES = ("squared", "cross-entropy")
NO_LABEL = -100
"""The label of steps without a target, as in torch; NaN is one, too."""


def errors_of_targets(network, sets, targets, loss="squared", starts=None):
    """{label: dE/dy (time, batch, outputs of the last level)} of E = mean over the targets that count.

    targets   {label: (time, batch, n)}, NaN at steps without a target; n the read-out's rows, or the last level's outputs without one
    loss      "squared", 1/2 (answer - target)^2; or "cross-entropy" of the softmax of the answer, targets being shares of classes, or
              labels (time, batch) from 0 to n - 1, NO_LABEL at steps without a target

    Raises ValueError for shapes that do not fit, labels that no output has, and for targets of which none counts.
    """
    outputs = {label: np.concatenate(parts, axis=-1) for label, parts in _outputs(network, sets, starts).items()}
    found = {}
    for label, y in outputs.items():
        if label not in targets:
            continue
        target = np.asarray(targets[label], float)[:, :y.shape[1]]
        answer = y if network.readout is None else network.readout(y)
        if target.ndim == 2 and loss == "cross-entropy":
            target = _shares(target, answer.shape[-1], label)
        if target.shape != answer.shape:
            advice = "; class labels are for the loss cross-entropy" if target.ndim == 2 else ""
            raise ValueError(f"targets of {label} have shape {target.shape} as (time, batch, outputs), expected {answer.shape}{advice}")
        counts = ~np.isnan(target)
        if not counts.any():
            raise ValueError(f"targets of {label} are all NaN: no step has a target")
        if loss == "cross-entropy":
            shifted = np.exp(answer - answer.max(axis=-1, keepdims=True))
            answer = shifted / shifted.sum(axis=-1, keepdims=True)
        wrong = np.where(counts, answer - np.nan_to_num(target), 0.0) / np.count_nonzero(counts.any(axis=-1))
        found[label] = wrong if network.readout is None else wrong @ np.asarray(network.readout.W, float)
    if not found:
        raise ValueError(f"targets are of {', '.join(targets)}, expected one of {', '.join(outputs)}")
    return found


def _shares(labels, outputs, name):
    """One-hot (time, batch, outputs) of labels (time, batch), NaN where there is none."""
    given = ~np.isnan(labels) & (labels != NO_LABEL)
    strange = labels[given & ~np.isin(labels, np.arange(outputs))]
    if strange.size:
        raise ValueError(f"targets of {name} have the class label {strange[0]:g}, expected whole numbers from 0 to {outputs - 1}, one per "
                         f"output, or {NO_LABEL} where there is no target")
    return np.where(given[..., None], labels[..., None] == np.arange(outputs), np.nan)


def layer_errors(network, sets, errors, starts=None):
    """{layer: {label: dE/dy(t) (time, batch, units)}} in each layer's own direction of time: sent back from the last level to the first.

    The errors at a lower level are dE/dx of the level above, as full backpropagation through time gives them.
    """
    runs = {layer.name: (layer, found) for layer, found in network.run_layers(sets, starts=starts)}
    found = {name: {} for name in runs}
    for label, error in errors.items():
        for level in reversed(network.levels):
            below, start = 0.0, 0
            for one in level:
                layer, trajectories = runs[one.name]
                own = error[..., start:start + layer.n_outputs]
                start += layer.n_outputs
                own = own[::-1] if layer.reverse else own
                found[layer.name][label] = own
                if one.level:
                    back = bptt(trajectories[label], own).inputs[layer.cell.inputs[0].name]
                    below = below + (back[::-1] if layer.reverse else back)
            error = below
    return found


def _outputs(network, sets, starts):
    """{label: outputs of the last level's layers, forwards in time}."""
    found, last = {}, len(network.levels) - 1
    for layer, runs in network.each_layer(sets, starts=starts):
        if layer.level == last:
            for label, run in runs.items():
                y = run[layer.cell.output.name]
                found.setdefault(label, []).append(y[::-1] if layer.reverse else y)
    return found
