"""Recurrent layers among tensors under torch's names."""

from .checks import number
from .errors import FormatError, shown
from .stored import Stored
from .torch_names import parse, strip_wrappers

__all__ = ["torch_layers"]


def torch_layers(tensors, cells, where):
    """([Stored], notes) of every recurrent layer in {tensor name: array}, one stack per prefix.

    Kind by the rows of weight_hh: 4H x H is an LSTM, 3H x H a GRU, H x H an RNN; with weight_hr an LSTM with projections.

    Raises FormatError for a file without recurrent layers, missing or inconsistent tensors.
    """
    prefixes = {}
    for name in tensors:
        parts = parse(strip_wrappers(name), where)
        if parts:
            prefixes.setdefault(parts.prefix, {})[name] = parts
    if not prefixes:
        raise FormatError(f"{where}: expected recurrent layers (names such as lstm.weight_hh_l0), got "
                          f"{_listing(tensors)}; save the state_dict of the model that has them")
    layers, notes = [], []
    for prefix, names in prefixes.items():
        layers += _stack(prefix, _stack_tensors(names, tensors, where, notes), cells, where)
    return layers, notes


def _stack_tensors(names, tensors, where, notes):
    """{(level, reverse): {role: array}} of one prefix."""
    stack, originals, halves = {}, {}, set()
    for name, parts in names.items():
        place = parts.level or 0, parts.reverse
        other = originals.setdefault((place, parts.role), name)
        if other != name:
            raise FormatError(f"{where}: {shown(name)} and {shown(other)} are one tensor of one layer; save only one")
        stack.setdefault(place, {})[parts.role] = number(tensors[name], name, where)
        if tensors[name].dtype.itemsize == 2:
            halves.add(str(tensors[name].dtype.newbyteorder("=")))
    notes.extend(f"{shown(parts.prefix) or 'weights'}: {half} converted to float32" for half in sorted(halves))
    return stack


def _stack(prefix, stack, cells, where):
    """The layers of one prefix, checked one by one and as a stack."""
    place = f"{where}: {shown(prefix or '(no prefix)')}"
    kinds = {at: _kind(roles, f"{place} level {at[0]}", cells) for at, roles in stack.items()}
    if len(set(kinds.values())) > 1:
        raise FormatError(f"{where}: {shown(prefix)} mixes {', '.join(sorted(set(kinds.values())))}, expected one kind at all "
                          "levels; the file is damaged or of another framework")
    levels = {k for k, _ in stack}
    base = prefix or next(iter(kinds.values())).partition("(")[0].lower()
    layers = []
    for (level, reverse), roles in sorted(stack.items()):
        if reverse and (level, False) not in stack:
            raise FormatError(f"{where}: {shown(prefix)} level {level} has a reverse direction only, expected both; "
                              "save the whole model")
        name = base + (f".l{level}" if len(levels) > 1 and level else "") + (".reverse" if reverse else "")
        layers.append(Stored(name, "torch", kinds[level, reverse], roles, prefix, level, reverse))
    if len({r for _, r in stack}) == 2 and len(stack) != 2 * len(levels):
        raise FormatError(f"{where}: {shown(prefix)} has both directions at some levels only, expected at all; save "
                          "the whole model")
    return layers


def _kind(roles, where, cells):
    """The framework's kind, from the shapes of one layer, which are checked against each other."""
    missing = {"weight_ih", "weight_hh"} - roles.keys()
    if missing or ("bias_ih" in roles) != ("bias_hh" in roles):
        wanted = sorted(missing) or ["both biases or none"]
        raise FormatError(f"{where}: expected {' and '.join(wanted)}, got "
                          f"{', '.join(sorted(roles.keys()))}; save the whole model")
    shapes = {role: array.shape for role, array in roles.items()}
    recurrent, projection = shapes["weight_hh"], shapes.get("weight_hr")
    rows, units = recurrent if len(recurrent) == 2 else (0, 0)
    if projection is not None:
        if len(projection) != 2 or projection[0] != units:
            raise FormatError(f"{where}: weight_hr has shape {projection}, expected (outputs, units) with {units} outputs as in weight_hh; "
                              "the file is damaged or of another framework")
        units = projection[1]
    if not units or rows % units:
        raise FormatError(f"{where}: weight_hh has shape {recurrent}, expected (gates x units, units); not a recurrent "
                          "weight of torch")
    expected = {"weight_ih": "(rows, inputs)", "bias_ih": f"({rows},)", "bias_hh": f"({rows},)"}
    for role, shape in shapes.items():
        if role in expected and (shape[:1] != (rows,) or len(shape) != (2 if role == "weight_ih" else 1)):
            raise FormatError(f"{where}: {role} has shape {shape}, expected {expected[role]} with {rows} rows as in "
                              "weight_hh; the file is damaged or of another framework")
    layouts = [lay for cell in cells.values() for lay in cell.layouts if lay.framework == "torch" and "(" not in lay.kind]
    kinds = {len(lay.gates): lay.kind for lay in layouts}
    if rows // units not in kinds:
        known = ", ".join(f"{n} for {kind}" for n, kind in sorted(kinds.items()))
        raise FormatError(f"{where}: weight_hh has {rows // units} blocks of {units} rows, expected {known}; no cell "
                          "in the catalogue fits")
    return kinds[rows // units] + ("" if projection is None else "(proj_size)")


def _listing(tensors):
    first = [f"{shown(name, 40)} {tuple(array.shape)}" for name, array in list(tensors.items())[:5]]
    return f"{len(tensors)} tensors ({', '.join(first)}{', ...' if len(tensors) > 5 else ''})"
