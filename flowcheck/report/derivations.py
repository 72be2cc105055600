"""Derivations as documents of their own: which claims are meant, their proof steps, and the whole as Markdown, LaTeX or HTML."""

import re

from ..claims import Cases, Chain, Family, Induction, OnInterval, Step
from ..claims.claim import Claim

__all__ = ["WRITERS", "matching", "proof_steps"]

KINDS = {Step: "step", Chain: "chain", Induction: "induction", Cases: "cases", Family: "family", OnInterval: "intervals"}


def matching(claims, target=None, section=None):
    """(claims meant, ids of the further parts): of a section; or of one equation, by its id, "41", or its journal number, "A.39"."""
    found = [c for c in claims if section is None or c.section == section]
    if target is None:
        return found, []
    parts = [c for c in found if c.id == target or c.journal == target or c.id.startswith(f"{target} ")]
    main = [c for c in parts if c.id == target] or [c for c in parts if c.id.isdigit()] or parts
    return main, [c.id for c in parts if c not in main] if len(main) == 1 else []


def proof_steps(claim: Claim):
    """[(kind, fact, words of what it rests on)] in the order of the proof; givens and rules are left out."""
    steps = []
    for fact in claim.proof.everything:
        kind = KINDS.get(type(fact))
        if kind:
            used = [*getattr(fact, "using", ()), *getattr(fact, "right", ())]
            steps.append((kind, fact, tuple(dict.fromkeys(u.words for u in used))))
    return steps


def _sections(results):
    sections = {}
    for claim, error in results:
        sections.setdefault(claim.section, []).append((claim, error))
    return sections.items()


def number(claim):
    """(41), journal (A.39); or the name of a claim without a number."""
    name = f"({claim.id})" if claim.id.isdigit() else claim.id
    return f"{name}, journal ({claim.journal})" if claim.journal else name


def _formulas(claim):
    """[(label, LaTeX)]: one where printed and derived are alike."""
    if claim.printed is None:
        return [("not printed; derived", claim.derived_latex)]
    if claim.printed_latex == claim.derived_latex:
        return [("as printed, and derived", claim.derived_latex)]
    return [("as printed", claim.printed_latex), ("as derived", claim.derived_latex)]


def markdown(results):
    """All claims in Markdown with LaTeX between dollar signs."""
    lines = ["# Derivations", "", _summary(results), ""]
    for section, claims in _sections(results):
        lines += [f"## Section {section}", ""]
        for claim, error in claims:
            lines += [f"### {_escaped(number(claim))}: {_escaped(claim.title)}", "", f"{claim.status}; {_proof(claim, error)}", ""]
            for label, latex in _formulas(claim):
                lines += [f"{label}:", "", f"$${latex}$$", ""]
            lines += [f"{_escaped(claim.note)}", ""] if claim.note else []
            lines += [f"What tells them apart: {_escaped(claim.counterexample.words)}.", ""] if claim.counterexample else []
            lines += ["Rests on:", "", *(f"- {_escaped(a)}" for a in claim.assumptions), ""] if claim.assumptions else []
    return "\n".join(lines)


def latex(results):
    """All claims as one LaTeX document."""
    lines = [r"\documentclass{article}", r"\usepackage[T1]{fontenc}", r"\usepackage{amsmath,amssymb}", r"\usepackage[margin=2cm]{geometry}",
             r"\begin{document}", r"\title{Derivations}\date{}\maketitle", _tex(_summary(results)), ""]
    for section, claims in _sections(results):
        lines += [rf"\section*{{Section {section}}}", ""]
        for claim, error in claims:
            lines += [rf"\subsection*{{{_tex(number(claim))}: {_tex(claim.title)}}}",
                      rf"\emph{{{_tex(claim.status)}; {_tex(_proof(claim, error))}}}"]
            for label, formula in _formulas(claim):
                lines += [rf"{_tex(label)}:", rf"\[ {formula} \]"]
            lines += [_tex(claim.note)] if claim.note else []
            lines += [_tex(f"What tells them apart: {claim.counterexample.words}.")] if claim.counterexample else []
            if claim.assumptions:
                lines += ["Rests on:", r"\begin{itemize}", *(rf"\item {_tex(a)}" for a in claim.assumptions), r"\end{itemize}"]
            lines.append("")
    return "\n".join([*lines, r"\end{document}"])


def html(results):
    """All claims on one page, formulas as MathML."""
    from .page import page

    return page(title="Derivations", command="flowcheck derive --format html", derivations=results)


WRITERS = {"markdown": markdown, "latex": latex, "html": html}


def _summary(results):
    failed = sum(bool(error) for _, error in results)
    defined = sum(claim.status == "definition" for claim, _ in results)
    errata = sum(claim.status == "erratum" for claim, _ in results)
    return f"{len(results) - failed - defined} claims proved, {failed} failed; {defined} definitions; {errata} errata of the paper."


def _proof(claim, error):
    return f"FAILED: {error}" if error else claim.proof_status


_SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "|": r"\textbar{}",
            "<": r"\textless{}", ">": r"\textgreater{}", **{c: rf"\{c}" for c in "_#$%&"}}


def _tex(text):
    return "".join(_SPECIAL.get(c, c) for c in text)


def _escaped(text):
    return re.sub(r"([\\`*_{}\[\]<>$|])", r"\\\1", text)
