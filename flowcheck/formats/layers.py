"""Layers of a network from what a file stores: a cell of the catalogue for each, its rows split by the cell's Layout."""

from dataclasses import replace

import numpy as np

from ..network import Layer
from .activations import ACTIVATIONS, with_activations
from .answers import answer_for, answered_cell, selects
from .checks import check_layer, check_stack
from .errors import FormatError, shown

__all__ = ["build_layers", "layout_of"]


def build_layers(contents, cells, where, answers=()):
    """(layers, notes) of the Stored layers of a file's Contents.

    answers   [Answer]: which stacks to take, and the kind and order of layers that the file leaves open. Where none is a name alone, all
              are taken: stacks whose widths chain become one, unless the file says that they do not feed each other.

    Raises FormatError for a file without recurrent layers, a selection that fits none, questions that only the user can answer, weights
    that are missing or do not meet.
    """
    stacks = {}
    for stored in contents.layers:
        stacks.setdefault(stored.stack, []).append(stored)
    meant = {a: {stack for stack, members in stacks.items() if selects(a, stack, *(m.name for m in members))} for a in answers}
    nowhere = [shown(a.name, 30) for a, found in meant.items() if not found]
    if nowhere:
        got = ", ".join(_selected_by(stack, members) + _with(members) for stack, members in list(stacks.items())[:8])
        raise FormatError(f"{where}: expected a recurrent layer {', '.join(nowhere)!r}, got {got}; select one of these")
    if all(a.kind for a in answers):  # said of some layers, all of them taken
        chosen = stacks
    else:
        chosen = {stack: members for stack, members in stacks.items() if any(stack in found for found in meant.values())}
        for stack, members in chosen.items():
            left = [m for m in members if not any(selects(a, stack, m.name) for a in answers)]
            if left:
                raise FormatError(f"{where}: {_listed(m.name for m in members)} are one stack, which is read whole, got a name that "
                                  f"leaves out {_listed(m.name for m in left)}; select it with --layer {_selected_by(stack, members)}")
    names = [_selected_by(stack, members) for stack, members in chosen.items()]
    if len(chosen) > 1 and contents.apart:
        raise FormatError(f"{where}: {_listed(names)} do not feed each other, so they are no one stack; select one with layer=NAME "
                          "(--layer NAME)")
    layers, notes, depth = [], [], 0
    for members in chosen.values():
        found = [_layer(one, cells, where, answers, notes) for one in members]
        found = check_stack(found, where)
        layers += [replace(one, level=one.level + depth) for one in found]
        depth += 1 + max(one.level for one in found)
    layers = check_stack(layers, where)
    if len(chosen) > 1:
        notes.append(f"{_listed(names)} taken as one stack in this order: their widths chain, the file does not say")
    return layers, notes


def layout_of(cells, framework, kind):
    """(cell, layout) of a framework's kind, None where no cell has it; tanh where kinds differ in their nonlinearity only."""
    layouts = [(cell, layout) for cell in cells.values() for layout in cell.layouts]
    fits = [(cell, layout) for cell, layout in layouts if (layout.framework, layout.kind) == (framework, kind)]
    return min(fits, key=lambda fit: fit[1].nonlinearity not in ("", "tanh"), default=None)


def _layer(stored, cells, where, answers, notes):
    """One checked Layer; what was assumed is added to the notes."""
    answer, place = answer_for(answers, stored.stack, stored.name), f"{where}: {shown(stored.name)}"
    fit = layout_of(cells, stored.framework, stored.kind)
    if answer:
        if fit and answer.kind in ACTIVATIONS.keys() - cells.keys():
            raise FormatError(f"{place}: {answer.kind} is a nonlinearity, expected a cell; say --layer "
                              f"{_squashed(stored, fit, answer.kind)}")
        cell, gates, recurrent, letters = answered_cell(answer, cells, place)
        order = f"{' '.join(letters)} (as --layer says)"
    else:
        if stored.question:
            raise FormatError(f"{place}: {stored.question}")
        if fit is None:
            raise FormatError(f"{place} is of kind {stored.kind} of {stored.framework}, which no cell in the catalogue has as a layout; if "
                              "one of them has its equations say so with --layer NAME=CELL:ORDER")
        cell, layout = fit
        gates, recurrent, letters = layout.gates, layout.recurrent or layout.gates, layout.letters
        if stored.activations:
            cell = with_activations(cell, stored.activations, place)
        if layout.nonlinearity and stored.framework == "torch":
            notes.append(f"{stored.name}: nonlinearity {layout.nonlinearity} assumed, a state_dict does not record it; "
                         f"for relu say --layer {_squashed(stored, fit, 'relu')}")
        order = f"{' '.join(letters)} ({stored.source or f'{stored.framework} convention'})"
    _check_rows(stored.rows, len(gates), place, cell)
    if not any(role.startswith("bias") for role in stored.rows):
        notes.append(f"{stored.name}: no biases in the file, taken as zero")
    params = _params(cell, gates, recurrent, stored.rows, place)
    return check_layer(Layer(stored.name, cell, params, stored.level, stored.reverse, order), where)


def _squashed(stored, fit, activation):
    """What to say to --layer of a stack whose cell squashes with another function, quoted for a shell."""
    cell, layout = fit
    return f"'{shown(stored.stack or stored.name.partition('.')[0])}={cell.name}[g={activation}]:{''.join(layout.letters)}'"


def _check_rows(rows, n_gates, where, cell):
    """Raises FormatError where the rows are not those of a cell with that many gates."""
    missing = [role for role in ("weight_ih", "weight_hh") if role not in rows]
    if missing:
        raise FormatError(f"{where}: expected {missing[0]}, got {', '.join(sorted(rows))}; save the whole model")
    shapes = {role: array.shape for role, array in rows.items()}
    total = shapes["weight_hh"][0] if len(shapes["weight_hh"]) == 2 else 0
    units = total // n_gates
    outputs = shapes["weight_hr"][0] if len(shapes.get("weight_hr", ())) == 2 else units
    expected = {
        "weight_ih": (total, shapes["weight_ih"][-1] if len(shapes["weight_ih"]) == 2 else "inputs"), "weight_hh": (total, outputs),
        "bias_ih": (total,), "bias_hh": (total,), "weight_hr": (outputs, units),
    }
    if not units or total % n_gates:
        raise FormatError(f"{where}: weight_hh has shape {shapes['weight_hh']}, expected ({n_gates} x units, units) for {cell.name}; "
                          "the file is damaged or of another framework")
    for role, shape in shapes.items():
        if shape != expected.get(role, shape):
            raise FormatError(f"{where}: {role} has shape {shape}, expected {expected[role]} for {cell.name} with {units} units; "
                              "the file is damaged or of another framework")


def _params(cell, gates, recurrent, stored, where):
    """{name of cell.parameters: array}: the rows that belong to each net."""
    inputs, diagonal = {s.name for s in cell.inputs}, {n.out.name for n in cell.nets if n.kind == "diagonal"}
    units = len(stored["weight_hh"]) // len(gates)

    def rows(role, nets, net):
        k = nets.index(net)
        return stored[role][k * units:(k + 1) * units].copy()

    params, peepholes = {}, _peepholes(cell, gates, diagonal) if "peephole" in stored else []
    for name, edge in cell.parameters.items():
        if edge.net in peepholes and edge.source != "1":
            k = peepholes.index(edge.net)
            params[name] = stored["peephole"][k * units:(k + 1) * units].copy()
        elif edge.net == cell.output.name and "weight_hr" in stored:
            params[name] = stored["weight_hr"].copy()
        elif edge.source == "1":
            sides = (("bias_ih", gates), ("bias_hh", recurrent))
            found = [rows(role, nets, edge.net) for role, nets in sides if edge.net in nets and role in stored]
            params[name] = sum(found[1:], found[0]) if found else np.zeros(units, stored["weight_hh"].dtype)
        elif edge.source in inputs and edge.net in gates:
            params[name] = rows("weight_ih", gates, edge.net)
        elif edge.source not in inputs and edge.net in recurrent:
            params[name] = rows("weight_hh", recurrent, edge.net)
        else:
            raise FormatError(f"{where}: the layout of cell {cell.name} has no rows for {name} ({edge}); mend the cell's layout")
    return params


def _peepholes(cell, gates, diagonal):
    """The diagonal nets in the order of the gates that add them to their own."""
    added = [{s.name for s in unit.reads} for unit in cell.units]
    return [net for gate in gates for reads in added if gate in reads for net in sorted(reads & diagonal)]


def _selected_by(stack, members):
    """The name that selects a whole stack: its prefix, or where it has none its first layer."""
    return shown(stack or members[0].name)


def _with(members):
    """In words, the layers above the first, which are selected with it."""
    return f" (with {_listed(m.name for m in members[1:])})" if len(members) > 1 else ""


def _listed(names):
    return ", ".join(shown(name) for name in list(names)[:8])
