"""Stuck gates: a gate that stands at 0 or 1 all the time, and so closes a path for good.

What a gate closes is read off the cell's formulas; whether that matters depends on the path. A cell that is never written or never read is
lost; a memory that is always kept, or never needed, is not. That a gate is as good as shut is settled by shutting it.
"""

from functools import cache

import numpy as np
import sympy

from ..notation import ROUTINES
from .effects import effects_of_holding
from .finding import Finding, Threshold

RULE = "stuck-gate"
DEVIATIONS = 4.0
"""How far beyond its mean a gate's net input is expected on inputs not seen: once in 30,000 steps, were it Gaussian."""
REACH = Threshold(0.02, "set here: over all steps and sequences the gate moves by less than 2 % of its range, and stays within 2 % of an "
                        "end of it")

EFFECT = Threshold(0.01, "set here: 1 % of the natural variation of what reads the layer; little through a gate adds up over many steps")


def detect(context):
    """Per gate and unit: the range of its values over all runs, and what the formulas lose where it is replaced by the end at which it
    stands. On inputs not seen it may move further: its net input must be DEVIATIONS of its own deviations away from moving the gate.

    Where it closes the cell (never written, never read), the cell is lost if shutting the gate has no effect, in all sequences as long as
    the first (see `effects`).
    """
    findings = []
    for gate, (low, high) in gates(context.cell).items():
        width = high - low
        smallest = np.min([run.trajectory[gate].min(axis=(0, 1)) for run in context.runs], axis=0)
        largest = np.max([run.trajectory[gate].max(axis=(0, 1)) for run in context.runs], axis=0)
        lowest, highest = _expected(context, gate)
        for end, stands in ((low, np.maximum(largest, highest) < low + REACH.value * width),
                            (high, np.minimum(smallest, lowest) > high - REACH.value * width)):
            closed = what_it_closes(context.cell, gate, end)
            cells = context.layer.units // len(stands)  # of a block, which share the gate
            stuck = np.flatnonzero(stands & (largest - smallest < REACH.value * width))
            shut = [None] * len(stuck)
            if closed in ("write", "read"):
                shut = effects_of_holding(context, context.pooled[0], stuck, np.full(len(stuck), end), EFFECT.value, gate).tolist()
            for k, effect in zip(stuck.tolist(), shut, strict=True):
                evidence = {"gate": gate, "smallest": float(smallest[k]), "largest": float(largest[k]), "closes": closed,
                            "effect_shut": effect, "effect_threshold": EFFECT.value, "effect_threshold_source": EFFECT.source,
                            "units": [*range(k * cells, (k + 1) * cells)], "lost": effect is not None and effect < EFFECT.value,
                            "sequences": sum(run.trajectory.batch for run in context.runs)}
                findings.append(_finding(context, gate, k * cells, end, closed, evidence))
    return findings


def _expected(context, gate):
    """(lowest, highest) value of each unit's gate where its net input is DEVIATIONS standard deviations from its mean."""
    squash = _squash(context.cell, gate)
    reads = sorted(squash.free_symbols, key=str)
    argument = sympy.lambdify(reads, squash.args[0])
    nets = [argument(*(run.trajectory[s.name] for s in reads)) for run in context.runs]
    nets = np.concatenate([net.reshape(-1, net.shape[-1]) for net in nets])
    routine, spread = ROUTINES[type(squash).__name__], DEVIATIONS * nets.std(axis=0)
    return routine(nets.mean(axis=0) - spread), routine(nets.mean(axis=0) + spread)


@cache
def gates(cell):
    """{name: (lowest, highest value)} of the vectors that are a squashing function of a net, never negative, and multiply something."""
    handed_on = {n.sources[0]: n.out for n in cell.nets if n.kind == "shared"}  # one gate for the units of its block
    found = {}
    for unit in cell.units:
        low, high = getattr(unit.formula, "bounds", (None, None))
        if low == 0 and high is not None and any(_multiplies({unit.out, handed_on.get(unit.out)}, u.formula) for u in cell.units):
            found[unit.out.name] = (float(low), float(high))
    return found


def _multiplies(symbols, formula):
    return any(s is not None and sympy.diff(formula, s).free_symbols - symbols for s in symbols)


@cache
def what_it_closes(cell, gate, end):
    """What a gate standing at this end does to the cell.

        "write"    without its previous value the state would be 0: nothing is added to it
        "memory"   the state does not depend on its previous value by a pointwise path
        "read"     the output depends on nothing
        "past"     a recurrent connection is without effect
        ""         none of these: the gate keeps a path open
    """
    before, after = _of_nets(cell), _of_nets(cell, {gate: sympy.Rational(end)})
    for old, new in cell.state.items():
        if old in after[new].free_symbols and after[new].subs(old, 0) == 0:
            return "write"
        if old in before[new].free_symbols - after[new].free_symbols:
            return "memory"
    if not after[cell.output].free_symbols:
        return "read"
    states = set(cell.state)
    of_state = {n.out for n in cell.nets if states.intersection(n.sources)} - _squash(cell, gate).free_symbols
    used = [set().union(*(f[new].free_symbols for new in cell.state.values())) for f in (before, after)]
    silenced = [v for v in before if before[v].free_symbols & states and not after[v].free_symbols and v.name != gate]
    return "past" if silenced or of_state & (used[0] - used[1]) else ""


def _of_nets(cell, values=None):
    """{vector: its formula in nets and previous states}, one step, pointwise; some vectors replaced by values."""
    known = {}
    for e in cell.equations:
        if e in cell.nets:
            known[e.out] = known.get(e.sources[0], e.sources[0]) if e.kind == "shared" else e.out
        else:
            known[e.out] = sympy.sympify(e.formula).subs(known, simultaneous=True)
        known[e.out] = (values or {}).get(e.out.name, known[e.out])
    return known


def _squash(cell, gate):
    """The squashing function that gives the gate, of one net or of the sum of several (a peephole has its own)."""
    return next(u.formula for u in cell.units if u.out.name == gate)


def _finding(context, gate, unit, end, closed, evidence):
    where = f"{gate} stays {'below' if end < 0.5 else 'above'} {evidence['largest' if end < 0.5 else 'smallest']:.3g}"
    words, remedy = {
        "write": ("nothing new is ever stored",
                  f"move the bias of {gate} towards the middle, or scale down what feeds it, and train on"),
        "read": ("what the cell stores is never read",
                 f"move the bias of {gate} towards the middle and train on; a cell that stays unread can be removed"),
        "memory": ("the cell keeps nothing from one step to the next: it serves as a feed-forward unit",
                   f"if memory is needed: raise the bias of {gate} so that its values start near 1"),
        "past": ("a recurrent connection of the cell is without effect",
                 f"if the past matters there: raise the bias of {gate}"),
        "": ("the path it gates is always open, which is memory or a plain connection, not a fault", "nothing to mend"),
    }[closed]
    if closed in ("write", "read") and not evidence["lost"]:
        words, remedy = f"little passes, but what does matters ({evidence['effect_shut']:.1%} once it is shut)", "nothing to mend"
    return Finding(RULE, context.layer.name, unit, "info", evidence, REACH.value, REACH.source, remedy, f"{where}: {words}")
