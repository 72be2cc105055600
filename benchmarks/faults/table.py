"""The table of the benchmark: precision and recall per rule, false alarms, hard negatives, baselines, each with an interval."""

import numpy as np
from scipy.stats import binomtest

from flowcheck.detectors.exploding_flow import LARGE

from .baselines import BASELINES
from .score import UNIT_RULES

__all__ = ["markdown", "summary"]

OURS = ("flowcheck, claims", "flowcheck, warnings")
HEALTHY = {"any warning": "any warning: false alarm", "any claim": "any claim", "not confirmed": "a claim that fresh inputs do not confirm"}


def share(hits, of):
    """{"hits", "of", "share", "interval"}: Clopper and Pearson's 95 % interval; None for a share of nothing."""
    if not of:
        return {"hits": 0, "of": 0, "share": None, "interval": None}
    hits = int(hits)
    low, high = binomtest(hits, of).proportion_ci(0.95, "exact")
    return {"hits": hits, "of": of, "share": hits / of, "interval": [float(low), float(high)]}


def summary(rows, held_back):
    """What the table says, of the rows held back or of the others."""
    rows = [r for r in rows if r["held_back"] == held_back]
    healthy = [r for r in rows if r["kind"] == "healthy"]
    faults = [r for r in rows if r["kind"] == "fault"]
    return {
        "programs": len({r["net"].rpartition("-")[0] for r in rows}),
        "nets": {"trained": len({r["net"] for r in rows}), "healthy": len(healthy), "with a fault": len(faults)},
        "rules": {rule: _rule(rule, healthy, faults) for rule in sorted({*UNIT_RULES, "gate-order"} & {r["rule"] for r in faults})},
        "flows": _flows([r for r in rows if "flow_said" in r]),
        "faults": {name: share(*_count(ours, "found")) for name, ours in _by(faults, "fault").items() if "found" in ours[0]},
        "healthy": {
            "any warning": share(*_count(healthy, "warned")),
            "any claim": share(*_count(healthy, "claimed")),
            "not confirmed": share(*_count(healthy, "false")),
            "by rule": {rule: {of: share(sum(rule in r[of] for r in healthy), len(healthy)) for of in ("warned", "claimed", "false")}
                        for rule in sorted([*UNIT_RULES, "vanishing-flow", "exploding-flow"])},
        },
        "states of the right order refused": share(*_count([r for r in rows if r["kind"] == "healthy states"], "found")),
        "negatives": {name: share(*_count(ours, "claimed")) for name, ours in _by([r for r in rows if r["kind"] == "negative"],
                                                                               "negative").items()},
        "baselines": {name: _baseline(name, healthy, faults) for name in [*OURS, *BASELINES]},
    }


def _by(rows, key):
    found = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


def _count(rows, key):
    return sum(bool(r[key]) for r in rows), len(rows)


def _rule(rule, healthy, faults):
    """Precision: of the nets of which the rule claims something, those with the fault or one of their own that fresh inputs confirm."""
    ours = [r for r in faults if r["rule"] == rule]
    hits = sum(r["found"] for r in ours)
    wrong = sum(rule in r.get("false", ()) for r in [*healthy, *faults])
    own = sum(rule in r.get("claimed", ()) and rule not in r["false"] for r in [*healthy, *faults])
    return {"precision": share(hits + own, hits + own + wrong), "precision_of_injected": share(hits, hits + wrong),
            "recall": share(hits, len(ours))}


def _flows(rows):
    """Both flow rules against the complex step, over healthy and faulty nets."""
    def vanishes(r):
        return r["horizon"] is not None and r["lost_at_end"]

    def explodes(r):
        return r["log10_growth"] > np.log10(LARGE.value)

    found = {}
    for rule, true in (("vanishing-flow", vanishes), ("exploding-flow", explodes)):
        said = [r for r in rows if rule in r["flow_said"]]
        is_so = [r for r in rows if true(r)]
        found[rule] = {"precision": share(sum(map(true, said)), len(said)),
                       "recall": share(sum(rule in r["flow_said"] for r in is_so), len(is_so))}
    both = [r for r in rows if "vanishing-flow" in r["flow_said"] and r["horizon"] is not None]
    found["same horizon"] = share(sum(r["flow_said"]["vanishing-flow"] == r["horizon"] for r in both), len(both))
    return found


def _baseline(name, healthy, faults):
    """Anything said at all: the share of healthy nets, and of the nets with each fault."""
    def alarmed(r):
        if name == "flowcheck, claims":
            return bool(r.get("claimed") or r.get("found") or r.get("flow_said"))
        return bool(r.get("warned") or r.get("flow_said")) if name == "flowcheck, warnings" else name in r["baselines"]

    of_units = [r for r in faults if "baselines" in r]
    return {"healthy": share(sum(map(alarmed, healthy)), len(healthy)),
            "faults": {f: share(sum(map(alarmed, ours)), len(ours)) for f, ours in _by(of_units, "fault").items()}}


def _shown(found):
    if found["share"] is None:
        return "-"
    low, high = found["interval"]
    return f"{found['share']:.3f} ({low:.2f} to {high:.2f}; {found['hits']}/{found['of']})"


def markdown(document):
    """The report's text."""
    held, fitted = document["held_back"], document["fitted"]
    lines = ["# Injected faults in trained recurrent nets", "",
             f"By `{document['command']}`. {document['programs']} programs (an architecture on a task). Thresholds were set on "
             f"{fitted['programs']} of them and frozen ({fitted['nets']['trained']} of their nets are scored here); {held['programs']}, "
             f"of a new architecture or a new task, {document['seeds']} nets of each, were held back, not looked at before, and scored "
             "once. All figures are of the programs held back, unless marked: "
             f"{held['nets']['trained']} nets, {held['nets']['healthy']} of them learned their task and count as healthy, "
             f"{held['nets']['with a fault']} copies with one injected fault. Intervals: 95 %, Clopper and Pearson.", "",
             "A finding that says that something is lost (a cell, memory, flow) is a claim, whatever its severity. It is right if the "
             "injected fault explains it, or where the same holds on fresh inputs that the detector has not seen, by the task's own loss "
             "or another measure (`benchmarks/faults/confirm.py`): training leaves faults of its own. What is neither is false. A claim "
             "about single cells is a warning only where little of the layer is left or a longer run takes a lost state away from that "
             "of a fresh start, else info (`flowcheck/detectors/cost.py`).", "",
             "Precision counts confirmed claims as right; the second precision counts injected faults alone. One thing was mended after "
             "the scoring, in the faults and not in the detectors: the lost state of LSTMs with peepholes had kept the peepholes, through "
             "which the past went on. Before, 27 of 35 copies without their state were found; the other 8 were all of that kind.", "",
             "| rule | precision | precision, injected alone | recall | recall, programs for thresholds |",
             "| --- | --- | --- | --- | --- |"]
    for rule, found in held["rules"].items():
        other = fitted["rules"].get(rule)
        lines.append(f"| {rule} | {_shown(found['precision'])} | {_shown(found['precision_of_injected'])} | {_shown(found['recall'])} | "
                     f"{_shown(other['recall']) if other else '-'} |")
    for rule in ("vanishing-flow", "exploding-flow"):
        found, other = held["flows"][rule], fitted["flows"][rule]
        lines.append(f"| {rule} (complex step) | {_shown(found['precision'])} | - | {_shown(found['recall'])} | "
                     f"{_shown(other['recall'])} |")
    lines += ["", f"The horizon is the complex step's in {_shown(held['flows']['same horizon'])} of the nets whose flow vanishes.", "",
              "## Healthy nets", "", "| what | share of healthy nets | programs for thresholds |", "| --- | --- | --- |"]
    for name in ("any warning", "any claim", "not confirmed"):
        lines.append(f"| {HEALTHY[name]} | {_shown(held['healthy'][name])} | {_shown(fitted['healthy'][name])} |")
    lines += ["", "| rule | warnings | claims | not confirmed |", "| --- | --- | --- | --- |"]
    lines += [f"| {rule} | " + " | ".join(_shown(found[of]) for of in ("warned", "claimed", "false")) + " |"
              for rule, found in held["healthy"]["by rule"].items()]
    lines += ["", "## What looks like a fault and is none", "", "| net | claimed to have lost something |", "| --- | --- |"]
    lines += [f"| {name} | {_shown(found)} |" for name, found in held["negatives"].items()]
    lines += [f"| states of the right gate order | {_shown(held['states of the right order refused'])} |", "",
              "## Found, by fault", "", "| fault | found | programs for thresholds |", "| --- | --- | --- |"]
    lines += [f"| {name} | {_shown(found)} | {_shown(fitted['faults'][name]) if name in fitted['faults'] else '-'} |"
              for name, found in held["faults"].items()]
    names = [*held["baselines"][OURS[0]]["faults"]]
    lines += ["", "## Rules of existing tools on the same nets", "",
              "Share of nets with any alarm at all, right or wrong; the rules are written again from what the tools publish. Who alarms "
              "as often on healthy nets as on faulty ones tells nothing. flowcheck's claims on healthy nets are confirmed but for those "
              "above.", "",
              "| tool | healthy nets | " + " | ".join(names) + " |", "| --- | --- |" + " --- |" * len(names)]
    for name, found in held["baselines"].items():
        cells = [f"{found['faults'][f]['share']:.2f}" if f in found["faults"] else "-" for f in names]
        lines.append(f"| {name} | {_shown(found['healthy'])} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
