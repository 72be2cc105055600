"""Claims for the page: formulas as compact MathML, numbers, statuses, proof steps."""

import re
from functools import lru_cache
from xml.etree import ElementTree

from markupsafe import Markup, escape

from .. import notation, symbolic

__all__ = ["bound_rows", "claim_sections", "claim_summary", "formula", "prose"]

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_INDEX = re.compile(r"(?<=[\w)|′\]>])([_^])(?:\{([^{}]*)\}|(\w+))")
_RELATIONS = {"=": "=", "<=": r"\leq", "<": "<"}


@lru_cache(maxsize=4096)
def formula(latex):
    """MathML of a formula, in display style; the LaTeX itself, escaped, where it cannot be converted."""
    try:
        text = symbolic.mathml(latex)
    except Exception:
        return f"<code>{escape(latex)}</code>"
    return ElementTree.tostring(_tidy(ElementTree.fromstring(text)), encoding="unicode")


def _tidy(node):
    """MathML that renders without a math font too: limits above and below, upright words, primes, cases with a rule."""
    children = [_tidy(child) for child in node]
    node.tag = node.tag.removeprefix(_NAMESPACE)
    if node.tag == "math":
        node.set("display", "block")
    if node.tag == "msubsup" and children[0].text in ("∑", "∏"):
        node.tag = "munderover"
    if node.tag == "msubsup" and children[2].text == "′":
        base = _element("mrow", [children[0], _element("mo", text="′", lspace="0", rspace="0")])
        node.tag, children = "msub", [base, children[1]]
    if node.tag == "msup" and children[1].text == "′":
        return _element("mrow", [children[0], _element("mo", text="′", lspace="0", rspace="0")])
    if node.tag == "mrow" and len(children) == 2 and children[0].text == "{" and children[1].tag == "mtable":
        if len(children[1]) > 1:
            children[1].set("class", "cases")
        return children[1]
    if (
        node.tag == "mrow"
        and len(children) > 1
        and all(c.tag == "mi" and c.get("mathvariant") == "normal" for c in children)
    ):
        return _element("mi", text="".join(c.text for c in children))
    if node.tag == "mrow" and len(children) == 1:
        return children[0]
    node[:] = children
    return node


def _element(tag, children=(), text=None, **attributes):
    element = ElementTree.Element(tag, attributes)
    element.text = text
    element.extend(children)
    return element


def prose(text):
    """A claim's plain words with indices set low, exponents high and Greek names as letters; escaped."""
    text = str(escape(text)).replace("&#39;", "'")
    for name, letter in (("vartheta", "ϑ"), ("tau", "τ"), ("&lt;=", "≤"), ("_oo", "_∞")):
        text = re.sub(rf"(?<![A-Za-z]){name}(?![A-Za-z])", letter, text)
    text = re.sub(r"(?<![A-Za-z])([fghFy])('+)(?![A-Za-z])", lambda m: m[1] + "′" * len(m[2]), text)
    while (new := _INDEX.sub(_set_index, text)) != text:
        text = new
    return Markup(text)


def _set_index(match):
    inside = match[2] if match[2] is not None else match[3]
    tag = "sub" if match[1] == "_" else "sup"
    return f"<{tag}>{inside}</{tag}>"


def claim_summary(derivations):
    """How many claims are proved, failed, definitions; and the errata as [(number, anchor, title)]."""
    failed = sum(bool(error) for _, error in derivations)
    defined = sum(claim.status == "definition" for claim, _ in derivations)
    return {
        "count": len(derivations) - defined,
        "proved": len(derivations) - defined - failed,
        "failed": failed,
        "definitions": defined,
        "errata": [(_number(c), _anchor(c), c.title) for c, _ in derivations if c.status == "erratum"],
    }


def bound_rows(derivations, bounds):
    """[(number, anchor, title, what was found)] of the bounds; {claim id: words}."""
    return [(_number(c), _anchor(c), c.title, bounds[c.id]) for c, _ in derivations if c.id in bounds]


def claim_sections(derivations):
    """[(section, [row])] in the order given; a step that stands in an earlier claim is told by that claim's number."""
    sections, stands = {}, {}
    for claim, error in derivations:
        sections.setdefault(claim.section, []).append(_row(claim, error, stands))
    return list(sections.items())


def _row(claim, error, stands):
    printed = None if claim.printed is None else claim.printed_latex
    steps = [
        f
        for f in claim.proof.everything
        if hasattr(f, "words") and f.words not in claim.assumptions and not getattr(f, "lemma", False)
    ]
    steps = dict.fromkeys(_stated(s) for s in steps if type(s).__name__ != "Given")
    earlier = dict.fromkeys(stands[s] for s in steps if s in stands)
    new = [s for s in steps if s not in stands]
    name = f"({claim.id})" if claim.id.isdigit() else claim.id
    stands.update(dict.fromkeys((s for s in new if s[0] != "rule"), (name, _anchor(claim))))
    return {
        "number": _number(claim),
        "anchor": _anchor(claim),
        "title": claim.title,
        "status": claim.status,
        "proof": claim.proof_status,
        "error": error or "",
        "derived": formula(claim.derived_latex),
        "printed": printed and formula(printed),
        "same": printed == claim.derived_latex,
        "note": claim.note,
        "apart": claim.counterexample.words if claim.counterexample else "",
        "assumptions": claim.assumptions,
        "earlier": list(earlier),
        "steps": [{"kind": kind, "words": words, "shows": latex and formula(latex)} for kind, words, latex in new],
    }


def _anchor(claim):
    return "claim-" + re.sub(r"[^A-Za-z0-9.]+", "-", claim.id).strip("-")


def _number(claim):
    number = f"({claim.id})" if claim.id.isdigit() else claim.id
    return f"{number}, journal ({claim.journal})" if claim.journal else number


def _stated(fact):
    """(kind, words, LaTeX of what a step of a calculation shows)."""
    kind = type(fact).__name__
    if kind != "Step":
        return {"Chain": "chain", "Induction": "induction over q", "Cases": "cases"}.get(kind, "rule"), fact.words, ""
    return "step", fact.words, f"{notation.latex(fact.lhs)} {_RELATIONS[fact.relation]} {notation.latex(fact.rhs)}"
