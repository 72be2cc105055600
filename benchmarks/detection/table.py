"""The table of a detection run, in Markdown: caught by whom at which lag, first lag and term named, false alarms."""

from .grid import LAGS, RADII

__all__ = ["markdown"]

INTRODUCTION = """Made by `python -m benchmarks detection`. Hand-written backward passes of six nets, each wrong in one term from a lag on
(`benchmarks/detection/nets.py`); every checker with its defaults, on the same cases in the same run. A share is that of the wrong backward
passes which were rejected."""


def markdown(result):
    """Markdown of one run."""
    rows = [r for r in result["rows"] if not r.get("equivalent")]
    right, others = result["right"], sorted({name for r in rows for name in r["others"]})
    same = len(result["rows"]) - len(rows)
    missing = ", ".join(result["missing"]) or "none"
    lines = ["# Who sees a wrong backward pass", "", INTRODUCTION, "",
             f"{result['mistakes']} mistakes a net, spread over its terms; {result['rounds']} of {result['of']} rounds, each of which "
             "takes every mistake once, first bad lags and spectral radii in turn. "
             f"{same} cases whose mistake changes no bit of the gradient are left out. Not installed and left out: {missing}.", ""]
    head = ["first bad lag", "cases", "flowcheck", *others]
    lines += _row(head), _row(["---"] * len(head))
    for lag in LAGS:
        some = [r for r in rows if r["first"] == lag]
        if some:
            lines.append(_row([lag, len(some), _share(r["flowcheck"] for r in some),
                               *(_share(r["others"][name] for r in some) for name in others)]))
    lines.append(_row(["all", len(rows), _share(r["flowcheck"] for r in rows), *(_share(r["others"][n] for r in rows) for n in others)]))
    first = [r["lag"] == r.get("first_lag", r["first"]) for r in rows]
    named = [r["rank"] is not None and r["rank"] <= 2 for r in rows]
    median = sorted(r["seconds"] for r in rows)[len(rows) // 2]
    best = _share(r["rank"] == 1 for r in rows)
    lines += ["", "By spectral radius of the recurrent weights:", ""]
    head = ["regime", "cases", "flowcheck", *others]
    lines += _row(head), _row(["---"] * len(head))
    for regime, radius in RADII.items():
        some = [r for r in rows if r["regime"] == regime]
        lines.append(_row([f"{regime} ({radius})", len(some), _share(r["flowcheck"] for r in some),
                           *(_share(r["others"][name] for r in some) for name in others)]))
    lines += ["", f"flowcheck named the first bad lag in {_share(first)} of the cases and had the wrong term among its first two "
              f"hypotheses in {_share(named)} (first: {best}). CPU time a case: median {median:.2f} s.", "", "## By net", ""]
    head = ["net", "mistakes", "caught", "first lag", "term in first two"]
    lines += _row(head), _row(["---"] * len(head))
    for net in dict.fromkeys(r["net"] for r in rows):
        some = [r for r in rows if r["net"] == net]
        lines.append(_row([net, len({(r["term"], r["kind"]) for r in some}), _share(r["flowcheck"] for r in some),
                           _share(r["lag"] == r.get("first_lag", r["first"]) for r in some), _share((r["rank"] or 9) <= 2 for r in some)]))
    verdicts = {v: sum(r["verdict"] == v for r in right) for v in ("pass", "inconclusive", "fail")}
    lines += ["", "## Right nets", "", f"{len(right)} right backward passes (spectral radius 0.3 to 5, float64 and float32): "
              f"{verdicts['pass']} pass, {verdicts['inconclusive']} inconclusive, {verdicts['fail']} called wrong.", ""]
    missed = [r for r in rows if not (r["flowcheck"] and r["lag"] == r.get("first_lag", r["first"]) and (r["rank"] or 9) <= 2)]
    if missed:
        lines += ["## Where flowcheck fell short", ""]
        head = ["net", "term", "mistake", "first lag", "regime", "caught", "lag named", "hypotheses"]
        lines += _row(head), _row(["---"] * len(head))
        lines += [_row([r["net"], r["term"], r["kind"], r["first"], r["regime"], r["flowcheck"], r["lag"], "; ".join(r["hypotheses"])])
                  for r in missed]
        lines.append("")
    return "\n".join(lines)


def _row(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _share(flags):
    flags = list(flags)
    share = sum(flags) / len(flags) if flags else 0.0
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"
