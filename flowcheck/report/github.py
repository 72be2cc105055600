"""GitHub workflow commands of an outcome: annotations at the source line of the tested code.

GitHub shows at most 10 annotations of a step and drops the others without a word. So findings with one verdict, place and rung are one
annotation, the worst come first, and a last line counts those that are left out.
"""

from .outcome import target, words

__all__ = ["MOST_ANNOTATIONS", "github"]

MOST_ANNOTATIONS = 10
MOST_LINES = 25


def github(outcome):
    """Lines ::error or ::warning file=,line=,title=::message, at most 10, then a line of summary. Known failures get none."""
    groups = {}
    for check in outcome.findings:
        if outcome.status(check) != "known":
            groups.setdefault((outcome.counts(check), target(check), check.rung, outcome.locations.get(check.id)), []).append(check)
    lines = [_annotation(*key, checks) for key, checks in [*groups.items()][:MOST_ANNOTATIONS]]
    left = [*groups.values()][MOST_ANNOTATIONS:]
    if left:
        findings = sum(map(len, left))
        lines.append(f"flowcheck: {findings} more finding{'s' * (findings > 1)} in {len(left)} group{'s' * (len(left) > 1)} left out "
                     f"(GitHub shows {MOST_ANNOTATIONS} annotations a step); the other formats have all")
    return "\n".join([*lines, f"flowcheck: {outcome.summary}"]) + "\n"


def _annotation(fails, name, rung, where, checks):
    message = [line for check in checks for line in words(check).splitlines()]
    if len(message) > MOST_LINES:
        message = [*message[:MOST_LINES - 1], f"... {len(message) - MOST_LINES + 1} more lines"]
    more = f" ({len(checks)} findings)" if len(checks) > 1 else ""
    properties = {"file": where.path, "line": where.line} if where else {}
    properties["title"] = f"flowcheck: {name}, {rung} {'fails' if fails else 'is inconclusive'}{more}"
    written = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{'error' if fails else 'warning'} {written}::" + _data("\n".join(message))


def _data(text):
    return str(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value):
    return _data(value).replace(":", "%3A").replace(",", "%2C")
