"""`python -m benchmarks detection [--quick] [--rounds N] [--others N] [--seed N]`: who sees which wrong backward pass, in one run.

Rows are appended to detection.jsonl as they come; a run that was stopped goes on where it stood, `--table` draws what there is.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import flowcheck

from . import checkers, grid
from .nets import NETS
from .table import markdown

CHECKERS = None

CASES_A_PROCESS = 300
"""What JAX compiles for each case stays in memory: some MB."""


def run(item):
    """The row of one item: ("right", number, seed), ("wrong", Case, whether the others check it, too), ("others", Case): what they say."""
    with threadpool_limits(1):
        return {"right": run_right, "wrong": run_case, "others": run_others}[item[0]](*item[1:])


def run_case(case, others=True):
    """What flowcheck says of the case, and whether each of the others rejects it."""
    arguments, net = case.arguments(), NETS[case.net]
    row = {"id": case.id, "net": case.net, "term": case.term, "kind": case.kind, "first": case.first, "regime": case.regime}
    first = first_lag(case)
    if first is None:
        return row | {"equivalent": True}
    row["first_lag"] = first
    start = time.process_time()
    verification = flowcheck.verify_gradient(net.forward, case.backward, *arguments, cell=net.cell, time_axis=0)
    seconds = time.process_time() - start
    lags = [f.lag for f in verification.findings if f.lag is not None]
    hypotheses = next((f.hypotheses for f in verification.findings if f.hypotheses), ())
    row |= {"flowcheck": verification.verdict == "fail", "lag": min(lags, default=None), "hypotheses": list(hypotheses[:3]),
            "rank": next((k + 1 for k, h in enumerate(hypotheses) if h.startswith(f"{case.term}:")), None), "seconds": round(seconds, 3)}
    return row | _others(net, arguments, case.plant()) if others else row


def run_others(case):
    """What is missing in the row of a case that flowcheck has checked."""
    return {"id": case.id} | _others(NETS[case.net], case.arguments(), case.plant())


def _others(net, arguments, plant):
    """Whether each of the other checkers rejects."""
    global CHECKERS
    CHECKERS = CHECKERS or checkers.available()[0]
    forward, backward, values = checkers.flat_case(net, arguments, plant)
    right = checkers.flat_case(net, arguments)[1]
    start = time.process_time()
    found = {name: rejects(forward, backward, values, right) for name, rejects in CHECKERS.items()}
    return {"others": found, "others_seconds": round(time.process_time() - start, 3)}


def first_lag(case):
    """First lag at which the mistake changes the gradient, on the case's own arguments or on livelier ones as long; None: nowhere.

    A value held at the end of the sequence, say, is no mistake there: it begins one lag later than it was planted.
    """
    net, trial = NETS[case.net], case.arguments()
    lively = replace(case, regime="expanding", seed=case.seed + 1).arguments()
    for lag in (case.first, case.first + 1, case.first + 2):
        for arguments in (trial, lively):
            errors = {"y": np.zeros_like(net.forward(*arguments)["y"])}
            errors["y"][-1] = 1.0
            from_here, later = (replace(case, first=k).backward(*arguments, errors) for k in (lag, lag + 1))
            if any(not np.array_equal(from_here[k], later[k]) for k in later):
                return lag
    return None


def run_right(number, seed):
    """Verdict on a right net."""
    net, forward, backward, radius, dtype, arguments = grid.right_net(number, seed)
    start = time.process_time()
    found = flowcheck.verify_gradient(forward, backward, *arguments, time_axis=0)
    seconds = time.process_time() - start
    return {"id": _id("right", number, seed), "net": net.name, "radius": radius, "dtype": dtype, "verdict": found.verdict,
            "seconds": round(seconds, 3), "words": found.findings[0].words if found.findings else ""}


def _id(kind, case, seed=0):
    return case.id if kind == "wrong" else f"right {case} | {seed}"


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks detection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 8 mistakes a net, and 60 right nets")
    parser.add_argument("--rounds", type=int, default=1, help=f"of every mistake once; {grid.ROUNDS} rounds meet every lag in every regime")
    parser.add_argument("--mistakes", type=int, default=40, help="so many a net, spread over its terms (default 40)")
    parser.add_argument("--right", type=int, default=1000, help="number of right nets (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of all nets, right and wrong")
    parser.add_argument("--others", type=int, default=None, metavar="N", help="rounds in which the other checkers run, too (default all)")
    parser.add_argument("--table", action="store_true", help="run nothing, draw the table of the rows that are there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("reports"), help="folder of detection.json and detection.md")
    given = parser.parse_args(arguments)
    if given.quick:
        given.rounds, given.mistakes, given.right = 1, 8, 60
    cases = grid.rounds(given.rounds, given.mistakes, given.seed)
    first = len(cases) // given.rounds
    others = given.rounds if given.others is None else given.others
    wrong = [("wrong", case, k < others * first) for k, case in enumerate(cases)]
    right = [("right", k, given.seed) for k in range(given.right)]
    items = [item for pair in itertools.zip_longest(right, wrong) for item in pair if item]  # in turn: a run cut off has some of both
    given.out.mkdir(exist_ok=True)
    known = _run_all([] if given.table else items, given.out / "detection.jsonl", given.processes)
    rows = [known[case.id] for case in cases if case.id in known]
    right = [known[i] for i in (_id("right", k, given.seed) for k in range(given.right)) if i in known]
    result = {"seed": given.seed, "rounds": round(len(rows) / first, 2), "of": grid.ROUNDS, "mistakes": given.mistakes,
              "grid": first * grid.ROUNDS, "right_nets": given.right,
              "missing": checkers.available()[1], "machine": _machine(), "rows": rows, "right": right}
    (given.out / "detection.json").write_text(json.dumps(result, indent=0) + "\n")
    (given.out / "detection.md").write_text(markdown(result))
    if len(rows) == len(cases) and len(right) == given.right:
        (given.out / "detection.jsonl").unlink()
    print(markdown(result))


def _run_all(items, file, processes):
    """{id: row} of the items; what is in the file is not run again: a row of {"id", "others"} holds what they said, and flowcheck is run.
    What the others are still to say comes last."""
    known = {}
    for row in map(json.loads, file.read_text().splitlines() if file.exists() else ()):
        known.setdefault(row["id"], {}).update(row)
    said = {i for i, row in known.items() if row.keys() & {"others", "equivalent"}}
    checked = {i for i, row in known.items() if "net" in row}
    items = [("wrong", item[1], item[2] and item[1].id not in said) if item[0] == "wrong" else item for item in items]
    todo = [item for item in items if _id(*item) not in checked]
    todo += [("others", item[1]) for item in items if item[0] == "wrong" and item[2] and item[1].id in checked]
    if not todo:
        return known
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    with file.open("a") as out, multiprocessing.get_context("spawn").Pool(processes, maxtasksperchild=CASES_A_PROCESS) as pool:
        for row in pool.imap_unordered(run, todo):
            known.setdefault(row["id"], {}).update(row)
            out.write(json.dumps(row) + "\n")
            out.flush()
    return known


def _machine():
    found = {"machine": platform.machine(), "python": platform.python_version(), "flowcheck": flowcheck.__version__}
    for name in ("numpy", "torch", "jax", "autograd", "scipy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
