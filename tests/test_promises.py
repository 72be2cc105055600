"""What cells promise of themselves: every claim is measured at 1000 lags, and every kind of claim can be broken."""

from dataclasses import replace

import numpy as np
import pytest

from flowcheck import CellClaim, EquationError, Implementation, Mismatch, catalogue, check_cell
from flowcheck.equations import CLAIMS
from flowcheck.verify.ladder import check_claims, make_problem
from flowcheck.verify.promises import PROMISES
from flowcheck.verify.result import Check

LAGS = 1000
CLAIMED = [pytest.param(cell, id=name) for name, cell in catalogue().items() if cell.claims]


@pytest.mark.parametrize("cell", CLAIMED)
def test_every_claim_holds_at_a_thousand_lags(cell):
    checks = check_claims(cell, lags=LAGS)
    assert [c.words for c in checks if c.verdict != "pass"] == []
    assert len(checks) == len(cell.claims) == len({c.id for c in checks})
    assert all(c.error <= c.tolerance <= 1e-10 for c in checks)


def test_every_kind_of_claim_has_a_measure_and_a_cell_that_makes_it():
    assert set(PROMISES) == set(CLAIMS) == {claim.word for cell in catalogue().values() for claim in cell.claims}


FALSE = [  # cell, claim, first lag at which it must be found false
    ("lstm", CellClaim("carousel", "s", "kept"), 1),
    ("lstm_cifg", CellClaim("product:y_in", "s", "the wrong gate"), 1),
    ("lru", CellClaim("product:a_im,a_re", "re,im", "real and imaginary part exchanged"), 1),
    ("lru", CellClaim("product:a_re,a_im", "im,re", "conjugate"), 1),
    ("mgu", CellClaim("linear", "y", "linear"), 1),
    ("indrnn", CellClaim("linear", "y", "linear but for the kink"), 1),
    ("tanh", CellClaim("independent", "y", "alone"), 1),
    ("lstm", CellClaim("independent", "s", "alone"), 2),
    ("tdnn", CellClaim("delay:1", "d_2", "one register for two"), 1),
    ("tdnn", CellClaim("delay:3", "d_2", "three registers for two"), 2),
    ("narx", CellClaim("delay:3", "y", "the loop forgotten"), 3),
    ("lstm", CellClaim("coupled:y_in,y_f", "s", "coupled"), 0),
]


@pytest.mark.parametrize(("name", "claim", "lag"), FALSE, ids=[f"{n}-{c.kind}-{c.text}" for n, c, _ in FALSE])
def test_a_false_claim_is_reported_with_its_lag(name, claim, lag):
    last = check_cell(replace(catalogue()[name], claims=[claim]), lags=12)[-1]
    assert (last.verdict, last.rung, last.first_bad_lag) == ("fail", "claims", lag), last.words
    assert "\n" not in last.words and claim.text in last.words


def test_a_flow_that_grows_is_no_nonexpansive_one():
    cell = replace(catalogue()["tanh"], claims=[CellClaim("nonexpansive", "y", "never grows")])
    last = check_cell(cell, lags=12)[-1]
    assert (last.verdict, last.rung) == ("fail", "claims")


RIGHT = Implementation()


def changed(change, first):
    def flow(p, lags, cut):
        for q, (matrices, floor) in enumerate(RIGHT.flow(p, lags, cut), 1):
            yield ({k: change(m) for k, m in matrices.items()} if q >= first else matrices), floor
    return Implementation(flow=flow)


MISTAKES = [  # cell, kind of claim, mistake in the flow from lag 7 on
    ("carousel", "carousel", "a millionth lost", lambda m: m * (1 - 1e-6)),
    ("janet", "product", "a millionth lost", lambda m: m * (1 - 1e-6)),
    ("s5", "product", "sign", np.negative),
    ("rg_lru", "linear", "a millionth lost", lambda m: m * (1 - 1e-6)),
    ("lru", "linear", "sign", np.negative),
    ("mamba", "independent", "a trace off the diagonal", lambda m: m + 1e-300),
    ("min_gru", "nonexpansive", "grows once", lambda m: m * 2),
    ("tdnn", "delay", "a trace beyond the line", lambda m: m + 1e-300),
]


@pytest.mark.parametrize(("name", "word", "mistake", "change"), MISTAKES, ids=[f"{n}-{w}-{m}" for n, w, m, _ in MISTAKES])
def test_a_mistake_in_the_flow_breaks_the_promise_at_its_lag(name, word, mistake, change):
    cell = catalogue()[name]
    claim = next(c for c in cell.claims if c.word == word)
    problem = make_problem(cell, 7, gain=0.7, steps=31)
    right = PROMISES[word](Check("right", "claims", "pass"), claim, RIGHT, problem)
    assert right.verdict == "pass"
    with pytest.raises(Mismatch) as broken:
        PROMISES[word](Check("planted", "claims", "pass"), claim, changed(change, 7), problem)
    assert broken.value.check.first_bad_lag == 7


@pytest.mark.parametrize(("kind", "state"), [
    ("product:y_f,y_in", "s"), ("product:y_f", "s,y"), ("product:nothing", "s"), ("product", "s"), ("delay:long", "s"), ("delay", "s"),
    ("linear:y_f", "s"), ("coupled:y_f", "s"), ("carousel", "nowhere"), ("lineal", "s"),
])
def test_a_claim_that_says_nothing_is_refused(kind, state):
    with pytest.raises(EquationError) as refused:
        replace(catalogue()["lstm"], claims=[CellClaim(kind, state, "text")])
    assert "\n" not in str(refused.value) and "lstm" in str(refused.value)
