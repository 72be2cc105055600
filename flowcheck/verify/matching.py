"""Find out how someone's forward pass is a cell of the catalogue: which array holds which weights, in which gate order and layout.

Nothing is guessed from names: candidates come from the shapes, where not all arrays have the names of the cell's weights, and one is
taken if the compiled cell gives the same outputs on random weights, inputs and states. One role (inputs, previous outputs, biases) is
settled at a time, with the weights of the others set to zero.
"""

from itertools import permutations, product

import numpy as np

from ..kernels import ShapeError, compile_cell
from .arguments import REFUSED
from .layout import layouts
from .match import Match
from .readings import Block, Roles, readings

__all__ = ["match_forward"]

SHORT = 3
CLOSE = 1e-9
"""Two orders of the same sums differ by rounding over three steps."""
MOST_READINGS = 256


def match_forward(functions, arguments, y, cells):
    """The Match of the first cell that computes the same outputs, else None."""
    if not arguments.steps or arguments.steps < 1:
        return None
    rng = np.random.default_rng(20)
    steps = min(SHORT, arguments.steps)
    short = _randomised(arguments.window(0, steps), rng)
    for layout in layouts(functions, arguments, y):
        parts = {n: _acts_on(functions, short, layout, n) for n in arguments.groups["params"]}
        if any(p is None for p in parts.values()):
            continue
        for cell in cells:
            if len(cell.inputs) != 1 or not set(cell.sizes.values()) <= {"units", "inputs", "blocks"}:
                continue  # lengths of other axes cannot be told from the outputs
            for block_size in ((1, 2, 3, 4) if "blocks" in cell.sizes.values() else (1,)):
                if layout.units % block_size:
                    continue
                lengths = {"units": layout.units, "inputs": layout.width, "blocks": layout.units // block_size}
                match = _by_name(functions, short, layout, cell, lengths) or _match_cell(functions, short, layout, cell, lengths, parts)
                if match is not None and _name_outputs(match, functions, arguments, y):
                    return match
    return None


def _randomised(arguments, rng):
    return arguments.with_values({n: 0.7 * rng.normal(size=a.shape) for n, a in arguments.values().items()})


def _acts_on(functions, arguments, layout, name):
    """(must, may, entries): what an array reads for certain and at most ("x", "h" a state, "1" nothing: a bias; "now" a vector of its own
    step, as a diagonal may), and the entries of state0 that alone make it act. An array that acts on no output reads nothing; None where
    the functions do not take the trial.

    What does not act at the first step but later acts through a state: one that is an entry, or one that is zero at the start.
    """
    values, rng = arguments.values(), np.random.default_rng(5)
    if name not in values:
        return None
    states = [n for n in arguments.groups["state0"] if n in values]
    first = arguments.window(0, 1)
    whole = layout.x not in values
    changed = {name: values[name] + rng.normal(size=values[name].shape)}

    def acts(trial, x=True, live=states):
        quiet = {n: np.zeros_like(values[n]) for n in states if n not in live}
        if not x and not whole:
            quiet[layout.x] = np.zeros_like(trial.values()[layout.x])
        for turned in ({}, {n: np.abs(a) for n, a in trial.values().items()}):  # rectified units may all be silent
            before, after = (functions.outputs(trial.with_values(turned | quiet | extra))[layout.output] for extra in ({}, changed))
            if before.shape != after.shape or not np.array_equal(before, after):
                return True
        return False

    try:
        if not acts(arguments):
            return set(), set(), frozenset()
        if whole:
            return set(), {"1"} if values[name].ndim == 1 else {"x", "h", "1"}, frozenset()
        vector = values[name].ndim == 1 or (1 in values[name].shape and layout.units > 1)  # a weight of one unit is a row, too
        if acts(first, x=False, live=()):
            return (set(), {"1", "now"}, frozenset()) if vector else ({"1"}, {"x", "h", "1"}, frozenset())
        if not acts(first, x=False):
            must = {"x"} if acts(first) else set()
            if acts(arguments, x=False):
                return must, {"h", "1"} if vector and not must else {"x", "h", "1"}, frozenset()
            return must, {"x"} if states else {"x", "h", "1"}, frozenset()
        entries = frozenset(s for s in states if acts(first, x=False, live=(s,)))
        if vector:  # a bias behind a closed gate acts only where a state does
            return set(), {"h", "1"}, entries
        must = {"h", "x"} if acts(first, live=()) else {"h"}
        return must if layout.units > 1 else set(), {"x", "h", "1"}, entries
    except REFUSED:
        return None


def _by_name(functions, arguments, layout, cell, lengths):
    """The Match where every array has the name and shape of the cell's weights; None where one has not, or the outputs differ."""
    params, axes = arguments.groups["params"], compile_cell(cell).axes
    if params.keys() != axes.keys() or any(params[n].shape != tuple(lengths[a] for a in found) for n, found in axes.items()):
        return None
    roles = {name: role for role, nets in Roles(cell, lengths).params.items() for name in nets.values()}
    blocks = [(Block(n, 0, roles[n], (slice(None),) * a.ndim, False, len(a)), n) for n, a in params.items()]
    wanted = functions.outputs(arguments)[layout.output]
    found = (Match(functions, cell, layout, blocks, states, lengths) for states in _state_maps(arguments, layout, cell, lengths, [], {}))
    return next((match for match in found if _same_output(match, arguments, wanted)), None)


def _match_cell(functions, arguments, layout, cell, lengths, parts):
    roles, groups = Roles(cell, lengths), {}
    diagonals = any(role.startswith("diagonal") for role in roles.params)
    for n, part in parts.items():
        if part[1]:  # arrays of one shape that act on the same things are read alike, but for biases and diagonals
            shape = arguments.groups["params"][n].shape
            groups.setdefault((shape, *map(frozenset, part), n if diagonals and len(shape) == 1 else ""), []).append(n)
    options = []
    for (shape, must, may, *_), names in groups.items():
        per_name = [readings(n, shape, roles, must, may) for n in names]
        if not per_name[0]:
            return None
        options.append([sum((p[k] for p in per_name), []) for k in range(len(per_name[0]))])
    acting, tried = {n: part[2] for n, part in parts.items()}, 0
    for choice in product(*options):
        blocks = sum(choice, [])
        if not _covers(blocks, roles):
            continue
        tried += 1
        if tried > MOST_READINGS:
            return None
        for states in _state_maps(arguments, layout, cell, lengths, blocks, acting):
            match = _settle(functions, arguments, layout, cell, lengths, roles, blocks, states)
            if match is not None:
                return match
    return None


def _state_maps(arguments, layout, cell, lengths, blocks, acting):
    """[{previous state of the cell: entry of state0}] that the shapes allow, and the arrays that act on single states."""
    entries = [n for n, a in arguments.groups["state0"].items() if a.dtype.kind == "f"]
    width = {n: layout.state(arguments.groups["state0"][n]).shape[-1] for n in entries}
    entries = [n for n in entries if width[n] in lengths.values()]
    count, found = min(len(entries), len(cell.state)), []
    for pick in permutations(cell.state, count):
        states = {s.name: n for s, n in zip(pick, entries[:count], strict=True)}
        fits = all(lengths[cell.sizes[old]] == width[n] for old, n in states.items())
        if fits and all(b.role not in states or not acting[b.entry] or states[b.role] in acting[b.entry] for b in blocks):
            found.append(states)
    return found or [{}]


def _covers(blocks, roles):
    """Whether the blocks can be all weights of the cell: one block for each, biases any number of times or never."""
    counts = {role: 0 for role in roles.params}
    for b in blocks:
        counts[b.role] += 1
    return all(counts[r] == len(nets) if r != "1" else True for r, nets in roles.params.items())


def _settle(functions, arguments, layout, cell, lengths, roles, blocks, states):
    """Assign gates to blocks, one role after the other; those settled before take part where a state is no entry, but zero at the start,
    so that a role alone might not act."""
    settled, alone = [], len(states) == len(cell.state)
    for role in sorted(roles.params, key=lambda r: (r == "1", r.startswith("diagonal"), r != "x")):
        mine = [b for b in blocks if b.role == role]
        if not mine:
            continue
        quiet = _only(arguments, blocks, mine if alone else [*(b for b, _ in settled), *mine])
        wanted = functions.outputs(quiet)[layout.output]
        for assigned in _assignments(mine, roles.params[role], settled, cell):
            match = Match(functions, cell, layout, assigned if alone else [*settled, *assigned], states, lengths)
            if _same_output(match, quiet, wanted, zero_rest=roles):
                settled += assigned
                break
        else:
            return None
    match = Match(functions, cell, layout, settled, states, lengths)
    return match if _same_output(match, arguments, functions.outputs(arguments)[layout.output]) else None


def _only(arguments, blocks, mine):
    """The arguments with all weights zero but those of some blocks; entries that do not act stay."""
    values = {n: np.zeros_like(arguments.groups["params"][n]) for n in {b.entry for b in blocks}}
    for b in mine:
        values[b.entry][b.index] = arguments.groups["params"][b.entry][b.index]
    return arguments.with_values(values)


def _assignments(blocks, nets, settled, cell):
    """[(Block, parameter)] lists: per array an order of gates; orders already settled for an array of as many gates come first."""
    by_entry = {}
    for b in blocks:
        by_entry.setdefault(b.entry, []).append(b)
    net_of = {name: edge.net for name, edge in cell.parameters.items()}
    known = {}
    for b, param in settled:
        known.setdefault(b.entry, {})[b.slot] = net_of[param]
    hints = {tuple(v[k] for k in sorted(v)) for v in known.values()}
    once = blocks[0].role != "1"
    if once and all(len(v) == 1 for v in by_entry.values()):
        flat = [v[0] for v in by_entry.values()]
        for order in permutations(nets, len(flat)):
            yield [(b, nets[n]) for b, n in zip(flat, order, strict=True)]
        return
    orders = []
    for entry, parts in by_entry.items():
        given = [tuple(known[entry][b.slot] for b in parts)] if entry in known and all(b.slot in known[entry] for b in parts) else []
        every = sorted(permutations(nets, len(parts)), key=lambda o: o not in hints)
        orders.append([o for o in given if set(o) <= set(nets)] + [o for o in every if o not in given])
    for pick in product(*orders):
        if once and len({n for order in pick for n in order}) < len(nets):
            continue
        yield [(b, nets[n]) for parts, order in zip(by_entry.values(), pick, strict=True) for b, n in zip(parts, order, strict=True)]


def _same_output(match, arguments, wanted, zero_rest=None):
    if zero_rest is not None:
        match = _with_zeros(match, zero_rest)
    try:
        run = match.run(arguments)
    except (ShapeError, ValueError):
        return False
    return _close(match, run[match.cell.output.name], wanted)


def _close(match, got, wanted):
    axis = match.functions.output_axis(match.layout.output, wanted)
    wanted = match.layout.over_time(wanted, axis)
    return got.shape == wanted.shape and np.allclose(got, wanted, rtol=CLOSE, atol=CLOSE)


def _with_zeros(match, roles):
    """The match with zero weights where no block is assigned yet."""
    known = {param for _, param in match.blocks}
    sizes, cell, lengths = roles.sizes, match.cell, match.lengths

    class Quiet(Match):
        def params(self, values):
            found = super().params(values)
            for role, nets in roles.params.items():
                for net, name in nets.items():
                    if name not in known:
                        rows = lengths[cell.sizes[net]]
                        found[name] = np.zeros(rows if role == "1" or role.startswith("diagonal") else (rows, sizes[role]))
            return found

    return Quiet(match.functions, match.cell, match.layout, match.blocks, match.states, match.lengths)


def _name_outputs(match, functions, arguments, y):
    """Find the cell's vector behind every output over time; False where the user's own arguments do not confirm the match."""
    match.shapes = y
    run = match.run(arguments)
    if not _close(match, run[match.cell.output.name], y[match.layout.output]):
        return False
    vectors = [match.cell.output.name, *(s.name for s in match.cell.state.values()), *run.values]
    for name, v in y.items():
        axis = functions.output_axis(name, v)
        if axis is None or v.shape[axis] != arguments.steps or v.ndim > 3:
            continue
        laid = match.layout.over_time(v, axis)
        for vector in dict.fromkeys(vectors):
            if run[vector].shape == laid.shape and np.allclose(run[vector], laid, rtol=CLOSE, atol=CLOSE):
                match.outputs[name] = vector
                break
    return True
