"""Derivations as documents of their own: which claims are meant, their proof steps, one in a terminal, all as Markdown, LaTeX or HTML."""

import re
import textwrap

from ..claims import Cases, Chain, Family, Induction, OnInterval, Step
from ..claims.claim import Claim
from .plain import plain

__all__ = ["WRITERS", "also", "matching", "proof_steps", "text"]

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


def text(claim, error):
    """One claim in 80 columns: as printed, as derived, what it rests on, its proof step by step."""
    derived, printed = (None if form is None else _stated(form, {"==": "="}.get(form.rel_op, form.rel_op), claim)
                        for form in (claim.derived, claim.printed))
    lines = [*_wrapped(f"equation {number(claim)}, section {claim.section}: {claim.title}", "", "  "),
             f"status: {', '.join(dict.fromkeys([claim.status, 'FAILED' if error else claim.proof_status]))}", ""]
    if printed == derived:
        lines += _formula("printed, and derived: ", derived)
    else:
        lines += _formula("printed: ", "(not in the paper)" if printed is None else printed) + _formula("derived: ", derived)
    lines += ["", *_wrapped(claim.note, "  ", "  ")] if claim.note else []
    lines += ["", *_wrapped(f"what tells them apart: {claim.counterexample.words}", "", "  ")] if claim.counterexample else []
    lines += ["", "rests on:", *(line for a in claim.assumptions for line in _wrapped(a, "  ", "    "))] if claim.assumptions else []
    return "\n".join([*lines, *_proof_lines(claim), *(["", *_wrapped(error, "", "    ")] if error else [])]) + "\n"


def also(others):
    """The further parts of an equation, to be asked for by name."""
    return "\n" + "\n".join(_wrapped(f"also: {', '.join(others)}", "", "  ")) + "\n" if others else ""


def _proof_lines(claim):
    """The steps numbered, each with the numbers of the steps and with the rules that it is made by; what is alike is said once."""
    numbers, said = {}, {}
    for kind, fact, _ in proof_steps(claim):
        by = [*getattr(fact, "using", ()), *getattr(fact, "right", ())]
        steps = sorted({numbers[id(_cited(u))] for u in by if id(_cited(u)) in numbers})
        rules = dict.fromkeys(u.words for u in by if id(_cited(u)) not in numbers)
        how = f"induction over {plain(fact.q)} from {fact.start}, " if kind == "induction" else "" if kind == "step" else f"{kind}, "
        new = (f"{how}{fact.words}: ", _stated(fact, fact.relation, claim), "; ".join([*(f"step {k}" for k in steps), *rules]))
        numbers[id(fact)] = said.setdefault(new, len(said) + 1)
    lines = []
    for (words, formula, because), k in said.items():
        lines += _formula(f"{k}. {words}", formula) + (_wrapped(f"by {because}", "     ", "       ") if because else [])
    return ["", "proof:", *lines] if lines else []


def _cited(used):
    """The fact that is used: of a rule that differentiates an equation, that equation."""
    return getattr(used, "equation", used)


def _stated(statement, relation, claim):
    sign = "~tr" if relation == "=" and claim.status == "truncated" else relation
    return f"{plain(statement.lhs)} {sign} {plain(statement.rhs)}"


def _formula(words, formula):
    """A formula after some words, each case of it on a line of its own."""
    head, *cases = re.split(r"(?<=~tr) (?=\{ )|(?<==) (?=\{ )|(?<=;)  ", formula)
    lines = _wrapped(words + head, "  ", "      ")
    return lines + [line for case in cases for line in _wrapped(case if case.startswith("{") else f"  {case}", "      ", "          ")]


def _wrapped(words, first, then):
    return textwrap.wrap(words, 80, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False)


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
