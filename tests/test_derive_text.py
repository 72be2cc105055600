"""One claim in a terminal: 80 columns, printed and derived, every step once and by steps before it."""

import re

from claims_of_paper import EVERY_CLAIM as CLAIMS

from flowcheck.report.derivations import text
from flowcheck.report.plain import plain


def steps(shown):
    """[(number, what is said)] of the proof, where a claim is shown."""
    proof = shown.partition("\nproof:\n")[2]
    return [(int(k), " ".join(said.split())) for k, said in re.findall(r"^  (\d+)\. (.*?)(?=^  \d+\. |\Z)", proof, re.S | re.M)]


def wrong_with(id):
    """What a reader of one claim would stumble over."""
    shown, found = text(CLAIMS[id], ""), []
    said = steps(shown)
    if max(map(len, shown.splitlines())) > 80:
        found.append("wider than 80 columns")
    if [k for k, _ in said] != list(range(1, len(said) + 1)) or len({words for _, words in said}) != len(said):
        found.append("steps are not numbered, or one is there twice")
    return found + [words for k, words in said
                    if any(int(earlier) >= k for earlier in re.findall(r"(?:\bby|;) step (\d+)(?=;|$)", words))]


def test_every_claim_fits_80_columns_and_its_steps_rest_on_earlier_ones():
    assert {id: wrong for id in CLAIMS if (wrong := wrong_with(id))} == {}


def test_printed_and_derived_stand_apart_where_they_differ():
    lines = text(CLAIMS["2"], "").splitlines()
    assert lines[0] == "equation (2), journal (3.2), section 3.1: sum over all paths"
    assert [line.split(":")[0].strip() for line in lines if re.match("  (printed|derived):", line)] == ["printed", "derived"]
    assert "w_[l_m l_[m-1]]" in text(CLAIMS["2"], "") and "w_[l_[m-1] l_m]" in text(CLAIMS["2"], "")
    assert "  printed, and derived: " in text(CLAIMS["41"], "")


def test_each_case_has_a_line():
    lines = text(CLAIMS["41"], "").splitlines()
    assert "      { y^in_j(t-q) y^out_j(t) g'(net_c_j(t-q)) h'(s_c_j(t))  if v = c_j;" in lines
    assert "        y^out_j(t) g(net_c_j(t-q)) h'(s_c_j(t)) σ'(net_in_j(t-q))  if v = in_j }" in lines


def test_a_factor_that_is_a_sum_has_parentheses():
    assert re.search(r"prod\[m=1..q\] \(w_\[in .* \+ y\^φ\(m\+t\) δ\[l_m, l_\[m-1\]\]\)$", plain(CLAIMS["Gers 2002 paths"].derived.rhs))
    assert "w_[φ c^" in plain(CLAIMS["Gers 2002 paths"].derived.rhs)


def test_a_failed_proof_says_so():
    assert text(CLAIMS["41"], "claim 41: no").endswith("\nclaim 41: no\n") and "FAILED" in text(CLAIMS["41"], "claim 41: no")
