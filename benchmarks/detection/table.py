"""The table of a detection run, in Markdown: caught by whom at which lag, first lag and term named, false alarms."""

from .grid import DTYPES, LAGS, RADII

__all__ = ["markdown"]

INTRODUCTION = """Made by `python -m benchmarks detection --rounds N --seed {seed}`. Hand-written backward passes of six nets, each wrong in
one term from a lag on (`benchmarks/detection/nets.py`); every checker with its defaults, on the same cases. A share is
that of the wrong backward passes which were rejected."""


def markdown(result):
    """Markdown of one run."""
    rows = [r for r in result["rows"] if not r.get("equivalent")]
    right, others = result["right"], sorted({name for r in rows for name in r.get("others", ())})
    same = len(result["rows"]) - len(rows)
    missing = ", ".join(result["missing"]) or "none"
    both = [r for r in rows if "others" in r]
    lines = ["# Who sees a wrong backward pass", "", INTRODUCTION.format(seed=result["seed"]), "",
             f"The grid is {result['mistakes']} mistakes a net, spread over its terms, on six nets, with {len(LAGS)} first bad lags and "
             f"{len(RADII)} spectral radii: {result['grid']} cases, in {result['of']} rounds, each of which takes every mistake once, lags "
             f"and radii in turn, in random order. **{len(result['rows'])} of the {result['grid']} cases ran**, {result['rounds']} rounds. "
             f"The other checkers ran on {len(both)} of them. {same} cases whose mistake changes no bit of the gradient are left out of "
             f"the tables. Not installed and left out: {missing}.", ""]
    lines += _shares("first bad lag", {lag: [r for r in rows if r["first"] == lag] for lag in LAGS} | {"all": rows}, others)
    first = [r["lag"] == r.get("first_lag", r["first"]) for r in rows]
    named = [r["rank"] is not None and r["rank"] <= 2 for r in rows]
    median = sorted(r["seconds"] for r in rows)[len(rows) // 2]
    best = _share(r["rank"] == 1 for r in rows)
    lines += ["", "By spectral radius of the recurrent weights:", ""]
    lines += _shares("regime", {f"{k} ({radius})": [r for r in rows if r["regime"] == k] for k, radius in RADII.items()}, others)
    lines += ["", f"flowcheck named the first bad lag in {_share(first)} of the cases and had the wrong term among its first two "
              f"hypotheses in {_share(named)} (first: {best}). CPU time a case: median {median:.2f} s.", "", "## By net", ""]
    head = ["net", "mistakes", "caught", "first lag", "term in first two"]
    lines += _row(head), _row(["---"] * len(head))
    for net in dict.fromkeys(r["net"] for r in rows):
        some = [r for r in rows if r["net"] == net]
        lines.append(_row([net, len({(r["term"], r["kind"]) for r in some}), _share(r["flowcheck"] for r in some),
                           _share(r["lag"] == r.get("first_lag", r["first"]) for r in some), _share((r["rank"] or 9) <= 2 for r in some)]))
    lines += ["", "## Right nets", "", f"{len(right)} of {result['right_nets']} right backward passes, spectral radius 0.3 to 5. float32: "
              "given so, and handed on as float64; in backward: it computes in single precision; throughout: forward, too, so that its "
              "reference is differences of single-precision numbers; a pass says which lags it saw.", ""]
    lines += _row(["dtype", "nets", "pass", "inconclusive", "called wrong"]), _row(["---"] * 5)
    for dtype in (*dict.fromkeys(DTYPES), "all"):
        some = [r for r in right if dtype in (r["dtype"], "all")]
        lines.append(_row([dtype, len(some), *(sum(r["verdict"] == v for r in some) for v in ("pass", "inconclusive", "fail"))]))
    lines.append("")
    missed = [r for r in rows if not (r["flowcheck"] and r["lag"] == r.get("first_lag", r["first"]) and (r["rank"] or 9) <= 2)]
    if missed:
        lines += ["## Where flowcheck fell short", ""]
        head = ["net", "term", "mistake", "first lag", "regime", "caught", "lag named", "hypotheses"]
        lines += _row(head), _row(["---"] * len(head))
        lines += [_row([r["net"], r["term"], r["kind"], r["first"], r["regime"], r["flowcheck"], r["lag"], "; ".join(r["hypotheses"])])
                  for r in missed]
        lines.append("")
    return "\n".join(lines)


def _shares(title, groups, others):
    """A table of shares caught; those of the others are of the cases on which they ran, in brackets their number where it is another."""
    lines = [_row([title, "cases", "flowcheck", *others]), _row(["---"] * (3 + len(others)))]
    for name, some in groups.items():
        if some:
            both = [r["others"] for r in some if "others" in r]
            cases = str(len(some)) if len(both) == len(some) else f"{len(some)} ({len(both)})"
            lines.append(_row([name, cases, _share(r["flowcheck"] for r in some), *(_share(o[n] for o in both) for n in others)]))
    return lines


def _row(cells):
    return "| " + " | ".join(str(c) for c in cells) + " |"


def _share(flags):
    flags = list(flags)
    share = sum(flags) / len(flags) if flags else 0.0
    return f"{share:.1%}" if 0 < share < 1 else f"{share:.0%}"
