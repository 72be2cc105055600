"""Every cell's forward meets other hands: frameworks, and plain NumPy written from the publication, one file per cell in forwards/.

Each public function there is one forward, (params, x (time, batch, inputs), {previous state: (batch, units)}) to {vector: values}.
"""

import importlib
from pathlib import Path

import numpy as np
import pytest

from flowcheck import catalogue, compile_cell

UNITS, INPUTS, STEPS, BATCH = 4, 3, 6, 2
TOLERANCE = 1e-12
"""Relative to the largest value of the vector: six steps of sums of some twenty terms round to 1e-14, exp and tanh of frameworks differ by
a few ulp. A forward in float32 says 1e-6."""
FOLDER = Path(__file__).parent / "forwards"
MODULES = {path.stem: importlib.import_module(f"forwards.{path.stem}") for path in sorted(FOLDER.glob("[!_]*.py"))}
CASES = [
    pytest.param(name, function, id=f"{name}-{key}") for name, module in MODULES.items() for key, function in vars(module).items()
    if callable(function) and function.__module__ == module.__name__ and not key.startswith("_")
]


def a_net(name, rng, block_size=1, gain=1.0):
    cell = catalogue()[name]
    kernel = compile_cell(cell)
    params = kernel.random_params(UNITS, INPUTS, rng, block_size, {length: 3 for length in cell.lengths})
    params = {k: v + gain * rng.normal(size=v.shape) / np.sqrt(v.shape[-1]) for k, v in params.items()}
    lengths = kernel.lengths(params)
    state0 = {old.name: rng.normal(size=(BATCH, lengths[cell.sizes[old.name]])) for old in cell.state}
    state0 |= {old.name: np.abs(state0[old.name]) + 0.1 for old in cell.state if old.is_positive}
    return kernel, params, rng.normal(size=(STEPS, BATCH, INPUTS)), state0


def differences(name, function, rng, block_size=1):
    """{vector: (largest difference beside the largest value, tolerance)} between a cell and a forward by another hand."""
    kernel, params, x, state0 = a_net(name, rng, block_size)
    ours, theirs = kernel.forward(params, x, state0), function(params, x, state0)
    assert kernel.cell.output.name in theirs
    assert {vector: array.shape for vector, array in theirs.items()} == {vector: ours[vector].shape for vector in theirs}
    return {vector: float(np.abs(ours[vector] - array).max() / np.abs(array).max()) for vector, array in theirs.items()}


@pytest.mark.parametrize(("name", "function"), CASES)
def test_the_forward_is_that_of_another_hand(name, function, rng):
    for block_size in (1, 2) if "blocks" in catalogue()[name].sizes.values() else (1,):
        found = differences(name, function, rng, block_size)
        allowed = getattr(function, "tolerance", TOLERANCE)
        assert all(error <= allowed for error in found.values()), found


def test_every_cell_has_a_forward_by_another_hand(cell_names):
    assert sorted({case.values[0] for case in CASES}) == cell_names


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_cell_that_ignores_its_last_input_is_told_from_its_forward(name, rng):
    kernel, params, x, state0 = a_net(name, rng)
    function = next(case.values[1] for case in CASES if case.values[0] == name)
    changed = x.copy()
    changed[-2:] = 0
    theirs, ours, output = function(params, x, state0), kernel.forward(params, changed, state0), kernel.cell.output.name
    assert np.abs(ours[output] - theirs[output]).max() > 1e-6
