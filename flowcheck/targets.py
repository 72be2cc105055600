"""What the words of the command line stand for: nets, their inputs, derivations.

Turns a target into a Network and its InputSets, and a path into claims with their proofs. Bad targets raise ValueError, one line each.
"""

from dataclasses import replace
from pathlib import Path

__all__ = ["by_layer", "described", "derivations", "errors_of", "near_bounds", "network_and_inputs", "proved"]


_FEW_STEPS = 50
"""Steps below which it is said how the axes of inputs were read: time and batch may stand the other way round."""


def network_and_inputs(net, inputs, layer, units, block_size, seed):
    """(Network, [InputSet]) of a file or of cell:NAME; gate orders are proved where the inputs bring states."""
    from .cells import catalogue, get
    from .formats import load, read_inputs
    from .network import fresh

    if net.startswith("cell:"):
        width = int(inputs) if inputs and inputs.isdigit() else None
        cell = get(net.removeprefix("cell:"))
        if min(units, block_size, 1 if width is None else width) < 1 or units % block_size:
            raise ValueError(f"units, inputs and block size are positive and blocks divide the units; got {units}, {width}, {block_size}")
        if width is None and inputs:
            import numpy as np

            if not inputs.endswith(".npy"):
                raise ValueError(f"cell:{cell.name} takes inputs from .npy (batch, time, features) or a number of inputs, got {inputs}")
            width = np.load(inputs, allow_pickle=False, mmap_mode="r").shape[-1]
            network = fresh(cell, units, width, seed, block_size)
            return network, read_inputs(inputs, network)
        return fresh(cell, units, 8 if width is None else width, seed, block_size), []
    network = load(net, catalogue(), layer)
    return (network, []) if inputs is None else _gates_proved(network, read_inputs(inputs, network))


def _gates_proved(network, sets):
    from .formats import prove_gate_order

    layers = []
    for layer in network.layers:
        known = next((s for s in sets if s.layer == layer.name and s.h is not None), None)
        layers.append(layer if known is None else prove_gate_order(layer, known.x, known.h))
    return replace(network, layers=tuple(layers)), sets


def by_layer(sets):
    """{layer name: {label: x}} of InputSets."""
    chosen = {}
    for s in sets:
        chosen.setdefault(s.layer, {})[s.label] = s.x
    return chosen


def errors_of(network, sets, path, loss):
    """{label: dE/dy (time, batch, outputs)} of a file of targets: .npy for the first set, .npz with one array per set of inputs."""
    from .detectors import errors_of_targets
    from .formats import read_targets
    from .measure import first_sequences

    return errors_of_targets(network, first_sequences(by_layer(sets)), read_targets(path, sets), loss)


def described(sets, inputs, lags, given=None, axes="batch, time, features"):
    """In words, what was run: the file, how many sequences, how long, and along which flow is measured if not along all.

    given   how many sequences there were, where the sets are some of them
    axes    how the inputs were read, said of short sequences; empty where that is not known
    """
    from .flow import usable_lags
    from .measure import MOST_SEQUENCES

    sets = {s.label: s for s in sets}.values()  # two directions are fed the same sequences
    given = given or sum(s.x.shape[1] for s in sets)
    used = sum(min(s.x.shape[1], MOST_SEQUENCES) for s in sets)
    lengths = sorted({s.x.shape[0] for s in sets})
    _, least = usable_lags(lags, lengths)
    axes = f" (axes: {axes})" if axes and lengths[-1] < min(_FEW_STEPS, given) else ""
    along = f", flow along those of at least {least}" if least > lengths[0] else ""
    some, steps = "" if used == given else f"of {given} ", " and ".join(map(str, lengths))
    return f"{Path(inputs).name}: {used} {some}sequence{'s'[:given > 1]} of {steps} step{'s'[:lengths != [1]]}{axes}{along}"


def derivations(path=None):
    """The folder of derivations: the path given, or the paper's, from an install as from a checkout."""
    if path:
        return Path(path)
    here = Path(__file__).parent
    inside, beside = here / "derivations", here.parent / "derivations"
    return inside if inside.is_dir() else beside


def proved(claims, path, progress):
    """[(claim, "" or why its proof fails)], for claims that were loaded from `path`."""
    from .jobs import in_order
    from .tasks import prove

    results = []
    for claim, error in zip(claims, in_order(prove, [((str(path),), claim.id) for claim in claims]), strict=True):
        results.append((claim, error))
        progress(f"proved {claim.id}", len(results), len(claims))
    return results


def near_bounds(claims, path, progress):
    """{claim id: in words, how near flows come to its bound}, of those that are inequalities between flows."""
    from .jobs import in_order
    from .tasks import nearness

    bounds = [claim.id for claim in claims if any(check.relation == "<=" for check in claim.checks)]
    found = {}
    for number, words in zip(bounds, in_order(nearness, [((str(path),), number) for number in bounds]), strict=True):
        found[number] = words
        progress(f"sought {number}", len(found), len(bounds))
    return found
