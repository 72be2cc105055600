"""Numbers and findings in words, as rows of the page's tables."""

import math
import re

import numpy as np
from markupsafe import Markup, escape

from ..detectors import SEVERITIES

__all__ = ["comparison_rows", "curve_rows", "estimated", "finding_groups", "flow_row", "layer_rows", "number", "powers", "said_of"]

WORST = {"state-drift": "rate_per_step", "bias-cell": "effect_set_to_zero", "length-dependent": "deviations_apart_at_end"}
"""Evidence by which units of one severity are ranked, where their order in the layer is not the right one."""


def number(value, digits=3):
    """A number for people; None and what is not finite as a word."""
    if value is None:
        return "none"
    if isinstance(value, (bool, str)):
        return str(value)
    if not math.isfinite(value):
        return "unbounded" if value > 0 else "exactly zero"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 10**digits else f"{value:.0f}".replace("-", "−")


def powers(text):
    """Text with 10^-3 set as a power; escaped."""
    return Markup(
        re.sub(r"10\^([-−]?[0-9.]*[0-9])", lambda m: f"10<sup>{m[1].replace('-', '−')}</sup>", str(escape(text)))
    )


def _power(log10):
    """10**log10 for people, also where it underflows."""
    return f"×{number(10**log10)}" if -3 <= log10 <= 5 else f"×10^{log10:.4g}".replace("-", "−")


def _places(width):
    """Decimals that show a width of an interval with one or two digits."""
    return 3 if width <= 0 or not math.isfinite(width) else min(max(math.ceil(-math.log10(width)) + 1, 1), 7)


def _fixed(value, places):
    if places > 5:
        return number(value, 2)
    return f"{value:+.{places}f}".replace("-", "−") if value else "0"


def flow_row(flow, found):
    """A Flow and its Rate in words."""
    last, zeros = int(flow.lags[-1]), np.flatnonzero(np.isneginf(flow.pooled))
    row = {"quantity": flow.quantity, "gradient": flow.gradient, "verdict": found.verdict}
    if found.per_step is None:
        why = "exactly zero at every lag" if len(zeros) == len(flow.lags) else "below the rounding floor"
        why = "not known from one lag" if found.verdict == "sustained" else why
        row |= {"rate": why, "factor": "none", "interval": "none: too few lags to fit", "half_life": "none: no rate"}
    else:
        low, high = found.interval
        places = _places(high - low)
        near_one = -2 <= found.per_step <= 3
        factor = f"×{10**found.per_step:.{min(places, 6)}f}" if near_one else _power(found.per_step)
        row |= {
            "rate": _fixed(found.per_step, places),
            "factor": factor,
            "interval": f"{_fixed(low, places)} to {_fixed(high, places)}",
        }
        if found.half_life is None:
            row["half_life"] = f"none within {last} lags"
        else:
            row["half_life"] = f"{number(found.half_life)} steps"
    row["horizon"] = f"beyond {last}" if found.horizon is None else f"lag {found.horizon}"
    if len(zeros) and zeros[-1] == len(flow.lags) - 1:
        row["horizon"] += f"; exactly zero from lag {int(flow.lags[_tail(zeros)])}"
    return row | {"change": _change(flow, last)}


def _tail(zeros):
    """Where the unbroken run of zeros at the end begins."""
    start = zeros[-1]
    for z in reversed(zeros[:-1]):
        if z != start - 1:
            break
        start = z
    return start


def _change(flow, last):
    end = flow.relative[-1]
    return f"{_power(end)} at lag {last}" if np.isfinite(end) else f"exactly zero at lag {last}"


def comparison_rows(compared):
    """One row per cell of a comparison: how far its error reaches, as a number and as a share of the lags on a log scale."""
    rows = []
    for c in compared:
        last, reach = int(c.flow.lags[-1]), c.rate.horizon
        decays = c.rate.half_life is not None and c.verdict != "zero"
        rows.append({
            "name": c.cell.name, "source": c.cell.source, "year": c.cell.year, "verdict": c.verdict, "theory": c.theory_words,
            "reach": f"over {last}" if reach is None else str(reach),
            "share": 100 if reach is None else round(100 * math.log(max(reach, 1)) / math.log(last)),
            "half_life": number(c.rate.half_life) if decays else "",
        })
    return rows


def layer_rows(diagnosis, measured):
    """One row per layer: what it is, and the verdict of its full and truncated state flow."""
    flows = {
        (m.flow.layer, m.flow.gradient): flow_row(m.flow, m.rate)
        for m in measured or ()
        if m.flow.quantity == "state-to-state"
    }
    if diagnosis is None:
        names = dict.fromkeys(layer for layer, _ in flows)
        return [{"name": n, "full": flows.get((n, "full")), "truncated": flows.get((n, "truncated"))} for n in names]
    rows = []
    for context in diagnosis.contexts:
        layer = context.layer
        full = flows.get((layer.name, "full")) or flow_row(context.state_flow.flow, context.state_flow.rate)
        rows.append(
            {
                "name": layer.name,
                "cell": layer.cell.name,
                "units": layer.units,
                "inputs": layer.n_inputs,
                "direction": "last step to first" if layer.reverse else "",
                "gate_order": layer.gate_order,
                "full": full,
                "truncated": flows.get((layer.name, "truncated")),
            }
        )
    return rows


def finding_groups(findings):
    """Findings about units of one layer by one rule with one remedy together, the most severe and most numerous first."""
    groups = {}
    for f in findings:
        groups.setdefault((f.rule, f.layer, f.remedy, f.words if f.unit is None else ""), []).append(f)
    rows = [_group(rule, layer, members) for (rule, layer, *_), members in groups.items()]
    return sorted(rows, key=lambda r: (-SEVERITIES.index(r["severity"]), -r["count"], r["rule"], r["layer"]))


def _group(rule, layer, members):
    key = WORST.get(rule)
    members = sorted(members, key=lambda f: (-SEVERITIES.index(f.severity), -f.evidence.get(key, 0) if key else 0))
    worst, units = members[0], [f for f in members if f.unit is not None]
    by_severity = [(s, [*dict.fromkeys(f.unit for f in units if f.severity == s)]) for s in reversed(SEVERITIES)]
    evidence = worst.evidence
    thresholds = [(rule, worst.threshold, worst.threshold_source)]
    thresholds += [
        (k.removesuffix("_threshold"), v, evidence.get(f"{k}_source", ""))
        for k, v in evidence.items()
        if k.endswith("_threshold")
    ]
    return {
        "rule": rule,
        "layer": layer,
        "severity": worst.severity,
        "count": len({f.unit for f in members}),
        "worst": worst,
        "units": units,
        "by_severity": [(s, us) for s, us in by_severity if us],
        "remedy": worst.remedy,
        "table": _evidence(members),
        "thresholds": [
            {"of": of.replace("_", " "), "value": number(value), "source": source} for of, value, source in thresholds
        ],
    }


def _evidence(members):
    """Evidence as columns; what is the same for every unit is said once."""
    keys = [
        k for k, v in members[0].evidence.items() if not isinstance(v, dict) and not _nested(v) and "threshold" not in k
    ]
    shared = [k for k in keys if len(members) > 1 and len({str(f.evidence.get(k)) for f in members}) == 1]
    columns = [k for k in keys if k not in shared]
    rows = [
        {
            "unit": "layer" if f.unit is None else f"u{f.unit}",
            "severity": f.severity,
            "cells": [_cell(f.evidence.get(k)) for k in columns],
        }
        for f in members
    ]
    return {
        "columns": [c.replace("_", " ") for c in columns],
        "rows": rows,
        "shared": [(k.replace("_", " "), _cell(members[0].evidence[k])) for k in shared],
    }


def _nested(value):
    return isinstance(value, (list, tuple)) and any(isinstance(v, (dict, list, tuple)) for v in value)


def _cell(value):
    return ", ".join(map(number, value)) if isinstance(value, (list, tuple)) else number(value)


def estimated(probes):
    """In words, that flows of one layer are estimated, each from so many random vectors; "" where they are exact, which is None."""
    counts = {*probes} - {None}
    return f"estimated from {max(counts)} random vectors; other flows of so wide a layer are left out" if counts else ""


def said_of(measured):
    """Lines on the flows of one layer: which sequences they are taken without (`Flow.kept`), why flow that halves is called sustained."""
    flows, found, words = [m.flow for m in measured], {}, []
    for flow in flows:
        if not flow.kept.all():
            cut = " (truncated)" if flow.gradient == "truncated" else ""
            found.setdefault(tuple(np.flatnonzero(~flow.kept) + 1), []).append(f"{flow.quantity}{cut}")
    for numbers, names in found.items():
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        which = "all flows" if len(names) == len(flows) else ", ".join(names[:3]) + more
        sequences = f"sequence{'s'[:len(numbers) > 1]} {', '.join(map(str, numbers))} of {len(flows[0].kept)}"
        words.append(f"without {sequences}: {which}; there flow is gone before half as far back as in the others")
    lags = int(flows[0].lags[-1])
    if any(m.rate.verdict == "sustained" and m.rate.half_life is not None and m.rate.half_life <= lags for m in measured):
        words.append(f"sustained: it falls by less than a factor 10 over the {lags} lags measured; over more it may vanish")
    return words


def curve_rows(curves):
    """One row per curve of the paper."""
    return [{"label": c.label, "words": c.words} | flow_row(c.flow, c.rate) for c in curves]
