"""Markdown of an outcome, for a job summary: verdict, findings in a table, passes counted by target."""

import re

from .outcome import target, words

__all__ = ["markdown"]

MOST_ROWS = 200
"""A job summary holds 1 MiB; 200 findings with their words are far below that, and nobody reads more."""


def markdown(outcome):
    """Headed by pass or fail; one row per finding, the worst first."""
    lines = [f"## flowcheck: {'fail' if outcome.failures else 'pass'}", "", f"{outcome.summary}.", ""]
    shown = outcome.findings[:MOST_ROWS]
    if shown:
        lines += ["| verdict | check | where | what |", "| --- | --- | --- | --- |"]
        for c in shown:
            cells = outcome.status(c), c.id, outcome.locations.get(c.id) or "", words(c)
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
        left = len(outcome.findings) - len(shown)
        lines += ["", f"{left} more are left out; the other formats have all."] * bool(left) + [""]
    lines += ["| target | pass | fail | inconclusive | known | catches a relative mistake of |",
              "| --- | ---: | ---: | ---: | ---: | ---: |"]
    groups = {}
    for c in outcome.checks:
        groups.setdefault(target(c), []).append(c)
    for name, checks in groups.items():
        counts = [str(sum(outcome.status(c) == s for c in checks) or "") for s in ("pass", "fail", "inconclusive", "known")]
        limit = max((c.detectable for c in checks if c.verdict == "pass" and c.detectable is not None), default=None)
        lines.append(f"| {' | '.join([_cell(name), *counts, '' if limit is None else f'{limit:.0e}'])} |")
    for name, message in [*outcome.messages.items(), *outcome.tables.items()]:
        lines += ["", f"{_cell(name)}:", "", *(f"    {line}" for line in message.splitlines())]
    lines += ["", "Fixed since the baseline: " + ", ".join(map(_cell, outcome.fixed)) + "."] * bool(outcome.fixed)
    return "\n".join(lines) + "\n"


def _cell(text):
    """Text that is shown as it is: no markup, no tags, no mention, no second column; lines joined by <br>."""
    escaped = re.sub(r"([\\`*_{}\[\]()#+!|~@$])", r"\\\1", str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return "<br>".join(escaped.splitlines())
