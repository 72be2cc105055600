"""Every claim of derivations/: proved, tied to what is printed, refused with a mistake in it, accepted in another form; none is missing."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from claims_of_paper import CLAIMS, FOLDER
from latex2mathml.converter import convert
from mutants import harmless, mistakes

from flowcheck import catalogue
from flowcheck.claims import HYPOTHESIS, Induction, Proof, ProofError, facts, load
from flowcheck.report.derivations import latex
from flowcheck.report.plain import plain
from flowcheck.verify.paper import check_claim

JOURNAL = {1: "3.1", 2: "3.2", **{number: f"A.{number - 2}" for number in range(3, 42)}}

UNNUMBERED = {  # what sections 3 and 4 and the appendices print without a number: the claim that has it
    "3.1": {
        "error signal of an output unit": "3.1 output error", "activation": "3.1 activation", "net input": "3.1 net input",
        "error signal of another unit": "3.1 error", "contribution to a weight": "3.1 weight update",
        "blow-up along a path": "3.1 growth along a path", "decay along a path": "3.1 decay along a path",
        "number of terms": "3.1 number of terms", "maximum of f'": "3.1 largest slope", "where the factor is maximal": "3.1 largest factor",
        "factor for large weights": "3.1 large weights", "factor below 1 for |w| < 4": "3.1 small weights",
        "learning rate": "3.1 learning rate", "global error flow": "3.1 global error flow", "matrix form": "3.1 matrix form",
        "element of a matrix": "3.1 element of a matrix", "scalar product": "3.1 scalar product", "norm of slopes": "3.1 norm of slopes",
        "norm of W_v": "3.1 norm of a column", "norm of W_u": "3.1 norm of a row", "bound in the norms": "3.1 bound by row and column",
        "bound with n": "3.1 bound", "bound by tau": "3.1 tau", "norm by w_max": "3.1 row sum", "tau < 1": "3.1 tau below 1",
    },
    "3.2": {
        "error of one unit": "3.2 error", "condition": "3.2 condition", "integration": "3.2 integration",
        "activation stays": "3.2 activation",
        "carousel": "3.2 carousel", "input weight conflict": "3.2 input weight", "output weight conflict": "3.2 output weight",
        "time constants": "3.2 time constant",
    },
    "4": {
        "net inputs": "4 net inputs", "input gate": "4 input gate", "output gate": "4 output gate", "start": "4 start", "state": "4 state",
        "output": "4 output", "drift": "4 drift closes the entry",
        "linear h": "4 linear h", "nine times the weights": "4 number of weights",
    },
    "A.1": {
        "net input of an output": "9 outputs, net input", "output": "9 outputs", "truncated input gate": "9 truncation of in_j",
        "what is truncated": "9 truncation", "input gate by units": "9 in_j by a unit", "output gate by units": "9 out_j by a unit",
        "cell by units": "9 c_j by a unit", "(11) first line": "11 first line", "(14) second line": "14 second line",
        "truncated output gate": "9 truncation of out_j", "truncated cell": "9 truncation of c_j",
        "cell, other weights": "9 truncation, ordinary units", "storage": "29 storage",
        **{f"steps of ({number})": f"29 steps of ({number})" for number in (19, 20, 21, 22, 23, 25, 26, 27, 28)}, "total": "29 steps",
    },
    "A.2": {"(31) truncated": "31 truncated", "(30) second line": "30 second line", "(41) first line": "41 first line",
            "(41) second line": "41 second line"},
}

FINDINGS = {  # mistakes and ambiguities of the paper: the claims that settle each, erratum or the other reading
    "(2): order of indices": ["2"], "where the factor is maximal": ["3.1 largest factor in (2)", "3.1 regrouping"],
    "column i, row j": ["3.1 element of a matrix"], "norm of a row": ["3.1 norm of a row"], "norm of a column": ["3.1 norm of a column"],
    "the factor n": ["3.1 bound without n", "3.1 tau without n", "3.1 tau over n"], "factor 2 of (19)": ["19"],
    "times, reading A": ["20", "21", "22 outputs", "23", "26", "28"],
    "times, reading B": ["20 reading B", "21 reading B", "22 reading B, outputs", "22 reading B, output gate",
                         "22 reading B, ordinary units", "23 reading B", "24 reading B", "26 reading B", "28 reading B", "23 times of A.1"],
    "(24): the summation letter": ["24 cells", "24 cells, v distinct"], "what is truncated": ["10 truncation list"],
    "product of deltas": ["14 product of deltas"], "steps of (22)": ["29 steps of (22)", "29 steps"],
    "blocks of S > 1": ["32 blocks", "37 blocks", "41 blocks, cell input", "41 blocks, input gate"],
    "~tr of (37)": ["37", "37 no truncation"], "constant of integration": ["3.2 integration", "3.2 constant of integration"],
    "(30) does not chain": ["30 two steps"], "task 2c": ["5 task 2c, length", "5 task 2c, symbols", "5 task 2c, indices"],
    "Table 8": ["5 Table 8, MSE"], "Table 10": ["5 Table 10, length of 2a", "5 Table 10, length of 2c", "5 Table 10, lag of 2c"],
    "lag of Experiment 1": ["5 Experiment 1, length", "5 Experiment 1, lag"], "ranges of h and g": ["4 range, above", "5 range, above"],
    "singular values for eigenvalues": [
        "3.1 singular values, eigenvalue form", "3.1 singular values, nilpotent", "3.1 singular values, (7)"],
}

NO_MISTAKE = {"5 task 2c, indices": "two bare symbols: the largest index and p"}

each_claim = pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS.keys())


def test_every_numbered_equation_is_there_under_both_numbers():
    assert {number: CLAIMS[str(number)].journal for number in range(1, 42)} == JOURNAL
    parts = {c.id: c.journal for c in CLAIMS.values() if c.journal}
    assert {journal for journal in parts.values()} == set(JOURNAL.values())
    assert [id for id, journal in parts.items() if JOURNAL[int(id.split()[0])] != journal] == []


@pytest.mark.parametrize("section", UNNUMBERED)
def test_every_formula_without_a_number_is_there(section):
    missing = {words: id for words, id in UNNUMBERED[section].items() if id not in CLAIMS or CLAIMS[id].section != section}
    assert missing == {}


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_mistake_of_the_paper_is_there(finding):
    assert [id for id in FINDINGS[finding] if id not in CLAIMS] == []


def test_every_erratum_is_a_finding():
    listed = {id for ids in FINDINGS.values() for id in ids} | {"3.1 singular values, (5)"}
    assert [c.id for c in CLAIMS.values() if c.status == "erratum" and c.id not in listed] == []


@each_claim
def test_claim_holds_as_it_stands_and_not_with_a_mistake(claim):
    claim.verify()
    assert all(isinstance(words, str) and words for words in claim.assumptions)
    assert claim.title and claim.section and claim.source.endswith(".py")
    assert claim.note or claim.status != "erratum"
    for form in (claim.printed_latex, claim.derived_latex):
        assert "$" not in form and convert(form).startswith("<math")
        assert not re.search(r"'(_\w|_\{[^{}]*\})?\^", form), "TeX refuses a prime and an exponent on one letter"
    assert "\\" not in plain(claim.derived.rhs)
    _without_proof_fails(claim)
    _mistakes_are_refused(claim)
    _other_forms_are_accepted(claim)


def _without_proof_fails(claim):
    with pytest.raises(ProofError, match="no proof|one given"):
        replace(claim, proof=Proof()).verify()
    if claim.status == "erratum":
        for broken in (replace(claim, printed=claim.derived), replace(claim, counterexample=None), replace(claim, printed=None)):
            with pytest.raises(ProofError):
                broken.verify()


def _stated(claim):
    """The form to plant mistakes in: what is printed, or what is derived where that is not as printed."""
    return ("derived", claim.derived) if claim.status == "erratum" or claim.printed is None else ("printed", claim.printed)


def _mistakes_are_refused(claim):
    field, form = _stated(claim)
    wrong = [form.func(form.lhs, mistake, evaluate=False) for _, mistake in mistakes(form.rhs, most=1)]
    wrong = wrong or [form.func(mistake, form.rhs, evaluate=False) for _, mistake in mistakes(form.lhs, most=1)]
    assert wrong or claim.id in NO_MISTAKE
    for mistaken in wrong:
        with pytest.raises(ProofError, match="not as d"):
            replace(claim, **{field: mistaken}).verify()


def _other_forms_are_accepted(claim):
    field, form = _stated(claim)
    for _, other in harmless(form.rhs):
        replace(claim, **{field: form.func(form.lhs, other, evaluate=False)}).verify()


def test_how_many_claims_are_mistaken_and_rewritten_in_how_many_ways():
    planted = {c.id: {kind for kind, _ in mistakes(_stated(c)[1].rhs)} for c in CLAIMS.values()}
    rewritten = [kind for c in CLAIMS.values() for kind, _ in harmless(_stated(c)[1].rhs)]
    assert sum(len(kinds) >= 2 for kinds in planted.values()) >= 100
    assert {kind: sum(kind in kinds for kinds in planted.values()) >= 25 for kind in ("sign", "factor", "index", "time")} == dict.fromkeys(
        ("sign", "factor", "index", "time"), True)
    assert {"order of factors", "renamed index", "h by sigma", "h by tanh", "g by h", "sigma by tanh", "slope by value"} == set(rewritten)


# No proof is by numbers.


@pytest.mark.parametrize("id", ["41", "25 every step", "4 state", "3.1 tau without n"])
def test_numbers_that_agree_do_not_stand_in_for_a_proof(id):
    claim, cells = CLAIMS[id], catalogue()
    rungs = {c.rung: c.verdict for c in check_claim(claim, cells)}
    assert set(rungs.values()) == {"pass"} and "paper-meets-code" in rungs, "the numbers agree"
    bare, = check_claim(replace(claim, proof=Proof()), cells)
    assert bare.verdict == "fail" and bare.rung in ("proof", "definition")


def test_no_claim_with_numbers_holds_where_algebra_shows_nothing(monkeypatch):
    monkeypatch.setattr(facts, "difference", lambda a, b: facts.positive_rest - 5)
    cells, fresh = catalogue(), load(FOLDER)  # proofs not yet checked
    with_numbers = [claim for claim in fresh if claim.checks and claim.status != "definition"]
    found = {claim.id: [(c.rung, c.verdict) for c in check_claim(claim, cells)] for claim in with_numbers}
    assert len(found) >= 50 and {id: checks for id, checks in found.items() if checks != [("proof", "fail")]} == {}


# Induction.


def inductions():
    """Each induction of the folder once."""
    found = {id(fact): (fact, claim) for claim in CLAIMS.values() for fact in claim.proof.everything if isinstance(fact, Induction)}
    return [pytest.param(fact, id=f"{claim.id}, {fact.words}") for fact, claim in found.values()]


@pytest.mark.parametrize("induction", inductions())
def test_induction_has_base_and_step(induction):
    assert not _uses(induction.base, HYPOTHESIS)
    assert _uses(induction.step, HYPOTHESIS) or induction.words in WITHOUT_HYPOTHESIS
    for missing in ({"base": None}, {"step": None}, {"start": induction.start + 3}):
        with pytest.raises(ProofError):
            Proof(replace(induction, **missing)).verify()


WITHOUT_HYPOTHESIS = {"the direction stays"}  # one step of the nilpotent net takes every state there


def _uses(fact, what):
    return any(used is what for step in getattr(fact, "steps", (fact,)) for used in step.using)


def test_every_lag_is_by_induction():
    by_lag = ["2", "3.1 matrix form", "3.1 bound", "3.1 tau", "3.1 bound in any norm", "3.1 singular values, (7)", "3.2 product",
              "3.2 carousel", "4 sum of inputs", "14 every step", "40 every lag", "40 product", "41", "40 blocks", "41 blocks, cell input"]
    without = [id for id in by_lag if not any(isinstance(fact, Induction) for fact in CLAIMS[id].proof.everything)]
    assert without == []


def test_only_one_claim_is_for_a_family():
    assert {c.id: c.proof_status for c in CLAIMS.values() if c.proof_status not in ("proved", "definition")} == {
        "5 Reber strings": "proved for n <= 3"}


def test_the_whole_compiles(tmp_path):
    if not shutil.which("pdflatex"):
        pytest.skip("no TeX here: pdflatex is not installed")
    (tmp_path / "paper.tex").write_text(latex([(claim, "") for claim in CLAIMS.values()]))
    done = subprocess.run(["pdflatex", "-interaction=nonstopmode", "paper.tex"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and (tmp_path / "paper.pdf").exists(), re.findall(r"^!.*\n.*", done.stdout, re.MULTILINE)


def test_each_page_is_short_and_opens_with_its_problem():
    for file in {c.source for c in CLAIMS.values()}:
        text = Path(file).read_text()
        assert len(text.splitlines()) <= 300, file
        assert all(word in text for word in ("Problem.", "Results.")), file
