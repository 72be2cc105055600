"""The outcome of a run of checks: what fails the run, what a baseline already knows, and where the tested code stands.

The formats for CI (junit, sarif, github, markdown) read nothing else. Imports no other part of flowcheck: a check is anything with the
attributes of `verify.Check`.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

__all__ = ["Location", "Outcome", "target", "words"]

WORSE = 10
"""How many times as large the error of a known failure may become: arguments and rounding of another machine move it less."""
SEVERITY = ("fail", "inconclusive", "known", "pass")


def target(check):
    """What a check is about, the first part of its id: a cell, a section of the paper, or module:object."""
    return check.id.split("/")[0]


@dataclass(frozen=True)
class Location:
    """Where the tested code stands: file, line from 1, the name of the function or cell."""

    file: str
    line: int
    name: str = ""

    @cached_property
    def path(self):
        """Relative to the checkout (GITHUB_WORKSPACE, the nearest folder with .git, or the working folder); else absolute."""
        file = Path(self.file).resolve()
        for root in _roots():
            if file.is_relative_to(root):
                return file.relative_to(root).as_posix()
        return file.as_posix()

    def __str__(self):
        return f"{self.path}:{self.line}"


def _roots():
    here = Path.cwd().resolve()
    if workspace := os.environ.get("GITHUB_WORKSPACE"):
        yield Path(workspace).resolve()
    yield next((p for p in (here, *here.parents) if (p / ".git").exists()), here)


@dataclass(frozen=True)
class Outcome:
    """Checks of one run.

    checks      in the order in which they ran
    locations   {check id: Location}
    seconds     {target: wall time}
    messages    {target: text}: what is to be said of all checks of a target together, in at most 25 lines
    tables      {target: text}: what is shown as it is, line by line
    baseline    {check id: entry of flowcheck.baseline/1}, or None where none was given
    strict      whether inconclusive checks fail the run
    errors      why targets could not be run; each is a failed check, too
    """

    checks: tuple
    locations: dict = field(default_factory=dict)
    seconds: dict = field(default_factory=dict)
    messages: dict = field(default_factory=dict)
    baseline: dict | None = None
    tables: dict = field(default_factory=dict)
    strict: bool = False
    errors: tuple = ()

    def status(self, check):
        """"pass", "fail", "inconclusive", or "known": a failure that the baseline has and that is no worse now."""
        entry = (self.baseline or {}).get(check.id)
        return "known" if self.counts(check) and entry and not _worse(check, entry) else check.verdict

    def counts(self, check):
        """Whether a check of this verdict fails a run without a baseline."""
        return check.verdict == "fail" or self.strict and check.verdict == "inconclusive"

    def fails(self, check):
        """Whether this check fails the run."""
        return self.counts(check) and self.status(check) != "known"

    @cached_property
    def findings(self):
        """Checks that are no passes, the worst first: failures, inconclusive ones, known ones; then in the order of the run."""
        return sorted((c for c in self.checks if c.verdict != "pass"), key=lambda c: SEVERITY.index(self.status(c)))

    @cached_property
    def failures(self):
        """Checks that fail the run."""
        return [c for c in self.checks if self.fails(c)]

    @cached_property
    def fixed(self):
        """Ids of the baseline that ran and fail no longer."""
        ran = {c.id for c in self.checks if not self.counts(c)}
        return [i for i in self.baseline or {} if i in ran]

    @cached_property
    def summary(self):
        """One line: how many pass, fail, are inconclusive, are known or fixed."""
        count = {s: sum(self.status(c) == s for c in self.checks) for s in SEVERITY}
        words = [f"{count['pass']} of {len(self.checks)} checks pass"]
        words += [f"{count['fail']} fail"] if count["fail"] else []
        words += [f"{count['inconclusive']} inconclusive"] if count["inconclusive"] else []
        words += [f"{count['known']} known from the baseline"] if count["known"] else []
        words += [f"{len(self.fixed)} fixed since the baseline"] if self.fixed else []
        return ", ".join(words)


def words(check):
    """What a check has to say: its words, or its id where it has none."""
    return check.words or check.id


def _worse(check, entry):
    """Whether a known failure has become another: inconclusive then and wrong now, wrong from a smaller lag on, or by ten times as much.

    A baseline of an earlier version knows no error. Terms are not compared: of two that explain the same numbers, rounding may choose.
    """
    if check.verdict == "fail" and entry["verdict"] != "fail":
        return True
    now, then = check.first_bad_lag, entry["first_bad_lag"]
    if now is not None and then is not None and now < then:
        return True
    error, before = check.error, entry.get("error")
    return before is not None and (error is None or not error <= WORSE * before)
