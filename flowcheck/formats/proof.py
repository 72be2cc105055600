"""Prove the order of the gates' rows: a wrong order has the right shapes, so only the net's own states settle it."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from .errors import FormatError, shown

__all__ = ["prove_gate_order"]

TOLERANCE = 1e-4  # the reference states are float32: what rounding leaves of 600 steps is a tenth of this or less
SCREEN = 100  # steps that tell orders apart; a wrong gate differs from the first step on
MOST_GATES = 5  # 120 orders


def prove_gate_order(layer, x, h, tolerance=TOLERANCE):
    """The layer, its gate_order extended by the proof: its own run reproduces the states that the framework gave.

    x   (time, batch, inputs), the layer's inputs from the first step of a sequence on
    h   (time, batch, units), its outputs for them from zero states

    Runs in float64. Every other order of the gates' rows is tried as well: where one reproduces the states too, the
    text says that nothing is proved.

    Raises FormatError, with the error and the order that does reproduce h, where the declared order does not.
    """
    x, h = np.asarray(x, np.float64), np.asarray(h, np.float64)
    if x.ndim != 3 or x.shape[-1] != layer.n_inputs or h.shape != (*x.shape[:2], layer.n_outputs) or not h.size:
        raise FormatError(f"{shown(layer.name)}: proof of the gate order got x {x.shape} and h {h.shape}, expected "
                          f"(time, batch, {layer.n_inputs}) and (time, batch, {layer.n_outputs})")
    error = _error(layer, x, h, np.float64)
    rows = _rows(layer)
    screen = (x[:SCREEN], h[:SCREEN])
    others = {letters: other for letters, other in _orders(layer, rows) if _error(other, *screen) < tolerance}
    if error >= tolerance:
        errors = {letters: _error(other, x, h, np.float64) for letters, other in others.items()}
        right = [letters for letters, e in sorted(errors.items(), key=lambda item: item[1]) if e < tolerance]
        found = (f"the order {right[0]} does (max |error| {errors[right[0]]:.1e}); reorder the rows"
                 if right else "no order of the gates' rows does; these are other weights, inputs or another cell")
        raise FormatError(f"{shown(layer.name)}: order {rows.text if rows else layer.cell.name} does not reproduce the "
                          f"given states: max |error| {error:.1e}, expected below {tolerance:.0e}; {found}")
    evidence = f"on {x.shape[1]} x {x.shape[0]} steps: max |error| {error:.1e}"
    also = [letters for letters, other in others.items() if _error(other, x, h, np.float64) < tolerance]
    verdict = f"not proved {evidence}, but {also[0]} reproduces the states as well" if also else f"proved {evidence}"
    return replace(layer, gate_order=", ".join(filter(None, (layer.gate_order, verdict))))


@dataclass(frozen=True)
class _Rows:
    """The row blocks of a layer: their letters, and per block {role: parameter name}.

    Roles are W_x, W_y_prev and b, or b_x and b_y where a layer keeps the two biases apart.
    """

    letters: tuple
    blocks: tuple

    @property
    def text(self):
        return " ".join(self.letters)


def _error(layer, x, h, dtype=np.float32):
    """Largest distance of the layer's outputs from h; infinite where they are not finite."""
    with np.errstate(all="ignore"):
        y = layer.astype(dtype).run(x.astype(dtype))[layer.cell.output.name]
        if layer.reverse:
            y = y[::-1]
        error = np.abs(y - h).max()
    return float(error) if np.isfinite(error) else float("inf")


def _rows(layer):
    """The blocks by the layout that the layer's gate_order names, the first one otherwise; None without layouts."""
    layouts = [lay for lay in layer.cell.layouts if 1 < len(lay.gates) <= MOST_GATES]
    layouts.sort(key=lambda lay: not layer.gate_order.startswith(" ".join(lay.letters)))
    if not layouts:
        return None
    layout, names = layouts[0], {(edge.net, edge.source): name for name, edge in layer.cell.parameters.items()}
    inputs, blocks = {s.name for s in layer.cell.inputs}, []
    for gate, recurrent in zip(layout.gates, layout.recurrent or layout.gates, strict=True):
        roles = {}
        for (net, source), name in names.items():
            if net not in (gate, recurrent):
                continue
            if source != "1":
                roles["W_x" if source in inputs else f"W_{source}"] = name
            else:
                roles["b" if gate == recurrent else "b_x" if net == gate else "b_y"] = name
        blocks.append(roles)
    return _Rows(layout.letters or layout.gates, tuple(blocks))


def _orders(layer, rows):
    """(letters, layer) for every other order. Two biases that the layer keeps as a sum move as the sum."""
    if rows is None:
        return
    n = len(rows.blocks)
    for order in permutations(range(n)):
        if order == tuple(range(n)):
            continue
        params = dict(layer.params)
        for k, gate in enumerate(order):
            given, wanted = rows.blocks[k], rows.blocks[gate]
            params |= {name: layer.params[given[role]] for role, name in wanted.items() if role in given}
            biases = [layer.params[name] for role, name in given.items() if role.startswith("b")]
            if "b_x" in wanted and "b_x" not in given:
                params |= {wanted["b_x"]: biases[0], wanted["b_y"]: np.zeros_like(biases[0])}
            elif "b" in wanted and "b" not in given:
                params[wanted["b"]] = sum(biases)
        yield " ".join(rows.letters[g] for g in order), replace(layer, params=params)
