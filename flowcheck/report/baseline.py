"""The baseline: failures that are known, so that only regressions fail a run. A JSON file, flowcheck.baseline/1, keyed by check id."""

import json
import math
from pathlib import Path

from .files import write_atomically

__all__ = ["read_baseline", "write_baseline"]

SCHEMA = "flowcheck.baseline/1"


def write_baseline(path, outcome):
    """Write every failure of the run, new or known; returns how many. Whole or not at all."""
    failures = sorted((c for c in outcome.checks if outcome.counts(c)), key=lambda c: c.id)
    document = {"schema": SCHEMA, "known": [
        {"id": c.id, "rung": c.rung, "verdict": c.verdict, "first_bad_lag": c.first_bad_lag,
         "error": None if c.error is None or not math.isfinite(c.error) else c.error, "words": c.words} for c in failures]}
    write_atomically(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return len(failures)


def read_baseline(path):
    """{check id: entry}. Raises ValueError, one line, where the file is no baseline or one of another version."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error}); flowcheck verify --write-baseline {path} makes a baseline") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise ValueError(f"{path}: expected a baseline with schema {SCHEMA!r}, got {found!r}; --write-baseline makes one")
    known = document.get("known")
    if not (isinstance(known, list) and all(map(_is_entry, known))):
        raise ValueError(f"{path}: \"known\" is a list of entries with id, verdict and first_bad_lag; --write-baseline makes one")
    return {entry["id"]: entry for entry in known}


def _is_entry(entry):
    return (isinstance(entry, dict) and isinstance(entry.get("id"), str) and entry.get("verdict") in ("fail", "inconclusive")
            and (entry.get("first_bad_lag", "") is None or type(entry.get("first_bad_lag")) is int))
