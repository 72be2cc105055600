"""Run the detectors and the baselines over all nets, healthy and faulty; one row per net and fault, kept in a JSON-lines file.

A finding that says that something is lost is a claim, whatever its severity. On a faulty net it is right where the fault explains it, else
where it is confirmed on inputs that the detector has not seen (`confirm`): a trained net may have faults of its own. What is neither is
false. A claim from severity warning on is an alarm.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from flowcheck import bptt
from flowcheck.detectors import SEVERITIES, detectors, diagnose
from flowcheck.formats import FormatError, InputSet, load, prove_gate_order, read_inputs

from .baselines import BASELINES, Seen
from .confirm import Task, confirmed, flow_truth
from .inject import FAULTS, Surgery
from .negatives import NEGATIVES
from .programs import CELLS, FOLDER, held_back

__all__ = ["LEARNED", "score_net"]

LEARNED = 0.75
"""Share of the constant answer's loss up to which a net counts as trained, and so as healthy."""
LAGS = 46
SEQUENCES = 4
FLOW_SEEDS = 2
"""Nets of each program whose flow is followed by the complex step as well, which takes long."""
FAULTY_SEEDS = 2
"""Nets of each program that faults are put into; all are looked at healthy."""
LOST = 2.0**-24
"""What the flow falls to, relative to lag 0, where it is lost: half an ulp of float32."""


def score_net(stem, folder=FOLDER):
    """[row] of one net: healthy, with each fault, with each hard negative."""
    architecture, task_name, seed = stem.split("-")
    path = Path(folder) / f"{stem}.npz"
    base = {"net": stem, "held_back": held_back(architecture, task_name)}
    if json.loads(path.with_suffix(".json").read_text())["loss_left"] > LEARNED:
        return [base | {"kind": "not learned"}]
    network = load(path, CELLS)
    (sets,) = read_inputs(path.with_suffix(".io.npz"), network)
    x, task = sets.x[:, :SEQUENCES], Task(task_name)
    rng = np.random.default_rng([*map(ord, stem)])
    rows = [base | {"kind": "healthy"} | _unit_rules(network, x, task) | _alarms(network, task)]
    if int(seed) < FLOW_SEEDS:
        rows[0] |= _flow_rules(network, x)
    if int(seed) >= FAULTY_SEEDS:
        return rows
    for put in FAULTS.values():
        fault = _put(put, network, x, rng)
        if fault:
            row = base | {"kind": "fault", "fault": fault.name, "rule": fault.rule} | _alarms(fault.network, task)
            row |= _flow_rules(fault.network, x) if fault.rule.endswith("-flow") else _unit_rules(fault.network, x, task, fault)
            rows.append(row)
    rows += [base | row for row in _swapped(network, x)]
    for put in NEGATIVES.values():
        negative = _put(put, network, x, task_name, rng)
        if negative:
            claimed = {f.rule for f in _claims(negative.network, negative.x, negative.rules) if negative.unit in _units(f)}
            rows.append(base | {"kind": "negative", "negative": negative.name, "claimed": sorted(claimed)})
    return rows


def _put(put, network, x, *arguments):
    """The net with it, None where it cannot have it."""
    try:
        return put(Surgery(network, x), *arguments)
    except LookupError:
        return None


def _units(finding):
    return {*finding.evidence["units"]} if finding.rule == "stuck-gate" else {finding.unit}


UNIT_RULES = sorted(rule for rule in detectors() if not rule.endswith("-flow"))


def _claims(network, x, rules):
    """Findings of some rules that say that something is lost."""
    result = diagnose(network, [InputSet("inputs", network.layers[0].name, x)], rules=rules, lags=LAGS)
    return [f for f in result.findings if _warns(f) or f.evidence.get("lost")]


def _warns(finding):
    return SEVERITIES.index(finding.severity) >= SEVERITIES.index("warning")


def _unit_rules(network, x, task, fault=None):
    """found: the fault, by its rule at its units; claimed: rules that claim something else; false: of these the ones not confirmed;
    warned: rules that raise an alarm, those about flow among them on a net without a fault."""
    findings = _claims(network, x, UNIT_RULES if fault else None)
    warned = sorted({f.rule for f in findings if _warns(f)})
    findings = [f for f in findings if f.rule in UNIT_RULES]
    explained = [f for f in findings if fault and any(fault.explains(f.rule, u) for u in _units(f))]
    rest = [f for f in findings if f not in explained]
    return {"found": fault is not None and any(f.rule == fault.rule for f in explained), "claimed": sorted({f.rule for f in rest}),
            "warned": warned, "false": sorted({f.rule for f in rest if not confirmed(f, network, x, task)})}


def _flow_rules(network, x):
    """What the flow rules say, and what the complex step says: the last lag above the limit, and the growth to the last lag."""
    result = diagnose(network, [InputSet("inputs", network.layers[0].name, x)], lags=LAGS)
    said = {f.rule: f.evidence.get("horizon") for f in result.findings if f.rule.endswith("-flow") and _warns(f)}
    norms = flow_truth(network.layers[0], x, LAGS)
    lost = np.flatnonzero(norms < LOST * norms[0])
    return {"flow_said": said, "horizon": int(lost[0] - 1) if len(lost) else None, "lost_at_end": bool(norms[-1] < LOST * norms[0]),
            "log10_growth": float(np.log10(max(norms[-1] / norms[0], 1e-300)))}


def _alarms(network, task):
    """Names of the baselines that raise an alarm."""
    layer = network.layers[0].astype(float)
    run = layer.run(task.x[:, :16])
    answer, errors = network.readout(run[layer.cell.output.name]), np.zeros_like(run[layer.cell.output.name])
    wrong = answer[task.steps] - task.target[task.steps, :16]
    errors[task.steps] = 2 / wrong.size * wrong @ network.readout.W
    seen = Seen(layer, task.x[:, :16], bptt(run, errors).params)
    return {"baselines": [name for name, rule in BASELINES.items() if rule(seen)]}


def _swapped(network, x):
    """Two gates' rows exchanged; the states of the right net are known, as a checkpoint's probe. And the right net beside them."""
    (layer,) = network.layers
    pairs = {"lstm": ("in", "f"), "gru": ("r", "z")}.get(layer.cell.name)
    if pairs is None:
        return
    h = layer.astype(float).run(x)[layer.cell.output.name]
    names = {n: n.replace(f"_{pairs[0]}", "_?").replace(f"_{pairs[1]}", f"_{pairs[0]}").replace("_?", f"_{pairs[1]}") for n in layer.params}
    wrong = replace(layer, params={n: layer.params[other] for n, other in names.items()})
    for kind, given in (("fault", wrong), ("healthy states", layer)):
        try:
            refused = "not proved" in prove_gate_order(given, x, h).gate_order
        except FormatError:
            refused = True
        yield {"kind": kind, "fault": "swapped gate order", "rule": "gate-order", "found": refused}
