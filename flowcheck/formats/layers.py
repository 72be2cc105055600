"""Layers from tensors under torch's names, by the layouts that the cells declare."""

from dataclasses import replace

import numpy as np

from ..network import Layer
from .checks import check_layer, check_stack, number
from .errors import FormatError, shown
from .torch_names import parse, strip_wrappers

__all__ = ["layout_of", "torch_layers"]


def torch_layers(tensors, cells, where, layer=None):
    """(layers, notes) of every recurrent layer in {tensor name: array}.

    Kind by the rows of weight_hh: 4H x H is an LSTM, 3H x H a GRU, H x H an RNN. Rows are split in the order of the
    cell's torch Layout; biases of both sides are summed where one net has both. Stacks of several prefixes whose widths
    chain are levels of one stack; `layer` takes one prefix only.

    Raises FormatError for a file without recurrent layers, projections, missing or inconsistent tensors.
    """
    names = {name: parse(strip_wrappers(name), where) for name in tensors}
    prefixes = {}
    for name, parts in names.items():
        if parts:
            prefixes.setdefault(parts.prefix, {})[name] = parts
    if not prefixes:
        raise FormatError(f"{where}: expected recurrent layers (names such as lstm.weight_hh_l0), got "
                          f"{_listing(tensors)}; save the state_dict of the model that has them")
    chosen = [p for p in prefixes if layer is None or p == layer or p.startswith(f"{layer}.")]
    if not chosen:
        raise FormatError(f"{where}: expected a recurrent layer {shown(layer)!r}, got {_listed(prefixes)}; "
                          "select one of these")
    layers, notes, depth = [], [], 0
    for prefix in chosen:
        found = _stack(prefix, _stack_tensors(prefixes[prefix], tensors, where, notes), cells, where, notes)
        layers += [replace(one, level=one.level + depth) for one in found]
        depth += 1 + max(one.level for one in found)
    layers = check_stack(layers, where)
    if len(chosen) > 1:
        notes.append(f"{_listed(chosen)} taken as one stack in this order: their widths chain, the file does not say")
    return layers, notes


def layout_of(cells, framework, kind):
    """(cell, layout) of a framework's kind; tanh where kinds differ in their nonlinearity only."""
    layouts = [(cell, layout) for cell in cells.values() for layout in cell.layouts]
    fits = [(cell, layout) for cell, layout in layouts if (layout.framework, layout.kind) == (framework, kind)]
    return min(fits, key=lambda fit: fit[1].nonlinearity not in ("", "tanh"))


def _stack_tensors(names, tensors, where, notes):
    """{(level, reverse): {role: array}} of one prefix."""
    stack, originals, halves = {}, {}, set()
    for name, parts in names.items():
        if parts.role.endswith("hr"):
            raise FormatError(f"{where}: {shown(name)}: LSTM with projections (proj_size), which is not supported; "
                              "expected weight_ih, weight_hh and biases only")
        place = parts.level or 0, parts.reverse
        other = originals.setdefault((place, parts.role), name)
        if other != name:
            raise FormatError(f"{where}: {shown(name)} and {shown(other)} are one tensor of one layer; save only one")
        stack.setdefault(place, {})[parts.role] = number(tensors[name], name, where)
        if tensors[name].dtype.itemsize == 2:
            halves.add(str(tensors[name].dtype.newbyteorder("=")))
    notes.extend(f"{shown(parts.prefix) or 'weights'}: {half} converted to float32" for half in sorted(halves))
    return stack


def _stack(prefix, stack, cells, where, notes):
    """The layers of one prefix, checked one by one and as a stack."""
    place = f"{where}: {shown(prefix or '(no prefix)')}"
    kinds = {_kind(roles, f"{place} level {k}", cells) for (k, _), roles in stack.items()}
    if len(kinds) > 1:
        raise FormatError(f"{where}: {shown(prefix)} mixes {', '.join(sorted(kinds))}, expected one kind at all "
                          "levels; the file is damaged or of another framework")
    kind = kinds.pop()
    cell, layout = layout_of(cells, "torch", kind)
    base, several = prefix or kind.lower(), len({k for k, _ in stack}) > 1
    layers = []
    for (level, reverse), roles in sorted(stack.items()):
        if reverse and (level, False) not in stack:
            raise FormatError(f"{where}: {shown(prefix)} level {level} has a reverse direction only, expected both; "
                              "save the whole model")
        name = base + (f".l{level}" if several and level else "") + (".reverse" if reverse else "")
        params = _params(cell, layout, roles, f"{where}: {shown(name)}")
        order = f"{' '.join(layout.letters)} (torch convention)"
        layers.append(check_layer(Layer(name, cell, params, level, reverse, order), where))
        if "bias_ih" not in roles:
            notes.append(f"{name}: no biases in the file, taken as zero")
    if layout.nonlinearity:
        notes.append(f"{base}: nonlinearity {layout.nonlinearity} assumed, a state_dict does not record it")
    if len({r for _, r in stack}) == 2 and len(stack) != 2 * len({k for k, _ in stack}):
        raise FormatError(f"{where}: {shown(prefix)} has both directions at some levels only, expected at all; save "
                          "the whole model")
    return check_stack(layers, where)


def _kind(roles, where, cells):
    """The framework's kind, from the shapes of one layer, which are checked against each other."""
    missing = {"weight_ih", "weight_hh"} - roles.keys()
    if missing or ("bias_ih" in roles) != ("bias_hh" in roles):
        wanted = sorted(missing) or ["both biases or none"]
        raise FormatError(f"{where}: expected {' and '.join(wanted)}, got "
                          f"{', '.join(sorted(roles.keys()))}; save the whole model")
    shapes = {role: array.shape for role, array in roles.items()}
    recurrent = shapes["weight_hh"]
    rows, units = recurrent if len(recurrent) == 2 else (0, 0)
    if not units or rows % units:
        raise FormatError(f"{where}: weight_hh has shape {recurrent}, expected (gates x units, units); not a recurrent "
                          "weight of torch")
    expected = {"weight_ih": "(rows, inputs)", "bias_ih": f"({rows},)", "bias_hh": f"({rows},)"}
    for role, shape in shapes.items():
        if role != "weight_hh" and (shape[:1] != (rows,) or len(shape) != (2 if role == "weight_ih" else 1)):
            raise FormatError(f"{where}: {role} has shape {shape}, expected {expected[role]} with {rows} rows as in "
                              "weight_hh; the file is damaged or of another framework")
    kinds = {len(lay.gates): lay.kind for cell in cells.values() for lay in cell.layouts if lay.framework == "torch"}
    if rows // units not in kinds:
        known = ", ".join(f"{n} for {kind}" for n, kind in sorted(kinds.items()))
        raise FormatError(f"{where}: weight_hh has {rows // units} blocks of {units} rows, expected {known}; no cell "
                          "in the catalogue fits")
    return kinds[rows // units]


def _params(cell, layout, roles, where):
    """{name of cell.parameters: array}: the rows that the layout gives to each net."""
    inputs = {s.name for s in cell.inputs}
    output_prev = {old.name for old, new in cell.state.items() if new == cell.output}
    recurrent = layout.recurrent or layout.gates
    units = roles["weight_hh"].shape[1]

    def rows(role, nets, net):
        k = nets.index(net)
        return roles[role][k * units:(k + 1) * units].copy()

    params = {}
    for name, edge in cell.parameters.items():
        if edge.source == "1":
            sides = (("bias_ih", layout.gates), ("bias_hh", recurrent))
            found = [rows(role, nets, edge.net) for role, nets in sides if edge.net in nets and role in roles]
            params[name] = sum(found[1:], found[0]) if found else np.zeros(units, roles["weight_hh"].dtype)
        elif edge.source in inputs and edge.net in layout.gates:
            params[name] = rows("weight_ih", layout.gates, edge.net)
        elif edge.source in output_prev and edge.net in recurrent:
            params[name] = rows("weight_hh", recurrent, edge.net)
        else:
            raise FormatError(f"{where}: the torch layout of cell {cell.name} has no rows for {name} ({edge}); mend "
                              "the cell's layout")
    return params


def _listed(prefixes):
    return ", ".join(shown(p or "(no prefix)") for p in list(prefixes)[:8])


def _listing(tensors):
    first = [f"{shown(name, 40)} {tuple(array.shape)}" for name, array in list(tensors.items())[:5]]
    return f"{len(tensors)} tensors ({', '.join(first)}{', ...' if len(tensors) > 5 else ''})"
