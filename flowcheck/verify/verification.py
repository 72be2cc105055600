"""What a gradient check says: its verdict, its findings in words, what it could have caught and what it could not see."""

import textwrap
from dataclasses import asdict, dataclass, field

import numpy as np

__all__ = ["Finding", "Verification"]

LINES, WIDTH = 25, 80
"""A failure fits one screen, and one annotation of a code host."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that could not be judged.

    entry        the entry of params, inputs or state0; "" where the functions themselves are at fault
    lag          first lag (steps from the error to the entry) at which the error exceeds the tolerance, counted from the last step where
                 that is known; None where lags are not seen
    term         the term that is wrong: with a known cell the derivative that a single change of reproduces the numbers, else dE/dentry
    error        relative to the size of the gradient at that lag
    tolerance    what rounding and conditioning can explain, in the same unit
    words        one line for people
    verdict      "fail" or "inconclusive"
    formula      the wrong term beside the right one, in LaTeX; "" where no cell is known
    hypotheses   terms that explain the numbers, best first; more than one where this input cannot tell them apart
    """

    entry: str
    lag: int | None
    term: str
    error: float | None
    tolerance: float | None
    words: str
    verdict: str = "fail"
    formula: str = ""
    hypotheses: tuple = ()

    @property
    def first_bad_lag(self):
        """The word that a `Check` has for `lag`."""
        return self.lag

    def as_json(self):
        """A dict of JSON values; numbers that are not finite become null."""
        return {k: _finite(v) for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Verification:
    """Outcome of a gradient check. verdict "pass", "fail" or "inconclusive".

    findings     Findings, the worst first; empty after a pass
    checks       one result.Check per comparison, passed ones too
    detectable   {entry: {lag: smallest relative mistake that would have been caught}}, on the arguments given or, where those show nothing,
                 on harder ones of the same shapes; lag None where the lags of an entry are summed
    omitted      {entry: {lag: share}}: under a declared truncation, the part of the full gradient at that lag that is left out (0 to 1)
    unseen       {entry: words}: lags of an entry that no comparison isolates, or at which no reference can tell a tenth of the gradient
    notes        on the reference, the dtype, what was skipped
    intent       what the gradient was declared to be
    cell         name of the cell whose equations reproduce the forward pass, "" if none was asked for or found
    shrunk       {"T": steps, "n": ...} of the smallest case that shows the failure, None without one
    """

    verdict: str
    checks: tuple
    detectable: dict
    notes: tuple = ()
    findings: tuple = ()
    omitted: dict = field(default_factory=dict)
    unseen: dict = field(default_factory=dict)
    intent: str = "full"
    cell: str = ""
    shrunk: dict | None = None

    def __str__(self):
        """At most 25 lines of at most 80 characters."""
        passed = sum(c.verdict == "pass" for c in self.checks)
        lines = [f"gradient check: {self.verdict} ({passed} of {len(self.checks)} comparisons pass)"]
        lines += [] if self.intent == "full" else _wrapped(f"declared: {self.intent}")
        for finding in self.findings[:2]:
            lines += _wrapped(finding.words)
        also = [f for f in self.findings[2:] if f.entry not in {shown.entry for shown in self.findings[:2]}]
        if also:
            lines += _wrapped("also: " + "; ".join(_short(f) for f in also))[:4]
        if self.shrunk:
            lines += _wrapped("smallest case that shows it: " + ", ".join(f"{k} = {v}" for k, v in self.shrunk.items()))
        if self.verdict != "fail":
            by_words = {}
            for name, by_lag in self.detectable.items():
                by_words.setdefault(_caught_words(by_lag), []).append(name)
            for words in filter(None, by_words):
                lines += _wrapped(f"{', '.join(by_words[words])}: {words}")
        for name, by_lag in sorted(self.omitted.items(), key=lambda item: None in item[1])[:3]:  # those with lags first
            lines += _wrapped(_omitted_words(name, by_lag))
        if self.unseen and self.verdict != "fail":
            by_words = {}
            for name, words in sorted(self.unseen.items(), key=lambda item: None in self.detectable.get(item[0], {})):  # lags first
                by_words.setdefault(words, []).append(name)
            lines += _wrapped("not seen: " + "; ".join(f"of {', '.join(names)}, {words}" for words, names in by_words.items()))[:4]
        for note in self.notes[:4]:
            lines += _wrapped(f"note: {note}")
        return "\n".join(line[:WIDTH] for line in lines[:LINES])

    def as_json(self):
        """A dict of JSON values; lags become keys of text ("none" where lags are summed)."""
        by_lag = lambda tables: {k: {str(lag).lower(): _finite(v) for lag, v in t.items()} for k, t in tables.items()}  # noqa: E731
        return {"verdict": self.verdict, "intent": self.intent, "cell": self.cell, "findings": [f.as_json() for f in self.findings],
                "checks": [c.as_json() for c in self.checks], "detectable": by_lag(self.detectable), "omitted": by_lag(self.omitted),
                "unseen": dict(self.unseen), "notes": list(self.notes), "shrunk": self.shrunk}


def _finite(value):
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _short(finding):
    lag = "" if finding.lag is None else f" from lag {finding.lag}"
    return f"{finding.entry or 'the functions'}{lag}"


def _caught_words(by_lag):
    if not by_lag:
        return ""
    worst = max(by_lag, key=by_lag.get)
    seen = "" if worst is None else f" at lag {worst}" if len(by_lag) == 1 else f" at lags {min(by_lag)} to {max(by_lag)}"
    return f"a relative mistake of {by_lag[worst]:.0e}{seen} would have been caught"


def _omitted_words(name, by_lag):
    """Shares of the full gradient that a declared truncation leaves out, lags of equal share drawn together."""
    runs = []
    for lag, share in sorted(by_lag.items(), key=lambda item: -1 if item[0] is None else item[0]):
        if runs and f"{runs[-1][2]:.0%}" == f"{share:.0%}":
            runs[-1][1] = lag
        else:
            runs.append([lag, lag, share])
    place = lambda a, b: "in all" if a is None else f"at lag {a}" if a == b else f"at lags {a} to {b}"  # noqa: E731
    shown = [f"{share:.0%} {place(a, b)}" for a, b, share in runs[:8]]
    return f"left out of dE/d{name}: " + ", ".join(shown) + (", ..." if len(runs) > 8 else "")


def _wrapped(text):
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")
