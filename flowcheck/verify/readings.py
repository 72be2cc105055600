"""Ways to read an array of someone else's as weights of a cell: chunks by gate along one axis, by source along the other.

A reading is a list of Blocks; which gate a block belongs to is left open, and settled by the values of the forward pass.
"""

from dataclasses import dataclass
from itertools import permutations

import numpy as np

__all__ = ["Block", "Roles", "readings"]


@dataclass(frozen=True)
class Block:
    """The part of an array that holds the weights of one gate from one role: `array[index]`, transposed, or reshaped to one axis."""

    entry: str
    slot: int
    role: str
    index: tuple
    transposed: bool
    length: int

    def take(self, array):
        part = array[self.index]
        if self.role == "1" or self.role.startswith("diagonal"):
            return part.reshape(-1)
        return part.T if self.transposed else part

    def put(self, array, weights):
        """Add weights of the cell to their place in the array."""
        part = array[self.index]
        array[self.index] = part + (weights.reshape(part.shape) if weights.ndim == 1 else weights.T if self.transposed else weights)


class Roles:
    """What the nets of a cell read: "x" (its inputs), "1" (biases), previous vectors ("h" where each net reads one), "diagonal ..."."""

    def __init__(self, cell, lengths):
        inputs, self.params, self.sizes = {s.name for s in cell.inputs}, {}, {}
        self.previous = {f"diagonal {old}" for old in cell.state}
        kinds = {n.out.name: n.kind for n in cell.nets}
        carried = {}
        for edge in cell.parameters.values():
            if edge.source not in inputs and edge.source != "1" and kinds[edge.net] == "dense":
                carried.setdefault(edge.net, []).append(edge.source)
        single = all(len(v) == 1 for v in carried.values())
        for name, edge in cell.parameters.items():
            if edge.source == "1":
                role, size = "1", 1
            elif kinds[edge.net] == "diagonal":
                role, size = f"diagonal {edge.source}", 1
            elif edge.source in inputs:
                role, size = "x", lengths[cell.sizes[edge.source]]
            else:
                role, size = "h" if single else edge.source, lengths[cell.sizes[edge.source]]
            self.params.setdefault(role, {})[edge.net] = name
            self.sizes[role] = size
        self.rows = sorted({lengths[cell.sizes[e.net]] for e in cell.parameters.values()})

    def kind(self, role):
        """"x", "1", "now" for a diagonal that reads a vector of its own step, "h" for everything else."""
        return role if role in ("x", "1") else "now" if role.startswith("diagonal") and role not in self.previous else "h"


def readings(entry, shape, roles, must, may):
    """[[Block]]: every way to read an array of that shape. Its values read what is in `must`, and nothing outside `may`, kinds of roles."""
    found = []
    if len(shape) == 1:
        for row in roles.rows:
            if shape[0] % row == 0:
                for role in roles.sizes:
                    if roles.sizes[role] == 1 and roles.kind(role) in may and must <= {roles.kind(role)}:
                        count = shape[0] // row
                        if count <= len(roles.params[role]):
                            found.append([Block(entry, k, role, (slice(k * row, (k + 1) * row),), False, row) for k in range(count)])
    elif len(shape) == 2:
        for transposed in (False, True):
            rows, columns = shape[::-1] if transposed else shape
            for row in roles.rows:
                if rows % row == 0:
                    for order in _orders(columns, roles, must, may):
                        if rows // row <= max(len(roles.params[r]) for r in order):
                            found.append(_blocks(entry, row, rows // row, order, roles, transposed))
    elif len(shape) == 3:
        for inner in readings(entry, shape[1:], roles, must, may):
            if {b.slot for b in inner} == {0}:
                found.append([Block(entry, k, b.role, (k, *b.index), b.transposed, b.length) for k in range(shape[0]) for b in inner])
    return found


def _orders(columns, roles, must, may):
    """Orders of roles whose lengths add up to the columns, and whose kinds are what the array reads."""
    names = [r for r in roles.sizes if not r.startswith("diagonal")]
    for count in range(1, len(names) + 1):
        for order in permutations(names, count):
            if sum(roles.sizes[r] for r in order) == columns and must <= {roles.kind(r) for r in order} <= may:
                yield order


def _blocks(entry, row, count, order, roles, transposed):
    ends, found = np.cumsum([0, *(roles.sizes[r] for r in order)]), []
    for k in range(count):
        for j, role in enumerate(order):
            index = (slice(k * row, (k + 1) * row), slice(int(ends[j]), int(ends[j + 1])))
            found.append(Block(entry, k, role, index[::-1] if transposed else index, transposed, row))
    return found
