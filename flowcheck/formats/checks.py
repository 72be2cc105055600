"""What every layer and every stack of layers must keep, whatever file they came from."""

import numpy as np

from ..kernels import ShapeError, compile_cell
from .errors import FormatError, shown

__all__ = ["check_finite", "check_layer", "check_stack", "number"]


def number(array, name, where):
    """The array as floats in native byte order: float16 becomes float32, longdouble float64, others keep their type.

    Raises FormatError for integers (quantised weights), complex numbers, NaN and infinity.
    """
    if array.dtype.kind != "f":
        raise FormatError(f"{where}: {shown(name)} is of type {array.dtype}, expected floats; convert it to float32 "
                          "and save again")
    array = np.array(array, np.float64 if array.dtype.itemsize >= 8 else np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        at = ", ".join(map(str, np.unravel_index(finite.argmin(), finite.shape)))
        raise FormatError(f"{where}: {shown(name)} has {np.count_nonzero(~finite)} numbers that are not finite, the first at [{at}], "
                          "expected none; use a checkpoint from before training diverged")
    return array


def check_finite(x, name):
    """Raises FormatError for inputs (time, batch, features) with NaN or infinity in them."""
    bad = np.argwhere(~np.isfinite(x))
    if len(bad):
        time, batch, at = bad[0]
        raise FormatError(f"{name} has {len(bad)} numbers that are not finite, the first at [{batch}, {time}, {at}] as (batch, time, "
                          "features), expected none; mask or fill them first")


def check_layer(layer, where):
    """The layer itself. Raises FormatError where weights are missing, unknown, empty or of shapes that do not meet."""
    if not layer.name.isprintable():
        raise FormatError(f"{where}: layer {shown(layer.name)} has control characters in its name; rename it")
    try:
        lengths = compile_cell(layer.cell).lengths(layer.params)
    except ShapeError as error:
        raise FormatError(f"{where}: layer {shown(layer.name)}: {error}; the file does not hold this cell, or not "
                          "whole") from error
    if min(lengths.values()) < 1:
        raise FormatError(f"{where}: layer {shown(layer.name)} has {lengths['units']} units and {lengths['inputs']} "
                          "inputs, expected at least one of each")
    return layer


def check_stack(layers, where):
    """The layers as a tuple, by level.

    Raises FormatError where names repeat, levels are left out or widths do not chain.
    """
    layers = tuple(sorted(layers, key=lambda layer: (layer.level, layer.reverse)))
    names = set()
    for layer in layers:
        if layer.name in names:
            raise FormatError(f"{where}: two layers are named {shown(layer.name)}; rename one")
        names.add(layer.name)
    levels = {}
    for layer in layers:
        levels.setdefault(layer.level, []).append(layer)
    if list(levels) != list(range(len(levels))):
        raise FormatError(f"{where}: expected levels 0 to {len(levels) - 1}, got "
                          f"{', '.join(map(str, list(levels)[:12]))}; a layer of the stack is missing, save the whole "
                          "model")
    width, below = None, ""
    for level in levels.values():
        for layer in level:
            if width not in (None, layer.n_inputs):
                raise FormatError(f"{where}: layer {shown(layer.name)} reads {layer.n_inputs} inputs, but {below} "
                                  f"below it puts out {width}; select one stack with layer=NAME")
        width, below = sum(layer.n_outputs for layer in level), " and ".join(shown(layer.name) for layer in level[:2])
    return layers
