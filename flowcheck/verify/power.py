"""Measured power: plant every kind of mistake in someone's own backward pass, from several lags on, and see which ones the check catches.

A planted backward pass is the user's own plus what the mistake changes in the matched cell's. It is first compared on the user's arguments;
where that sees nothing, the whole check runs on it.
"""

from dataclasses import dataclass, replace

import numpy as np

from .adjoint import Adjoint
from .arguments import Arguments
from .comparison import compare_gradients
from .expected import Expected
from .hard_inputs import randomised
from .intent import full
from .matching import match_forward
from .mutations import every_mutation, weight_mutations
from .rounding import Rounding, rounding_of
from .seeds import make_seeds
from .tangents import Tangents

__all__ = ["Power", "measure_power"]

LAGS = (0, 1, 2, 5, 10, 20, 50, 100)
SCALES = {"dropped": 0.0, "sign flipped": -1.0, "counted twice": 2.0, "a thousandth more": 1.001}
SAME = 1e-13
"""Relative change below which a planted mistake changes nothing: that of rounding."""


@dataclass(frozen=True)
class Power:
    """What would have been caught. table {(kind, lag): (caught, planted)}; missed: words of what was not; same: mistakes without effect."""

    cell: str
    steps: int
    table: dict
    missed: tuple
    same: int

    @property
    def caught(self):
        return sum(c for c, _ in self.table.values())

    @property
    def planted(self):
        return sum(n for _, n in self.table.values())

    def __str__(self):
        kinds, lags = dict.fromkeys(k for k, _ in self.table), sorted({lag for _, lag in self.table})
        width = max(map(len, kinds), default=0)
        lines = [f"{self.caught} of {self.planted} planted mistakes are caught ({self.cell}, T = {self.steps})",
                 f"  {'caught / planted, wrong from lag':{width}} " + "".join(f"{lag:>6}" for lag in lags)]
        for kind in kinds:
            shown = ("/".join(map(str, self.table[kind, lag])) if (kind, lag) in self.table else "" for lag in lags)
            lines.append(f"  {kind:{max(width, 32)}} " + "".join(f"{text:>6}" for text in shown))
        lines += [f"  {self.same} more change nothing here"] if self.same else []
        return "\n".join(lines + [f"  missed: {words}" for words in self.missed[:8]])


def measure_power(functions, arguments, cells, verify, seed=7, each=2, progress=lambda done, of: None):
    """The Power of the check on one right backward pass: `each` mistakes of every kind from each of LAGS on.

    functions, arguments   the user's, see `verify.arguments`
    verify                 verify(backward) -> Verification: the whole check, for what the comparison on these arguments does not see
    Raises ValueError where no cell of `cells` reproduces the forward pass over at least two steps.
    """
    rng, y = np.random.default_rng(seed), functions.outputs(arguments)
    match = match_forward(functions, arguments, y, cells)
    if match is None or arguments.steps < 2:
        raise ValueError("mistakes can be planted only where the forward pass is a cell of the catalogue, over two steps or more")
    seeds = [s for s in make_seeds(functions, arguments, y, rng) if s.t == arguments.steps - 1 or s.t is None]
    expected = _Remembered(functions, Tangents(functions, arguments, rng), full)
    right = [functions.grads(arguments, s.grad_outputs) for s in seeds]
    roundings = [rounding_of(functions, arguments, s.grad_outputs, rng, g) for s, g in zip(seeds, right, strict=True)]
    moved = [[r.draw()[0] for _ in range(2)] for r in roundings]
    other = randomised(arguments, rng)
    table, missed, same, plants = {}, [], 0, _plants(match, arguments, each)
    for done, (kind, mutation, scale, lag) in enumerate(plants):
        progress(done, len(plants))
        plant = _Plant(match, mutation, scale, lag)
        changes = [plant.change(arguments, s.grad_outputs) for s in seeds]
        if not any(map(_matters, changes, right)):
            change = plant.change(other, seeds[-1].grad_outputs)
            if not _matters(change, functions.grads(other, seeds[-1].grad_outputs)):
                same += 1
                continue
        answers = [Rounding(_sum(g, c), samples=[_sum(m, c) for m in some]) for g, some, c in zip(right, moved, changes, strict=True)]
        found = compare_gradients(expected, arguments, seeds, np.random.default_rng(seed), answers=answers)
        caught = any(one.verdict == "fail" for one in found) or verify(plant.planted(functions)).verdict == "fail"
        before = table.get((kind, lag), (0, 0))
        table[kind, lag] = before[0] + caught, before[1] + 1
        missed += [] if caught else [f"{mutation.words}, {kind}, at lags from {lag} on"]
    return Power(match.cell.name, arguments.steps, table, tuple(missed), same)


class _Remembered(Expected):
    """References do not depend on backward: each is computed once."""

    def __init__(self, *given):
        super().__init__(*given)
        self.known = {}

    def full(self, arguments, name, direction, seeds):
        key = name, direction.tobytes(), tuple(s.name for s in seeds)
        if key not in self.known:
            self.known[key] = super().full(arguments, name, direction, seeds)
        return self.known[key]


class _Plant:
    """One mistake, made at lags >= `lag`."""

    def __init__(self, match, mutation, scale, lag):
        self.match, self.mutation, self.scale, self.lag = match, mutation, scale, lag

    def change(self, arguments, grad_outputs):
        """{entry: what the mistake adds to the gradient}."""
        adjoint, errors = Adjoint(self.match.run(arguments)), self.match.errors(grad_outputs)
        right, wrong = adjoint.backward(errors), adjoint.backward(errors, self.mutation, self.lag, self.scale)
        sums = adjoint.gradients(right), adjoint.gradients(wrong, self.mutation, self.lag, self.scale)
        right, wrong = (self.match.gradients(arguments, s) for s in sums)
        return {k: wrong[k] - right[k] for k in right}

    def planted(self, functions):
        """The user's backward with the mistake in it."""
        def backward(params, inputs, state0, grad_outputs):
            found = functions.backward(params, inputs, state0, grad_outputs)
            arguments = Arguments.read(params, inputs, state0, functions.time_axis)
            return _sum(found, self.change(arguments, grad_outputs))
        return backward


def _plants(match, arguments, each):
    """[(kind, Mutation, scale, lag)], `each` mutations of every kind, spread over the terms."""
    lengths = tuple(match.kernel.lengths(match.params(arguments.groups["params"])).items())
    entries, kinds = {}, {}
    for block, param in match.blocks:
        entries.setdefault(block.entry, []).append(param)
    for mutation in (*every_mutation(match.cell, lengths), *weight_mutations(match.cell, entries, lengths)):
        variants = SCALES.items() if mutation.free_scale else [(_word(mutation), 1.0)]
        for kind, scale in variants:
            kinds.setdefault(kind, []).append((replace(mutation), scale))
    found = []
    for kind, rows in kinds.items():
        some = [rows[int(k)] for k in np.linspace(0, len(rows) - 1, min(each, len(rows)))]
        found += [(kind, mutation, scale, lag) for mutation, scale in some for lag in LAGS if lag < arguments.steps - 1]
    return found


def _word(mutation):
    if mutation.errors:
        return "errors shifted in time"
    if not mutation.weights:
        return mutation.kind
    if "source" in mutation.kind:
        return "source shifted in time"
    return {"last": "only the last step summed", "first": "assigned, not added", "not last": "a step left out",
            "not first": "a step left out"}.get(mutation.kind, mutation.kind)


def _matters(change, right):
    return any(np.abs(c).max(initial=0.0) > SAME * np.abs(right[k]).max(initial=0.0) for k, c in change.items() if right.get(k) is not None)


def _sum(grads, change):
    return {k: g if g is None or k not in change else g + change[k] for k, g in grads.items()}
