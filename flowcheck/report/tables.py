"""The tables of 1997 as printed beside what was measured: from flowcheck.experiments/1 to text and Markdown."""

from .terminal import new_table, plain, render

__all__ = ["experiments_markdown", "experiments_text"]

TITLES = {
    "1": "Table 1, embedded Reber grammar", "2": "Table 2, noise-free sequences (2a)", "2b": "Text, no local regularities (2b)",
    "3": "Table 3, very long time lags (2c)", "4": "Table 4, noise and signal on one line (3a)", "5": "Table 5, noise on the signal (3b)",
    "6": "Table 6, noisy targets (3c)", "7": "Table 7, adding", "8": "Table 8, multiplication", "9": "Table 9, temporal order",
    "": "Settings that are not printed",
}
HEAD = ("row", "printed: solved", "after", "measured: solved", "of all (95 %)", "median after", "range", "mean after", "wrong", "budget",
        "steps", "CPU s", "wall s")

LEGEND = (
    "Every row has its setting in the paper's numbers; a row whose words go on behind a semicolon differs from the row above by that",
    "reading of a detail that the paper leaves open (`flowcheck/experiments/settings.py` says what each means). \"After\" counts training",
    "sequences until the stopping rule was met, of the solved trials: printed as a mean, \"> 5,000,000\" where no net had met it by then.",
    "\"Of all\" is Wilson's 95 % interval of the share solved. \"Wrong\" is the share of 2560 new sequences, printed in brackets. A trial",
    "that has not met the rule within its budget, which stands beside the paper's number, is not solved; a smaller budget says less.",
    "CPU and wall time are those of all trials together; the wall time of older trials was not kept.",
)

NOTES = {
    "1": "Strings are drawn as the grammar makes them, so that short ones come more than once among the 256, and weights of the LSTM rows "
         "change after every step: with 256 different strings, which are longer, or changes at their ends no LSTM trial has succeeded. "
         "Most trials fail even so. Nets of the last two rows that were looked at on the way come to know the grammar, but say the same "
         "symbol before last for all strings, which is wrong for half of them: the second symbol is not stored. What the paper's nets "
         "owe that to is not found.",
    "2": "The cell of the LSTM row is there from the start, weights change after every step, and the slope of the output units is left "
         "out. With the slope, outputs that the growing state has driven to their ends never come back; a cell that is added later "
         "ends with its gate closed to every symbol.",
    "2b": "Errors occur at the last step only: nothing but the number of steps tells which one is the last, so a net that is also taught "
          "at all others would have to count to p. The slope of the output units is left out, as in Table 2.",
    "3": "No connections between hidden units, other than the carousel.",
    "7": "The output unit is linear and has no bias, so that there are 92 weights, not 93. With a logistic one the two numbers are stored "
         "just as soon, but sums near the ends of the range stay wrong by more than 0.04. A bias of the output unit moves with every "
         "error, and so do those of the cells, whose effect grows with T: what both do together drives the weights between cells and "
         "output to zero, the more the longer the sequences; at T = 500 a net with both has not left that state in 1,045,000 sequences.",
    "8": "The output unit is linear and has no bias, as in Table 7.",
}
"""What the rows of a table take for granted where the paper says nothing or something else; found by trials that stand below them."""


def _cells(entry):
    """The texts of one row, in the order of HEAD."""
    printed, m = entry["printed"], entry["measured"]
    before = f"{printed['success']:g} %" if "success" in printed else ""
    after = f"> {_count(printed['in_vain'])}" if "in_vain" in printed else _count(printed.get("sequences"))
    if m is None:
        return [entry["row"], before, after, entry["why"] or "not attempted", *[""] * (len(HEAD) - 4)]
    low, high = (f"{100 * share:.0f}" for share in m["success_interval"])
    return [
        entry["row"], before, after, f"{m['solved']} of {m['trials']}", f"{low} to {high} %", _count(m["median"]),
        f"{_count(m['least'])} to {_count(m['most'])}" if m["solved"] else "", _count(m["mean"]),
        "" if m["wrong"] is None else f"{m['wrong']:.2g}" + (f" ({printed['wrong']:.2g})" if "wrong" in printed else ""),
        _count(m["budget"]), f"{m['steps']:.2g}", f"{m['cpu_seconds']:.3g}", "" if m["seconds"] is None else f"{m['seconds']:.3g}",
    ]


def _count(value):
    return "" if value is None else f"{value:,.0f}"


def _by_table(document):
    groups = {}
    for entry in document["rows"]:
        groups.setdefault(entry["table"], []).append(entry)
    return groups


def _summary(document):
    rows = document["rows"]
    trials = sum(len(e["trials"]) for e in rows)
    own = [e for e in rows if ";" not in e["row"]]  # the others are further readings
    attempted = sum(e["attempted"] for e in own)
    return f"{attempted} of {len(own)} rows attempted, {trials} trials; every trial is a row of {document['store']}"


def _failures(document):
    """What became here of the rows in which no net of the paper succeeded."""
    rows = [e for e in document["rows"] if ";" not in e["row"] and e["printed"].get("success") == 0 and e["measured"]]
    other = [f"{e['row']} ({TITLES[e['table']]})" for e in rows if e["measured"]["solved"]]
    return f"Of the {len(rows)} rows run in which no net of the paper succeeded, {', '.join(other) or 'none'} succeeded here in its budget."


def experiments_text(document):
    """Narrow: solved and after how many sequences, printed and measured."""
    parts, right = [], {"justify": "right", "no_wrap": True}
    for name, group in _by_table(document).items():
        table = new_table("row", ("printed", right), ("solved", right), ("median", right), ("range", right))
        for e in group:
            row, _, after, solved, _, median, spread, *_ = _cells(e)
            printed = after or ("fails" if e["printed"].get("success") == 0 else "")
            table.add_row(*map(plain, (row, printed, solved, median, spread)))
        parts += [plain(TITLES[name]), table, ""]
    failed = [plain(f"{e['row']}, seed {t['seed']}: {t['error']}") for e in document["rows"] for t in e["trials"] if t["error"]]
    return render(*parts, *failed, plain("training sequences until success; " + _summary(document)))


def experiments_markdown(document):
    """All that is measured, a table for each of the paper's."""
    lines = ["# The experiments of 1997, run again", "", f"{_summary(document)}.", "", *LEGEND, "", _failures(document), ""]
    for name, group in _by_table(document).items():
        lines += [f"## {TITLES[name]}", "", *([NOTES[name], ""] if name in NOTES else [])]
        lines += [f"| {' | '.join(HEAD)} |", f"| {' | '.join(['---'] + ['---:'] * (len(HEAD) - 1))} |"]
        lines += [f"| {' | '.join(_cells(e))} |" for e in group] + [""]
    return "\n".join(lines)
