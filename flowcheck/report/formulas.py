"""Claims for the page: formulas as compact MathML, numbers, statuses, proof steps."""

import re
from functools import lru_cache
from html import escape, unescape

from .. import notation, symbolic

__all__ = ["claim_sections", "claim_summary", "formula"]

_RELATIONS = {"=": "=", "<=": r"\leq", "<": "<"}


@lru_cache(maxsize=4096)
def formula(latex):
    """MathML of a formula, in display style; the LaTeX itself, escaped, where it cannot be converted."""
    try:
        text = symbolic.mathml(latex)
    except Exception:
        return f"<code>{escape(latex)}</code>"
    text = re.sub(r"&#x0*([0-9A-Fa-f]+);", lambda m: m[0] if m[1].upper() in ("26", "3C", "3E") else unescape(m[0]), text)
    text = text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "").replace('display="inline"', 'display="block"', 1)
    text = re.sub(r'(?:<mi mathvariant="normal">\w</mi>){2,}', lambda m: f"<mi>{re.sub('<[^>]*>', '', m[0])}</mi>", text)
    return re.sub(r"<mrow>(<(m[ino])[^>]*>[^<]*</\2>)</mrow>", r"\1", text)


def claim_summary(derivations):
    """How many claims are proved, errata, failed."""
    failed = sum(bool(error) for _, error in derivations)
    return {"count": len(derivations), "proved": len(derivations) - failed, "failed": failed,
            "errata": sum(claim.status == "erratum" for claim, _ in derivations)}


def claim_sections(derivations):
    """[(section, [row])] in the order given."""
    sections = {}
    for claim, error in derivations:
        sections.setdefault(claim.section, []).append(_row(claim, error))
    return list(sections.items())


def _row(claim, error):
    printed = None if claim.printed is None else claim.printed_latex
    steps = [f for f in claim.proof.everything if hasattr(f, "words") and f.words not in claim.assumptions and not getattr(f, "lemma", False)]
    return {
        "number": _number(claim), "title": claim.title, "status": claim.status, "error": error or "",
        "derived": formula(claim.derived_latex), "printed": printed and formula(printed), "same": printed == claim.derived_latex,
        "note": claim.note, "apart": claim.counterexample.words if claim.counterexample else "",
        "assumptions": claim.assumptions, "steps": [_step(s) for s in steps if type(s).__name__ != "Given"],
    }


def _number(claim):
    number = f"({claim.id})" if claim.id.isdigit() else claim.id
    return f"{number}, journal ({claim.journal})" if claim.journal else number


def _step(fact):
    """Kind, words and, for a step of a calculation, the statement that it shows."""
    kind = type(fact).__name__
    if kind != "Step":
        return {"kind": {"Chain": "chain", "Induction": "induction over q", "Cases": "cases"}.get(kind, "rule"), "words": fact.words, "shows": ""}
    shows = f"{notation.latex(fact.lhs)} {_RELATIONS[fact.relation]} {notation.latex(fact.rhs)}"
    return {"kind": "step", "words": fact.words, "shows": formula(shows)}
