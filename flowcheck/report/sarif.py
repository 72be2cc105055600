"""SARIF 2.1.0 of an outcome: a rule per rung, a result per finding, at the source line of the code that was tested.

Failures are errors, inconclusive checks are notes. A result's fingerprint is made of its id, not of its numbers or its line, so it
stays one and the same alert while the code around it moves. With a baseline each result has its state, and known ones are suppressed.
"""

import hashlib
import json
import re
from pathlib import PurePath
from urllib.parse import quote

from .. import __version__
from .outcome import target, words

__all__ = ["sarif"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
RUNGS = {
    "forward": "The forward pass gives the values that its definition gives, and nothing else changes.",
    "partials": "Every partial derivative of every unit equals the complex step of its formula.",
    "step-jacobian": "The Jacobian of one step equals the complex step of the forward pass.",
    "flow": "Error flow equals the complex step at every lag, relative to its size at that lag.",
    "high-precision": "Error flow equals differences in high-precision arithmetic.",
    "step-gradient": "The error at every net input equals the complex step, step by step.",
    "gradient": "The gradient equals the derivative of the forward pass, entry by entry and lag by lag.",
    "backward": "The backward pass gives the same gradients at every call and changes none of its arguments.",
    "scale": "The gradient is right up to one positive factor, as declared.",
    "claims": "The cell does what it promises, at every lag.",
    "proof": "The formula is proved, step by step.",
    "paper-meets-code": "The formula of the paper gives the numbers that the code gives.",
}


def sarif(outcome):
    """The JSON text."""
    rungs = list(dict.fromkeys(c.rung for c in outcome.checks))
    driver = {"name": "flowcheck", "version": __version__, "semanticVersion": __version__, "rules": [_rule(r) for r in rungs]}
    run = {"tool": {"driver": driver}, "invocations": [{"executionSuccessful": True}], "columnKind": "unicodeCodePoints",
           "results": [_result(outcome, check, rungs) for check in outcome.findings]}
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def _rule(rung):
    sentence = RUNGS.get(rung, f"The checks of rung {rung} pass.")
    name = "".join(part.capitalize() for part in _parts(rung))
    return {"id": _rule_id(rung), "name": name, "shortDescription": {"text": sentence}, "fullDescription": {"text": sentence},
            "help": {"text": f"{sentence} A failed check says what it got and what it expected, and over which lag."},
            "defaultConfiguration": {"level": "error"},
            "properties": {"tags": ["correctness", "gradient"], "precision": "very-high", "problem.severity": "error"}}


def _rule_id(rung):
    return f"flowcheck/{'-'.join(_parts(rung))}"


def _parts(rung):
    return re.findall(r"[A-Za-z0-9]+", rung)


def _result(outcome, check, rungs):
    level = "error" if outcome.counts(check) else "note"
    text = words(check) if check.verdict == "fail" else f"{check.verdict}: {words(check)}"
    result = {"ruleId": _rule_id(check.rung), "ruleIndex": rungs.index(check.rung), "level": level, "message": {"text": text},
              "locations": _locations(outcome.locations.get(check.id), target(check)),
              "partialFingerprints": {"flowcheckId/v1": hashlib.sha256(check.id.encode()).hexdigest()},
              "properties": {k: v for k, v in check.as_json().items() if k not in ("words", "rung")}}
    if outcome.baseline is not None:
        known = check.id in outcome.baseline
        state = "new" if not known else "unchanged" if outcome.status(check) == "known" else "updated"
        result["baselineState"] = state
        if state == "unchanged":
            result["suppressions"] = [{"kind": "external", "justification": "known from the baseline"}]
    return result


def _locations(where, name):
    logical = {"fullyQualifiedName": where.name if where and where.name else name}
    if where is None:
        return [{"logicalLocations": [logical]}]
    file = PurePath(where.path)
    artifact = {"uri": file.as_uri()} if file.is_absolute() else {"uri": quote(where.path), "uriBaseId": "%SRCROOT%"}
    return [{"physicalLocation": {"artifactLocation": artifact, "region": {"startLine": where.line}}, "logicalLocations": [logical]}]
