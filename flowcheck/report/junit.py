"""JUnit XML of an outcome: a suite per target, a case per check, as pytest and Jenkins write and read them.

A failure has its words; an inconclusive or known one is skipped, with its reason. Keeps to the Jenkins schema (junit-10.xsd).
"""

import re
from xml.etree import ElementTree

from .outcome import target, words

__all__ = ["junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcome):
    """The XML text. Counts are those of pytest: tests, failures, errors, skipped; time in seconds."""
    root = ElementTree.Element("testsuites", name="flowcheck")
    groups = {}
    for check in outcome.checks:
        groups.setdefault(target(check), []).append(check)
    for name, checks in groups.items():
        suite = ElementTree.SubElement(root, "testsuite", name=_text(name))
        results = [_case(suite, outcome, check) for check in checks]
        suite.attrib |= _counts(results) | {"skipped": str(results.count("skipped"))} | _time(outcome.seconds.get(name))
        where = outcome.locations.get(checks[0].id)
        suite.attrib |= {"file": _text(where.path)} if where else {}
    cases = [case[0].tag if len(case) else "" for case in root.iter("testcase")]
    root.attrib |= _counts(cases) | _time(sum(outcome.seconds.values()) if outcome.seconds else None)
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _case(suite, outcome, check):
    name = target(check)
    case = ElementTree.SubElement(suite, "testcase", classname=_text(name), name=_text(check.id.removeprefix(f"{name}/")))
    if check.verdict == "pass":
        return ""
    where, status = outcome.locations.get(check.id), outcome.status(check)
    tag = "failure" if outcome.fails(check) else "skipped"
    reason = "" if status == "fail" else f"{status}: "
    message = reason + words(check)
    node = ElementTree.SubElement(case, tag, message=_text(message.splitlines()[0]), type=f"flowcheck.{status}")
    node.text = _text(f"{where}: {message}" if where else message)
    return tag


def _counts(results):
    return {"tests": str(len(results)), "failures": str(results.count("failure")), "errors": "0"}


def _time(seconds):
    return {} if seconds is None else {"time": f"{seconds:.3f}"}


def _text(text):
    """Text without the characters that XML 1.0 cannot hold; each becomes its number, as in pytest."""
    return _NOT_XML.sub(lambda found: f"#x{ord(found[0]):02X}", str(text))
