"""What looks like a fault and is none: put into trained nets, one unit each, with the rules that must not warn about it."""

from dataclasses import dataclass

import numpy as np

from flowcheck import Network

from .tasks import TASKS

__all__ = ["NEGATIVES", "Negative"]

CELL_RULES = ("bias-cell", "dead-cell", "redundant-cell", "saturated", "state-drift", "stuck-gate")
LONG = 1000


@dataclass(frozen=True)
class Negative:
    """A net, inputs (time, batch, n), and a unit about which none of the rules may warn."""

    name: str
    network: Network
    x: np.ndarray
    unit: int
    rules: tuple = CELL_RULES


def constant_gate(surgery, task, rng):
    """The input gate (update gate) of a unit stands at its mean: one parameter less, no harm."""
    net = {"lstm": "net_in", "lstm1997": "net_in", "gru": "net_z"}.get(surgery.layer.cell.name)
    if net is None:
        return None
    (unit,) = surgery.units(rng, 1)
    surgery.rows(net, unit, bias=float(np.clip(surgery.run[net][..., unit].mean(), -3.0, 3.0)))
    return Negative("constant gate", surgery.done(), surgery.x, unit, ("stuck-gate",))


def open_forget_gate(surgery, task, rng):
    """A forget gate (update gate) near 1 while little is written: memory, with healthy flow."""
    name = surgery.layer.cell.name
    if name not in ("lstm", "gru"):
        return None
    (unit,) = surgery.units(rng, 1)
    if name == "lstm":
        surgery.rows("net_f", unit, bias=9.0)
        surgery.rows("net_in", unit, bias=-3.5)
    else:
        surgery.rows("net_z", unit, bias=3.5)  # keeps 0.97, writes 0.03: in a GRU the two are one gate
    return Negative("forget gate near 1", surgery.done(), surgery.x, unit, ("stuck-gate", "state-drift", "saturated"))


def latch(surgery, task, rng):
    """A bit that is set and switched once in a thousand steps, by two channels of their own: when, and to what."""
    x = TASKS[task](rng, 4, steps=LONG)[0]
    strobe, value = np.zeros((2, *x.shape[:2]))
    for b in range(x.shape[1]):
        sign = rng.choice([-1.0, 1.0])
        for t, v in ((5, sign), (rng.integers(300, 700), -sign)):
            strobe[t, b], value[t, b] = 1.0, v
    wired = {
        "tanh": {"net": ({"value": 10.0, "self": 5.0}, 0.0)},
        "irnn": {"net": ({"value": 1.0, "self": 1.0}, 0.0)},
        "lstm": {"net_in": ({"strobe": 20.0}, -10.0), "net_f": ({"strobe": -20.0}, 10.0), "net_c": ({"value": 5.0}, 0.0),
                 "net_out": ({}, 5.0)},
        "lstm1997": {"net_in": ({"strobe": 20.0}, -10.0), "net_c": ({"value": 5.0}, 0.0), "net_out": ({}, 5.0)},
        "gru": {"net_z": ({"strobe": -20.0}, 10.0), "net_n": ({"value": 3.0}, 0.0), "net_m": ({}, 0.0)},
    }[surgery.layer.cell.name]
    return _wired("latch", surgery, rng, x, {"strobe": strobe, "value": value}, wired)


def counter(surgery, task, rng):
    """A state that adds up pulses, a channel of its own, and must grow; its output is almost linear in it."""
    wired = {
        "irnn": {"net": ({"pulse": 0.05, "self": 1.0}, 0.0)},
        "lstm": {"net_in": ({"pulse": 20.0}, -10.0), "net_f": ({}, 20.0), "net_c": ({}, 0.03), "net_out": ({}, 5.0)},
        "lstm1997": {"net_in": ({"pulse": 20.0}, -10.0), "net_c": ({}, 0.03), "net_out": ({}, 5.0)},
    }.get(surgery.layer.cell.name)
    if wired is None:
        return None
    pulses = (rng.random(surgery.x.shape[:2]) < 0.3).astype(float)
    return _wired("counter", surgery, rng, surgery.x, {"pulse": pulses}, wired)


def _wired(name, surgery, rng, x, channels, wired):
    """A unit that reads nothing but the new channels and itself, and that the read-out reads."""
    layer, source = surgery.layer, surgery.layer.cell.inputs[0].name
    (unit,) = surgery.units(rng, 1)
    size = (surgery.run[layer.cell.output.name] @ surgery.readout.W.T).std()
    surgery.hold_at_mean(unit)
    first = x.shape[-1]
    for (_, s), parameter in surgery.name.items():
        if s == source:
            W = layer.params[parameter]
            layer.params[parameter] = np.concatenate([W, np.zeros((len(W), len(channels)))], axis=1)
    for net, (weights, bias) in wired.items():
        surgery.rows(net, unit, bias=bias)
        for of, weight in weights.items():
            if of == "self":
                layer.params[surgery.name[net, "y_prev"]][unit, unit] = weight
            else:
                layer.params[surgery.name[net, source]][unit, first + [*channels].index(of)] = weight
    surgery.readout.W[:, unit] = size
    return Negative(name, surgery.done(), np.concatenate([x, np.stack([*channels.values()], axis=-1)], axis=-1), unit)


NEGATIVES = {f.__name__: f for f in (constant_gate, open_forget_gate, latch, counter)}
"""{name: put it into a Surgery, with the task and rng; a Negative, or None where the cell cannot have it}"""

