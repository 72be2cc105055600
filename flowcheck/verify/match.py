"""A cell that reproduces someone's forward pass: their arrays as its weights, inputs and states, its gradients in their layout."""

import numpy as np

from ..kernels import compile_cell
from ..oracles import STEP

__all__ = ["Match"]


class Match:
    """A cell and where its weights, inputs, states and outputs are in someone's arguments.

    blocks    [(Block, parameter of the cell)]
    states    {previous state of the cell: entry of state0}
    outputs   {output of the user: vector of the cell}; `final` those that hold the last state only
    """

    def __init__(self, functions, cell, layout, blocks, states, lengths):
        self.functions, self.cell, self.kernel, self.layout = functions, cell, compile_cell(cell), layout
        self.blocks, self.states, self.lengths, self.outputs, self.final = blocks, states, lengths, {}, {}

    @property
    def words(self):
        """Which array is which weights, in the order of the gates."""
        found = {}
        for block, param in self.blocks:
            found.setdefault(block.entry, []).append(param)
        if all(names == [entry] for entry, names in found.items()):
            return "each array has the name of the weights that it is"
        return "; ".join(f"{entry} = [{', '.join(dict.fromkeys(names))}]" for entry, names in found.items())

    def params(self, values):
        """The cell's weights from {entry: array}; biases that no array holds are zero."""
        found = {}
        for block, param in self.blocks:
            part = block.take(values[block.entry])
            found[param] = found[param] + part if param in found else part
        for name, edge in self.cell.parameters.items():
            if name not in found:
                found[name] = np.zeros(self.lengths[self.cell.sizes[edge.net]])
        return found

    def state0(self, values):
        return {old: self.layout.state(values[entry]) for old, entry in self.states.items()}

    def run(self, arguments, values=None, **options):
        """Trajectory of the cell on someone's arguments, some values replaced."""
        values = {n: a for group in arguments.groups.values() for n, a in group.items()} | (values or {})
        x = self.layout.cell_x(values[self.layout.x], arguments.axis(self.layout.x))
        state0 = self.state0(values)
        batch = x.shape[1]
        state0 = {old: np.broadcast_to(s, (batch, s.shape[1])) for old, s in state0.items()}
        return self.kernel.forward(self.params(values), x, state0, **options)

    def from_step(self, arguments, start):
        """The arguments of the steps from `start` on, in the state that the cell reaches there; None where not all states are entries."""
        if set(self.states) != set(self.kernel.states):
            return None
        run = self.run(arguments)
        reached = {entry: self.layout.state_back(run.at(old, start), arguments.groups["state0"][entry].shape)
                   for old, entry in self.states.items()}
        return arguments.window(start, arguments.steps).with_values(reached)

    def errors(self, grad_outputs):
        """{vector: errors (time, batch, units)} from errors at the user's outputs."""
        found = {}
        for name, vector in self.outputs.items():
            g = grad_outputs[name]
            e = self.layout.over_time(g, self.functions.output_axis(name, g))
            found[vector] = found.get(vector, 0.0) + e
        return found

    def gradients(self, arguments, found):
        """{entry: gradient in the user's layout} of gradients.Gradients of the cell."""
        grads = {}
        for block, param in self.blocks:
            shape = arguments.groups["params"][block.entry].shape
            block.put(grads.setdefault(block.entry, np.zeros(shape, found.params[param].dtype)), found.params[param])
        x = arguments.groups["inputs"][self.layout.x]
        if np.issubdtype(x.dtype, np.inexact) and found.inputs:
            grads[self.layout.x] = self.layout.back(next(iter(found.inputs.values())), arguments.axis(self.layout.x), x.shape)
        for old, entry in self.states.items():
            if old in found.state0:
                shape = arguments.groups["state0"][entry].shape
                grads[entry] = self.layout.state_back(found.state0[old], shape)
        return grads

    def along(self, arguments, name, direction, start=0, cut=()):
        """{output: tangent} when an entry moves, with everything before `start` and the cut connections frozen (complex step)."""
        frozen = self.run(arguments)
        late = arguments.window(start, arguments.steps)
        held = frozen.window(start, arguments.steps)
        value = late.values()[name]
        if value.shape != direction.shape:
            direction = np.take(direction, np.arange(start, arguments.steps), axis=arguments.axis(name))
        cut = self.cell.cut(cut)
        values = {n: a for group in late.groups.values() for n, a in group.items()} | {name: value + 1j * STEP * direction}
        x = self.layout.cell_x(values[self.layout.x], late.axis(self.layout.x))
        state0 = held.state0 if start else {old: np.broadcast_to(s, (x.shape[1], s.shape[1])) for old, s in self.state0(values).items()}
        run = self.kernel.forward(self.params(values), x, state0, cut=cut, frozen=held if cut else None)
        moved = {}
        for out, vector in self.outputs.items():
            tangent = np.concatenate([np.zeros((start, *run[vector].shape[1:])), run[vector].imag / STEP])
            moved[out] = self.layout.back(tangent, self.functions.output_axis(out, self.shapes[out]), self.shapes[out].shape)
        return moved
