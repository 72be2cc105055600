"""The abuse study as text, which is Markdown: from flowcheck.abuse/1."""

__all__ = ["abuse_markdown"]

LEGEND = (
    "Section 4 of the paper of 1997 names two troubles of memory cells and a remedy for each. Cells are abused as biases, or store",
    "what others store: let output gates start with negative biases. States drift until h'(s) is tiny: let input gates start with",
    "negative biases. Here nets of experiments 4 and 6a learn with both remedies, with one, and with neither; everything else is as in",
    "Tables 7 and 9. \"Early\" means the looks after 2,500, 5,000 and 10,000 training sequences. Intervals are 95 %: Clopper and",
    "Pearson's for shares, the bootstrap over seeds for means. Nets of one seed start with the same weights, but for those biases, and",
    "see the same sequences: a remedy is judged by the mean change within such pairs. It is confirmed where the interval of the change",
    "lies on the side that section 4 leads to expect, contradicted on the other, else not shown.",
)
TITLES = {"4": "Experiment 4, adding, T = 100", "6a": "Experiment 6a, temporal order"}
RULES = {"bias-cell": "a bias cell at every step (diagnose)", "constants": "a cell that the last step takes for a bias",
         "redundant-cell": "a redundant cell (diagnose)", "state-drift": "a drifting state (diagnose)"}


def abuse_markdown(document):
    """Verdicts, then every measure of every condition."""
    lines = ["# The abuse study", "", *_verdicts(document), "", *LEGEND, ""]
    for part in document["experiments"]:
        names = [c["condition"] for c in part["conditions"]]
        lines += [f"## {TITLES[part['experiment']]}", "", f"Flow is that over {part['lag']} steps.", "",
                  f"| negative biases of | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
        lines += [_line("nets", [c["nets"] for c in part["conditions"]]),
                  _line("solved", [_share(c["solved"]) for c in part["conditions"]]),
                  _line("median sequences", [f"{c['median_sequences']:,.0f}" for c in part["conditions"]])]
        lines += [_line(f"nets with {words}, early", [_share(c["nets_with_early"][rule]) for c in part["conditions"]])
                  for rule, words in RULES.items()]
        lines += [_line(f"mean: {words}", [_interval(c["means"][name]) for c in part["conditions"]])
                  for name, words in document["measures"].items()]
        lines += ["", "| remedy | measure | expected | change | verdict |", "|---|---|---|---:|---|"]
        lines += [_line(f"negative biases of {r['gates']}", [document["measures"][c["measure"]], c["expected"], _interval(c), c["verdict"]])
                  for r in part["remedies"] for c in r["changes"]]
        lines.append("")
    return "\n".join(lines)


def _verdicts(document):
    """One line for each remedy and measure: in which experiments it was confirmed, contradicted, or not shown."""
    found = {}
    for part in document["experiments"]:
        without = next(c["means"] for c in part["conditions"] if c["condition"] == "neither")
        for remedy in part["remedies"]:
            for change in remedy["changes"]:
                none = change["expected"] == "less" and without[change["measure"]]["mean"] == 0
                verdict = f"{change['verdict']} in experiment {part['experiment']}{' (there were none without)' if none else ''}"
                found.setdefault((remedy["gates"], change["expected"], change["measure"]), []).append(verdict)
    for (gates, expected, measure), verdicts in found.items():
        words = document["measures"][measure].split(" (")[0]
        should = "raise" if expected == "more" else "lower"
        yield f"- Negative biases of {gates} should {should} \"{words.removeprefix('log10 of ')}\": {', '.join(verdicts)}."


def _line(name, cells):
    return f"| {name} | {' | '.join(map(str, cells))} |"


def _share(share):
    low, high = share["interval"]
    return f"{share['count']} ({low:.0%} to {high:.0%})"


def _interval(found):
    if found["mean"] is None:
        return ""
    low, high = found["interval"]
    return f"{found['mean']:.3g} ({low:.3g} to {high:.3g})"
