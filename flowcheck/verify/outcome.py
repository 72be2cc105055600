"""Gather comparisons into a Verification: checks, findings, what was detectable, what stayed unseen."""

import numpy as np

from .pieces import SATURATED
from .result import Check
from .soundness import clip_words
from .verification import Finding, Verification
from .wording import describe, doubt, lag_words

__all__ = ["Outcome"]

ORDER = {"fail": 0, "inconclusive": 1, "pass": 2}
ROUNDING = 1e-12
"""Two references of one gradient, of the user's forward and of the cell that matches it, differ by their rounding."""


class Outcome:
    """Mutable while a check runs; `verification()` is what remains."""

    def __init__(self, functions, arguments, intent):
        self.functions, self.arguments, self.intent = functions, arguments, intent
        self.checks, self.findings, self.notes = [], [], []
        self.detectable, self.omitted, self.unseen = {}, {}, {}
        self.failed, self.cell, self.shrunk, self.doubted = [], "", None, {}
        self.blind, self.missed, self.whole = {}, {}, {}

    @property
    def verdict(self):
        found = {c.verdict for c in self.checks} | {f.verdict for f in self.findings}
        return min(found, key=ORDER.get, default="pass")

    def stopped(self, finding):
        """The Verification of functions that are not sound enough to be compared."""
        self.add_finding(finding)
        return self.verification()

    def add_finding(self, finding):
        if finding is not None and finding.words not in {f.words for f in self.findings}:
            self.findings.append(finding)
            self.checks.append(Check(finding.term, finding.term, finding.verdict, term=finding.term, words=finding.words))

    def add(self, comparisons, where="", arguments=None):
        """Take over Comparisons; `where` says on which arguments, "" for those given."""
        arguments, suffix = arguments or self.arguments, f", {where}" if where else ""
        for one in comparisons:
            term, words = f"dE/d{one.entry}", ""
            self._record(one, where)
            if one.verdict == "inconclusive" and (where or not (one.doubtful or one.unknown)):
                continue  # nothing is owed on harder arguments than those given; what no other comparison sees is said at the end
            if one.verdict == "fail":
                first = one.bad is not None and all(other.entry != one.entry for other, _, _ in self.failed)
                clip = clip_words(self.functions, one.arguments or arguments, one) if first and self._steady() else ""
                words = describe(one, clip=clip) + (f" ({where})" if where else "")
            elif one.verdict == "inconclusive":
                saturated = "outputs are saturated, so 1 - y^2 of a rounded y may be that far off"
                words = doubt(one, saturated if one.gap < SATURATED else "it is ill-conditioned", self.intent.samples)
            lag, error, tolerance = (None, one.error, max(one.tolerances.values(), default=None))
            if one.bad is not None:
                lag, error, tolerance = one.bad[:3]
            elif one.verdict == "fail":
                error = None  # it is no gradient that could be compared
            self.checks.append(Check(f"{one.entry}, {one.seed.name}{suffix}", "gradient", one.verdict, first_bad_lag=lag,
                                     term=term if one.verdict != "pass" else "", error=error, tolerance=tolerance,
                                     detectable=tolerance, words=words))
            if one.verdict != "pass":
                self._find(one, lag, error, tolerance, words, arguments, where)

    def replace(self, comparisons, arguments):
        """Take over failed Comparisons that say better what is known of their entries."""
        entries = {(one.entry, f"dE/d{one.entry}") for one in comparisons}
        self.findings = [f for f in self.findings if (f.entry, f.term) not in entries]
        self.add(comparisons, arguments=arguments)

    def _find(self, one, lag, error, tolerance, words, arguments, where):
        """One finding an entry: the first comparison that failed says it, of a sum over time the one with the first lag."""
        timed = self.arguments.axis(one.entry) is not None
        self.failed += [(one, arguments, where)] if one.verdict == "fail" else []
        known = [f for f in self.findings if f.entry == one.entry and f.term == f"dE/d{one.entry}"]
        earlier = lag is not None and known and (known[0].lag is None or not timed and lag < known[0].lag)
        if known and ORDER[known[0].verdict] <= ORDER[one.verdict] and not earlier:
            return
        self.findings = [f for f in self.findings if f not in known]
        self.findings.append(Finding(one.entry, lag, f"dE/d{one.entry}", error, tolerance, words, one.verdict))

    def _steady(self):
        """Whether equal calls of backward give equal answers."""
        return self.intent.kind != "stochastic" and all(f.term != "backward" for f in self.findings)

    def _record(self, one, where):
        """What the comparison could have caught and what not; harder arguments count where those given show nothing."""
        timed, table = self.arguments.axis(one.entry) is not None, self.detectable.setdefault(one.entry, {})
        for lag, tolerance in one.tolerances.items():
            if (lag is not None) == timed and lag not in one.doubtful and 0 <= (lag or 0) < (self.arguments.steps or 1):
                table.setdefault(lag, tolerance)
        if where:
            return
        self.doubted.setdefault(one.entry, set()).update(one.doubtful)
        if timed and None in one.tolerances:
            self.whole.setdefault(one.entry, one.tolerances[None])
        causal = [lag for lag in one.below if lag is None or lag >= 0]
        last = one.seed.t is None or one.seed.t + 1 == self.arguments.steps
        if causal and last and self.intent.kind != "truncated" and not any(n.startswith(f"dE/d{one.entry}") for n in self.notes):
            said = "the flow is zero or below 1e-200, too small to compare; so is the gradient"
            self.notes.append(f"dE/d{one.entry}{lag_words(causal)}: {said}")
        if one.unseen and one.verdict != "fail":
            self.missed.setdefault(one.entry, []).append(one)
        if one.tolerances or one.below:
            self.blind[one.entry] = False
        elif one.verdict == "inconclusive":
            self.blind.setdefault(one.entry, True)

    def _say_unseen(self):
        """Fill `unseen`; an entry of which no comparison saw anything is no pass."""
        for name, missed in self.missed.items():
            table, timed = self.detectable.get(name, {}), self.arguments.axis(name) is not None
            lags = [lag for one in missed for lag in one.unseen if lag is not None and lag >= 0 and lag not in table]
            truncated = "the truncated part" if self.intent.kind == "truncated" else ""
            said = lag_words(lags).removeprefix(", ") or truncated
            if not timed and not truncated:
                said = ", ".join(one.seed.name for one in missed)
            if said:
                self.unseen.setdefault(name, f"{said} (the reference cannot tell)")
            if self.blind.get(name) and not table:
                one = missed[0]
                words = doubt(one, "")
                self.checks.append(Check(f"{name}, {one.seed.name}", "gradient", "inconclusive", term=f"dE/d{name}", words=words))
                self._find(one, None, one.error, None, words, self.arguments, "")

    def matched(self, match, cells):
        names = ", ".join(c.name for c in cells)
        if match is None:
            names = names if len(cells) < 4 else "any cell of the catalogue"
            self.notes.append(f"forward does not compute what {names} computes, in any gate order or layout tried: terms are not named")
        else:
            self.cell = match.cell.name
            self.notes.append(f"forward computes {match.cell.name}: {match.words}")

    def leave_out(self, expected, seeds, rng):
        """Share of the full gradient that the declared truncation leaves out, per entry and, for inputs, per lag."""
        seed = next((s for s in seeds if s.t is not None), seeds[-1])
        for _, name, array in self.arguments.entries():
            axis = self.arguments.axis(name)
            steps = [None] if axis is None else range(self.arguments.steps - 1, -1, -1)
            for t in steps:
                where = ... if t is None else self.arguments.at_step(name, t)
                left, whole = [], []
                for _ in range(2):
                    v = np.zeros(array.shape)
                    v[where] = rng.normal(size=array[where].shape)
                    kept = expected.declared(self.arguments, name, t, v, [seed])[0]
                    if kept is None:
                        break
                    full = expected.full(self.arguments, name, v, [seed])[0]
                    left.append(full[0] - kept[0])
                    whole.append(full[0])
                size = np.linalg.norm(whole)
                if whole and size > 0:
                    lag = None if t is None or seed.t is None else seed.t - t
                    share = float(np.linalg.norm(left) / size)
                    self.omitted.setdefault(name, {})[lag] = 0.0 if share < ROUNDING else min(1.0, share)

    def verification(self):
        self._say_unseen()
        for name, lags in self.doubted.items():
            self.detectable[name] = {lag: v for lag, v in self.detectable.get(name, {}).items() if lag not in lags}
        for name, tolerance in self.whole.items():
            self.detectable[name] = self.detectable[name] or {None: tolerance}
        self.detectable = {name: by_lag for name, by_lag in self.detectable.items() if by_lag}
        for name in (n for group, n, _ in self.arguments.entries() if group != "state0"):
            by_lag = self.detectable.get(name, {})
            if set(by_lag) == {None} and self.verdict != "fail" and name not in self.unseen and self.arguments.steps:
                self.unseen[name] = "single lags, only their sum"
        timed = lambda entry: self.arguments.axis(entry) is not None  # noqa: E731
        findings = sorted(self.findings, key=lambda f: (ORDER[f.verdict], not _unsound(f), not timed(f.entry), f.lag is None))
        checks = sorted(self.checks, key=lambda c: (ORDER[c.verdict], c.first_bad_lag is None))
        return Verification(self.verdict, tuple(checks), self.detectable, tuple(self.notes), tuple(findings), self.omitted, self.unseen,
                            str(self.intent), self.cell, self.shrunk)


def _unsound(finding):
    """Whether the functions themselves are at fault, not a number that they return."""
    return not finding.term.startswith("dE/")
