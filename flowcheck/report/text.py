"""What the verbs print in a terminal: short tables that fit 80 columns, with the numbers that decide."""

import math
from collections import Counter

from .terminal import new_table, plain, render

__all__ = ["cell_text", "cells_text", "derivations_text", "diagnosis_text", "further_text", "measurement_text",
           "runs_text", "verification_text"]

FEW = 8
"""Units of a group of findings that are named in a terminal, and notes on several nets that are shown; the JSON has all."""


def cells_text(cells, measured, lags):
    """The catalogue, a few lines a cell: name, year, source, size, states, promises with the largest error measured."""
    blocks = []
    for cell in cells.values():
        lines = [f"{len(cell.equations)} equations; state{'s'[:len(cell.state) > 1]} {', '.join(s.name for s in cell.state.values())}"]
        lines += _promises(cell, measured[cell.name])
        head = f"{cell.name:<17} {cell.year}  "
        blocks.append("\n".join(_wrapped(cell.source, head) + [line for text in lines for line in _wrapped(text, " " * len(head))]))
    summary = f"{len(cells)} cells; promises are measured at lags 1 to {lags}, errors are relative"
    return "\n\n".join([*blocks, summary]) + "\n"


def _wrapped(text, head, indent=""):
    import textwrap

    return textwrap.wrap(text, 80, initial_indent=head, subsequent_indent=" " * len(head) + indent)


def _promises(cell, measured):
    """One line per claim: its kind, its state, the error measured."""
    return [f"{c.kind} of {c.state.replace(',', ' + i ')}: {_measured(m)}" for c, m in zip(cell.claims, measured, strict=True)]


def _measured(check):
    if check.verdict != "pass":
        return f"BROKEN: {check.words}"
    return "exact" if check.error == 0 else f"error {check.error:.0e}"


def cell_text(cell, measured, lags):
    """One cell: equations, states, step Jacobian, flow in closed form where there is one, what it promises with the error measured."""
    from sympy import sstr

    from ..symbolic import closed_form, step_jacobian, sum_of_products

    lines, names = [], {}
    for name, edge in cell.parameters.items():
        names.setdefault(edge.net, []).append((name, edge.source))
    for e in cell.equations:
        if hasattr(e, "formula"):
            right = sstr(e.formula)
        elif e.kind == "vector":
            right = "learned, constant in time" + (f", starts at {sstr(e.bias)}" if e.bias else "")
        elif e.fixed:
            right = f"{e.sources[0]} {'repeated' if e.kind == 'shared' else 'summed'} from {cell.sizes[e.sources[0].name]} to {e.size}"
        else:
            product = " * " if e.kind == "diagonal" else " "
            right = " + ".join(n if s == "1" else f"{n}{product}{s}" for n, s in names[e.out.name])
        lines += _wrapped(right, f"  {e.out} = ", "  ")
    lines += ["", *_wrapped(", ".join(f"{old} <- {new}" for old, new in cell.state.items()), "  state: ")]
    if cell.lengths:
        lines += _wrapped(", ".join(f"{name} {n}" for name, n in cell.lengths.items()), "  usual lengths: ")
    lines += ["", "step Jacobian, d new / d previous; zero blocks left out:"]
    for (new, old), products in step_jacobian(cell).items():
        lines += _wrapped(sum_of_products(products), f"  d {new} / d {old} = ", "  ")
    forms = [form for form in (closed_form(claim, cell) for claim in cell.claims) if form]
    lines += ["", "error flow in closed form:", *(line for form in forms for line in _wrapped(form, "  ", "  "))] if forms else []
    if cell.claims:
        lines += ["", f"promises, measured at lags 1 to {lags}, largest relative error:"]
        for claim, check in zip(cell.claims, measured, strict=True):
            lines += _wrapped(f"{claim.kind} of {claim.state}: {claim.text}; {_measured(check)}", "  ", "  ")
    return "\n".join([*_wrapped(f"{cell.name}: {cell.source}", ""), "", *lines]) + "\n"


def derivations_text(results):
    """All claims, a line each, and how many are proved."""
    table = new_table("equation", "journal", ("status", {"no_wrap": True}), "proof", ("claim", {"ratio": 1}))
    for claim, error in results:
        proof = "failed" if error else claim.proof_status
        table.add_row(plain(claim.id), claim.journal, claim.status, plain("" if proof == "definition" else proof), plain(claim.title))
    failed = [(claim, error) for claim, error in results if error]
    count = {status: sum(claim.status == status for claim, _ in results) for status in ("definition", "erratum")}
    shown = len(results) - count["definition"]
    summary = f"{shown - len(failed)} of {shown} proved, {count['erratum']} of them errata of the paper; {count['definition']} definitions"
    return render(table, "", *(plain(error) for _, error in failed), summary)


def verification_text(checks, details=None):
    """Passes counted by cell or section, then `details`: failures and inconclusive checks in full, unless given."""
    table = new_table("what", "rung", ("pass", {"justify": "right"}), ("fail", {"justify": "right"}), ("?", {"justify": "right"}),
                   ("worst error", {"justify": "right"}), ("catches", {"justify": "right"}))
    groups = {}
    for c in checks:
        groups.setdefault((c.id.split("/")[0], c.rung), []).append(c)
    for (what, rung), members in groups.items():
        count = {v: sum(c.verdict == v for c in members) for v in ("pass", "fail", "inconclusive")}
        exact = [c for c in members if c.tolerance is not None and c.tolerance < 0.5]
        error = max((c.error for c in exact if c.error is not None), default=None)
        limit = max((c.detectable for c in exact if c.detectable is not None), default=None)
        counts = str(count["pass"]), str(count["fail"] or ""), str(count["inconclusive"] or "")
        table.add_row(plain(what), rung, *counts, _sci(error), _sci(limit))
    bad = [c for c in checks if c.verdict != "pass"]
    if details is None:
        details = [f"{c.verdict.upper()}  {c.words or c.id}" for c in bad]
    bounded = [c for c in checks if c.verdict == "pass" and c.words.startswith("largest ratio")]
    ratios = new_table(("inequality", {"no_wrap": True}), "flow / bound")
    for c in bounded:
        ratios.add_row(plain(c.id.removesuffix("/code")), c.words.removeprefix("largest ratio of flow to bound: "))
    passed = len(checks) - len(bad)
    summary = f"{passed} of {len(checks)} checks pass; error and smallest mistake caught are relative to the size of what is compared"
    return render(table, "", *map(plain, details), *([ratios, ""] if bounded else []), summary)


def measurement_text(measured, inputs, network=None):
    """Flows with rate, interval, half-life, horizon and verdict; of a net from a file also its layers and what its reader assumed."""
    read = [] if network is None or not network.sha256 else [plain(network.source), *_net_lines(network), ""]
    errors = [m.rounding_error for m in measured if m.rounding_error is not None]
    precision = [f"relative error of the state-to-state flow against float64 on the same trajectory: at most {max(errors):.0e}, by a few "
                 "random errors; what products with the inputs' weights and the trajectory lose is not in it"] if errors else []
    return render(*read, f"error flow on {inputs}; rates in log10 per step", "", *flow_tables(measured), *precision)


def flow_tables(measured):
    """One row per flow, the rate with half the width of its 95 % interval; one table per layer, headed where there are several."""
    from .rows import estimated, said_of

    whole, right = {"no_wrap": True}, {"justify": "right", "no_wrap": True}
    layers, parts = list(dict.fromkeys(m.flow.layer for m in measured)), []
    for layer in layers:
        ours = [m for m in measured if m.flow.layer == layer]
        table = new_table(("flow", whole), ("gradient", whole), ("rate", right), ("+-95 %", right), ("half-life", right),
                          ("horizon", right), ("verdict", whole))
        for m in ours:
            r, last = m.rate, int(m.flow.lags[-1])
            rate = _rate(r.per_step, r.verdict)
            half = "" if r.interval is None else f"{(r.interval[1] - r.interval[0]) / 2:.1g}"
            table.add_row(m.flow.quantity, m.flow.gradient, rate, half, "" if r.half_life is None else f"{r.half_life:.3g}",
                          f"> {last}" if r.horizon is None else str(r.horizon), plain(r.verdict))
        below = [plain(words) for words in (estimated(m.probes for m in ours), *said_of(ours)) if words]
        parts += [plain(layer), table, *below, ""] if len(layers) > 1 else [table, *below]
    return parts


def further_text(found):
    """What was asked for beside the flows, one line per layer and quantity."""
    lines = []
    for e in found.get("spectral", ()):
        lines.append(f"{e['layer']}: largest singular value 10^{e['log10_norm'][-1]:.4g} at lag {e['lags'][-1]} ({e['gradient']}), "
                     f"relative error at most {max(e['relative_error']):.0e}")
    for e in found.get("exponents", ()):
        values = ", ".join(f"{v:.4g}" for v in e["values"][:3])
        lines.append(f"{e['layer']}: leading exponents {values} (natural log per step, {e['gradient']}), mean over {e['steps']} steps; "
                     "their sum is checked by the determinant, each alone is as sure as the steps are many")
    for e in found.get("probes", ()):
        vectors = f"{e['count']} random vector{'s'[:e['count'] > 1]}"
        lines.append(f"{e['layer']}: norm 10^{e['log10_frobenius'][-1]:.4g} at lag {e['lags'][-1]} from {vectors}, "
                     f"{e['confidence']:.0%} interval 10^{e['log10_low'][-1]:.4g} to 10^{e['log10_high'][-1]:.4g} ({e['gradient']})")
    for e in found.get("pairs", ()):
        ends = len(e["log10_norm"]) - int(e["lags"][-1])  # the others are too near the start to have this lag
        lines.append(f"{e['layer']}: an error from every step arrives with 10^{e['log10_weighted'][-1]:.4g} of its size after "
                     f"{e['lags'][-1]} steps (root mean square over {ends} end times of the first sequence, {e['gradient']}); "
                     "--format json has all pairs")
    return render("", *map(plain, lines)) if lines else ""


def runs_text(rows, store):
    """One row per net and layer: its state-to-state flow, and how many findings of each severity; `rows` as `runs.Rows`.

    Below, what was assumed of nets, and which flows are estimated.
    """
    from .rows import estimated

    whole, right = {"no_wrap": True}, {"justify": "right", "no_wrap": True}
    good, refused = [*rows.summaries()], rows.errors()
    several = len({f["layer"] for _, flows, *_ in good for f in flows}) > 1
    diagnosed, on = any(findings is not None for _, _, findings, *_ in good), {inputs for *_, inputs in good}
    notes, name = {}, _told_apart([net for net, *_ in good] + [*refused])
    table = new_table(("net", whole), *(["layer"] if several else []), ("rate", right), ("half-life", right), ("horizon", right),
                   ("verdict", whole), *(["findings"] if diagnosed else []))
    for net, flows, findings, ours, _ in good:
        for note in [*ours, *(f"{f['layer']}: {words}" for f in flows if (words := estimated([f["random_vectors"]])))]:
            notes.setdefault(note, []).append(name[net])
        for f in flows:
            found = [x["severity"] for x in findings or () if x["layer"] == f["layer"]]
            counts = ", ".join(f"{found.count(s)} {s}" for s in ("error", "warning", "info") if s in found) or "none"
            table.add_row(plain(name[net]), *([plain(f["layer"])] if several else []), _rate(f["rate_per_step"], f["verdict"]),
                          _four(f["half_life"]), _four(f["horizon"], f"> {f['last_lag']}"), plain(f["verdict"]),
                          *([counts] if diagnosed else []))
    reasons = [plain(f"{name[net]}: {error.removeprefix(net.rsplit('/', 1)[-1] + ': ')}") for net, error in refused.items()]
    done = f"{len(good)} of {len(rows)} nets measured; all numbers are in {store} (views flows and findings)"
    head = f"full state-to-state flow{f' on {min(on)}' if len(on) == 1 else ''}; rates in log10 per step"
    return render(plain(head), "", table, "", *_notes(notes), *reasons, plain(done))


def _notes(notes):
    """The first notes of {note: nets}, each with the first of its nets."""
    shown = [plain(f"{nets[0]}{f' and {len(nets) - 1} more' if len(nets) > 1 else ''}: {note}") for note, nets in [*notes.items()][:FEW]]
    more = [plain(f"{len(notes) - FEW} more notes are in the store")] if len(notes) > FEW else []
    return [*shown, *more, ""] if notes else []


def _told_apart(nets, longest=24):
    """{net: the end of its path that no other has, from a folder or the file on}; of a long one the folder's start and the file's end."""
    parts, found, depth = {net: net.split("/") for net in nets}, {}, 0
    while len(found) < len(parts):
        depth += 1
        ends = {net: "/".join(p[-depth:]) for net, p in parts.items()}
        counts = Counter(ends.values())
        found |= {net: end for net, end in ends.items() if net not in found and (counts[end] == 1 or depth >= len(parts[net]))}
    short = {net: f"{end[:end.index('/') + 1][:8]}..." if "/" in end else "..." for net, end in found.items()}
    return {net: end if len(end) <= longest else short[net] + end[len(short[net]) - longest:] for net, end in found.items()}


def _rate(per_step, verdict):
    """A rate; of a flow that is lost at once, zero; nothing where a single lag was measured."""
    return _four(per_step, "zero" if verdict == "vanishing" else "")


def _four(value, none=""):
    return none if value is None else f"{value:.4g}"


def _net_lines(network):
    """One line per layer and per note."""
    layers = [f"{x.name}: {x.cell.name}, {x.n_inputs} -> {x.units}, {x.gate_order}" for x in network.layers]
    return [plain(line) for line in (*layers, *(f"note: {n}" for n in network.notes))]


def diagnosis_text(result, inputs):
    """Layers, their main flows (single paths are in the JSON and on the page), findings with remedy."""
    from .rows import finding_groups

    network, groups = result.network, finding_groups(result.findings)
    several = len(network.layers) > 1
    table = new_table(("severity", {"no_wrap": True}), ("rule", {"no_wrap": True}), *(["layer"] if several else []),
                   ("unit", {"justify": "right", "no_wrap": True}), ("finding", {"ratio": 1}))
    for g in groups:
        unit = f"{g['count']} units" if g["count"] > 1 else "" if g["worst"].unit is None else str(g["worst"].unit)
        table.add_row(plain(g["severity"]), g["rule"], *([plain(g["layer"])] if several else []), unit, plain(_together(g)))
    remedies = list(dict.fromkeys((g["rule"], g["remedy"]) for g in groups))
    main = [m for m in result.measured if not m.flow.quantity.startswith(f"{_output(result, m)} to ")]
    parts = [plain(f"{network.source} on {inputs}"), *_net_lines(network), "",
             *flow_tables(main), ""]
    if not result.findings:
        return render(*parts, plain("no findings"))
    return render(*parts, table, "", *(plain(f"{rule}: {remedy}") for rule, remedy in remedies), *_trials(result))


def _together(group):
    """A group of findings in words: the first of its units, those of each severity by themselves, and the worst of them."""
    worst = group["worst"]
    if group["count"] == 1:
        return worst.words
    named = []
    for severity, units in group["by_severity"]:
        more = f" and {len(units) - FEW} more" if len(units) > FEW else ""
        named.append((f"{severity}: " if len(group["by_severity"]) > 1 else "") + ", ".join(map(str, units[:FEW])) + more)
    whose = ", each" if all(f.words == worst.words for f in group["units"]) else f"; worst, {worst.unit}"
    return f"{'; '.join(named)}{whose}: {worst.words}"


def _trials(result):
    """The remedies that were tried, before and after."""
    if result.trials is None:
        return []
    if not result.trials:
        return ["", plain("remedies tried: none of these findings has one that weights can take")]
    table = new_table(("tried for", {"no_wrap": True}), ("remedy", {"ratio": 2}), ("before and after", {"ratio": 3}))
    for trial in result.trials:
        table.add_row(trial.rule, plain(trial.remedy), plain(trial.words))
    return ["", table]


def _output(result, measured):
    return next(c.cell.output.name for c in result.contexts if c.layer.name == measured.flow.layer)


def _sci(value):
    return "" if value is None or not math.isfinite(value) else f"{value:.0e}"
