"""An outcome in each format of `flowcheck verify`."""

import textwrap

from . import documents, github, junit, markdown, sarif, text
from .outcome import target, words

__all__ = ["render"]

MOST_LINES = 25


def render(outcome, form):
    """The text of an outcome in a format: "text", "json", "junit", "sarif", "github" or "markdown"."""
    return {
        "text": lambda: _terminal(outcome),
        "json": lambda: documents.dumps(documents.verification(outcome.checks)),
        "junit": lambda: junit.junit(outcome),
        "sarif": lambda: sarif.sarif(outcome),
        "github": lambda: github.github(outcome),
        "markdown": lambda: markdown.markdown(outcome),
    }[form]()


def _terminal(outcome):
    places = {target(c): f" ({outcome.locations[c.id]})" for c in outcome.checks if c.id in outcome.locations and outcome.fails(c)}
    details = [_narrow(f"{name}{places.get(name, '')}: {message}") for name, message in outcome.messages.items()]
    details += [f"{c.verdict.upper()}  {words(c)}" for c in outcome.checks if c.verdict != "pass" and target(c) not in outcome.messages]
    details += [f"{name}: {table}" for name, table in outcome.tables.items()]
    lines = []
    if outcome.baseline is not None:
        lines += [f"known: {c.id}" for c in outcome.checks if outcome.status(c) == "known"]
        lines += [f"fixed: {i} (--write-baseline takes it out of the baseline)" for i in outcome.fixed]
        lines += [f"with the baseline: {outcome.summary}"]
    return text.verification_text(outcome.checks, details) + "".join(f"{_narrow(line)}\n" for line in lines)


def _narrow(message):
    """A message of at most 25 lines of 80 columns; a line indented by four goes on with the one before it."""
    rows = []
    for line in message.replace("\n    ", " ").splitlines():
        rows += textwrap.wrap(line, 80, subsequent_indent="    ", break_long_words=False)
    return "\n".join(rows if len(rows) <= MOST_LINES else [*rows[:MOST_LINES - 1], "..."])
