"""Faults put into a trained net, each with its exact truth: the rule that must be found, the units, and what follows from it.

A fault changes as little else as it can: a unit is first replaced by its mean in the biases of its readers, so that the rest of the net
works on as before. Weights are addressed by the net and the source that they connect, so that one function serves all cells.
"""

from dataclasses import dataclass, replace

import numpy as np

from flowcheck import Network, compile_cell

__all__ = ["FAULTS", "Fault", "Surgery"]


@dataclass(frozen=True)
class Fault:
    """A net with one fault.

    rule, units     what must be found, at one of these units (None: about the layer)
    follows         {rule: units} of what is true as well: a cell behind a closed gate is dead, too
    """

    name: str
    network: Network
    rule: str
    units: frozenset = frozenset({None})
    follows: dict | None = None

    def explains(self, rule, unit):
        """Whether a finding is about this fault."""
        return (rule == self.rule and unit in self.units) or unit in (self.follows or {}).get(rule, ())


class Surgery:
    """A copy of a one-layer net whose weights can be set; x (time, batch, inputs) are the inputs that means and spreads are taken on."""

    def __init__(self, network, x):
        self.network, self.x = network, x
        (layer,) = network.layers
        self.layer = replace(layer, params={k: np.array(v, float) for k, v in layer.params.items()})
        self.readout = replace(network.readout, W=np.array(network.readout.W, float), b=np.array(network.readout.b, float))
        self.kernel = compile_cell(layer.cell)
        self.run = layer.astype(float).run(x)
        self.name = {(edge.net, edge.source): name for name, edge in layer.cell.parameters.items()
                     if edge.source == "1" or layer.params[name].ndim == 2}
        self.kind = "lstm" if layer.cell.name == "lstm_peephole" else layer.cell.name

    def done(self):
        """The net as it is now."""
        return replace(self.network, layers=(self.layer,), readout=self.readout)

    def trajectory(self):
        """A run of the layer as it is now."""
        return self.layer.run(self.x)

    def units(self, rng, k):
        """k units among the half that varies most. Raises LookupError where fewer move at all."""
        y = self.run[self.layer.cell.output.name].std(axis=(0, 1))
        moving = [u for u in np.argsort(-y)[:len(y) // 2].tolist() if y[u] > 1e-3 * y.max()]
        if len(moving) < k:
            raise LookupError(f"{len(moving)} units move, {k} are needed")
        return rng.permutation(moving)[:k].tolist()

    def rows(self, net, unit, weights=0.0, bias=None):
        """Scale the weights that a net's unit reads, and set its bias where one is given."""
        for (n, source), name in self.name.items():
            if n == net and source != "1":
                self.layer.params[name][unit] *= weights
        if bias is not None:
            self.layer.params[self.name[net, "1"]][unit] = bias

    def read_from(self):
        """[(weights, bias, vector)] of every matrix that reads a vector of the layer one step later, and of the read-out."""
        states, found = self.kernel.states, []
        for (net, source), name in self.name.items():
            if source in states:
                found.append((self.layer.params[name], self.layer.params[self.name[net, "1"]], states[source]))
        return [*found, (self.readout.W, self.readout.b, self.layer.cell.output.name)]

    def hold_at_mean(self, unit):
        """Nobody reads the unit any more; its mean goes into the biases of those who did."""
        for W, b, vector in self.read_from():
            b += W[:, unit] * self.run[vector][..., unit].mean()
            W[:, unit] = 0.0


def bias_cell(surgery, rng):
    """The unit delivers a constant, and the biases of its readers are moved into the weights that read it."""
    (unit,) = surgery.units(rng, 1)
    constant = {
        "tanh": {"net": 1.0}, "irnn": {"net": 1.0},
        "lstm": {"net_in": 20.0, "net_f": -20.0, "net_c": 1.0, "net_out": 20.0},
        "gru": {"net_z": -20.0, "net_r": 0.0, "net_n": 1.0, "net_m": 0.0},
    }.get(surgery.kind)
    if constant is None:
        return None  # the carousel of 1997 starts at zero and cannot deliver a constant before it has drifted
    surgery.hold_at_mean(unit)
    for net, bias in constant.items():
        surgery.rows(net, unit, bias=bias)
    delivered = surgery.trajectory()[surgery.layer.cell.output.name][-1, 0, unit]
    for W, b, vector in surgery.read_from():
        if vector == surgery.layer.cell.output.name:
            spread = surgery.run[vector] @ W.T
            share = rng.uniform(0.3, 1.0) * spread.std(axis=(0, 1)) * rng.choice([-1, 1], len(b))
            if W is not surgery.readout.W:
                share[unit] = 0.0
            b -= share
            W[:, unit] = share / delivered
    return Fault("bias cell", surgery.done(), "bias-cell", frozenset({unit}))


def duplicate(surgery, rng):
    """A second unit gets what the first one reads; the first one's readers share their weights between the two."""
    first, second = surgery.units(rng, 2)
    surgery.hold_at_mean(second)
    for array in surgery.layer.params.values():
        array[second] = array[first]
    for W, _, _ in surgery.read_from():
        share = rng.uniform(0.3, 0.7)
        W[:, second] = share * W[:, first]
        W[:, first] *= 1 - share
    return Fault("duplicate cell", surgery.done(), "redundant-cell", frozenset({first, second}))


LINEAR = 1e-4
"""Share of its variation by which the third unit may differ from the sum of the two."""


def combination(surgery, rng):
    """A third unit is the sum of two that are driven in the linear range, with the same gates."""
    gates, driven = {
        "tanh": ((), ("net",)), "lstm": (("net_in", "net_f", "net_out"), ("net_c",)), "lstm1997": (("net_in", "net_out"), ("net_c",)),
        "gru": (("net_r", "net_z"), ("net_n", "net_m")),
    }.get(surgery.layer.cell.name, ((), ()))
    if not driven:
        return None  # a rectified sum is not the sum of rectified parts
    one, two, total = surgery.units(rng, 3)
    surgery.hold_at_mean(total)
    params, output = surgery.layer.params, surgery.layer.cell.output.name
    for (net, _), name in surgery.name.items():
        if net in gates:
            params[name][[two, total]] = params[name][one]
    for W, _, vector in surgery.read_from():
        if vector == output:
            part = rng.uniform(0.3, 0.7) * W[:, one]
            W[:, total] = part
            W[:, one] -= part
            W[:, two] -= part
    for _ in range(5):
        for (net, _), name in surgery.name.items():
            if net in driven:
                params[name][[one, two]] *= 0.1
                params[name][total] = params[name][one] + params[name][two]
        for W, _, vector in surgery.read_from():
            if vector == output:
                W[:, [one, two, total]] *= 10.0
        y = surgery.trajectory()[output]
        if np.std(y[..., total] - y[..., one] - y[..., two]) < LINEAR * np.std(y[..., total]):
            return Fault("linear combination", surgery.done(), "redundant-cell", frozenset({one, two, total}))
    return None


def drift(surgery, rng):
    """A memory cell that is fed one sign through an open gate and never forgets."""
    name = surgery.layer.cell.name
    if name not in ("lstm", "lstm1997"):
        return None  # states are bounded, or squashed by nothing
    (unit,) = surgery.units(rng, 1)
    surgery.hold_at_mean(unit)
    surgery.rows("net_in", unit, 0.1, 2.0)
    surgery.rows("net_c", unit, 0.1, 1.0)
    if name == "lstm":
        surgery.rows("net_f", unit, 0.0, 30.0)
    cells = frozenset({unit})
    return Fault("drift", surgery.done(), "state-drift", cells, {"length-dependent": cells, "bias-cell": cells, "dead-cell": cells})


def _stuck(surgery, rng, gate, bias, name):
    (unit,) = surgery.units(rng, 1)
    surgery.rows(gate, unit, 1.0, bias)
    cells = frozenset({unit})
    return Fault(name, surgery.done(), "stuck-gate", cells, {"dead-cell": cells})


def never_written(surgery, rng):
    """The gate that writes the cell stays shut."""
    gate = {"lstm": ("net_in", -60.0), "lstm1997": ("net_in", -60.0), "gru": ("net_z", 60.0)}.get(surgery.kind)
    return gate and _stuck(surgery, rng, *gate, "stuck gate: never written")


def never_read(surgery, rng):
    """The gate that reads the cell stays shut."""
    if surgery.kind not in ("lstm", "lstm1997"):
        return None
    return _stuck(surgery, rng, "net_out", -60.0, "stuck gate: never read")


def silent(surgery, rng):
    """The unit's candidate is zero, so it never leaves zero."""
    (unit,) = surgery.units(rng, 1)
    for W, b, vector in surgery.read_from():
        if vector == surgery.layer.cell.output.name:
            b += W[:, unit] * surgery.run[vector][..., unit].mean()
    for net in {"tanh": ["net"], "irnn": ["net"], "gru": ["net_n", "net_m"]}.get(surgery.layer.cell.name, ["net_c"]):
        surgery.rows(net, unit, bias=0.0)
    return Fault("dead cell: silent", surgery.done(), "dead-cell", frozenset({unit}), {"saturated": frozenset({unit})})


def unread(surgery, rng):
    """Nobody reads the unit."""
    (unit,) = surgery.units(rng, 1)
    surgery.hold_at_mean(unit)
    return Fault("dead cell: unread", surgery.done(), "dead-cell", frozenset({unit}), {"saturated": frozenset({unit})})


def saturation(surgery, rng):
    """What drives the squashing function is scaled up until less than 2 % of the slope is left while the unit still changes sign.

    One unit of a tanh net; the candidate of all units of a gated one.
    """
    name, n = surgery.layer.cell.name, surgery.layer.units
    vector, nets = {
        "tanh": ("y", ["net"]), "lstm": ("c", ["net_c"]), "gru": ("n", ["net_n", "net_m"]), "lstm1997": ("net_c", ["net_c"]),
    }.get(name, (None, ()))
    if vector is None:
        return None
    for unit in ([u] for u in surgery.units(rng, n // 2)) if name == "tanh" else [[*range(n)]]:
        before = {k: v.copy() for k, v in surgery.layer.params.items()}
        for _ in range(6):
            for net in nets:
                for (of, _), weights in surgery.name.items():
                    if of == net:
                        surgery.layer.params[weights][unit] *= 5.0
            value = surgery.trajectory()[vector][..., unit]
            size = np.abs(np.tanh(value / 2) if vector == "net_c" else value)  # g(z) = 2 tanh(z / 2)
            slope = (1 - size**2).mean(axis=(0, 1))
            jumps = (np.sign(value[1:]) != np.sign(value[:-1])).mean(axis=(0, 1))
            if np.mean((slope < 0.02) & (jumps > 0.05)) > 0.6:
                where = frozenset(unit) if name == "tanh" else frozenset({None})
                return Fault("saturation", surgery.done(), "saturated", where)
        surgery.layer.params.update(before)
    return None  # no unit changes sign however hard it is driven: what comes of it is a latch


def lost_state(surgery, rng):
    """Nothing of the past reaches the next step."""
    forget = {"lstm": ("net_f", -30.0), "gru": ("net_z", -30.0), "tanh": None, "irnn": None}
    name = surgery.kind
    if name not in forget:
        return None  # the carousel of 1997 cannot forget
    for unit in range(surgery.layer.units):
        for W, b, vector in surgery.read_from()[:-1]:
            b += W[:, unit] * surgery.run[vector][..., unit].mean()
            W[:, unit] = 0.0
        if forget[name]:
            surgery.rows(forget[name][0], unit, 0.0, forget[name][1])
    for parameter, edge in surgery.layer.cell.parameters.items():
        if edge.source in surgery.kernel.states and parameter not in surgery.name.values():
            surgery.layer.params[parameter][:] = 0.0  # peepholes
    everything = frozenset(range(surgery.layer.units))
    return Fault("lost state", surgery.done(), "unused-recurrence", follows={"redundant-cell": everything, "bias-cell": everything,
                                                                              "dead-cell": everything})


def weak_flow(surgery, rng):
    """Recurrent weights a fifth, gates that keep a fifth: error is lost within ten steps."""
    name = surgery.kind
    if name == "lstm1997":
        return None
    for W, _, _ in surgery.read_from()[:-1]:
        W *= 0.2
    for unit in range(surgery.layer.units):
        if name in ("lstm", "gru"):
            surgery.rows({"lstm": "net_f", "gru": "net_z"}[name], unit, 0.0, -1.5)
    return Fault("weak flow", surgery.done(), "vanishing-flow")


def strong_flow(surgery, rng):
    """A recurrent matrix with a growing eigenvalue, in rectified units, which nothing bounds."""
    if surgery.layer.cell.name != "irnn":
        return None
    W = surgery.layer.params[surgery.name["net", "y_prev"]]
    W *= 1.5 / np.abs(np.linalg.eigvals(W)).max()
    return Fault("strong flow", surgery.done(), "exploding-flow")


FAULTS = {f.__name__: f for f in (
    bias_cell, duplicate, combination, drift, never_written, never_read, silent, unread, saturation, lost_state, weak_flow, strong_flow)}
"""{name: put the fault into a Surgery, with rng; a Fault, or None where the cell cannot have it}"""
