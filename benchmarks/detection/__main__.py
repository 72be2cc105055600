"""`python -m benchmarks detection [--quick | --full | --per-net N]`: who sees which wrong backward pass, in one run."""

import argparse
import json
import multiprocessing
import platform
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import flowcheck

from . import checkers, grid
from .nets import NETS
from .table import markdown

CHECKERS = None


def run_case(case):
    """One row: what flowcheck says of the case, and whether each of the others rejects it."""
    global CHECKERS
    if CHECKERS is None:
        CHECKERS = checkers.available()[0]
    arguments, net = case.arguments(), NETS[case.net]
    row = {"net": case.net, "term": case.term, "kind": case.kind, "first": case.first, "regime": case.regime}
    if not shows(case):
        return row | {"equivalent": True}
    start = time.process_time()
    verification = flowcheck.verify_gradient(net.forward, case.backward, *arguments, cell=net.cell, time_axis=0)
    lags = [f.lag for f in verification.findings if f.lag is not None]
    hypotheses = next((f.hypotheses for f in verification.findings if f.hypotheses), ())
    row |= {"flowcheck": verification.verdict == "fail", "lag": min(lags, default=None), "hypotheses": list(hypotheses[:3]),
            "rank": next((k + 1 for k, h in enumerate(hypotheses) if h.startswith(f"{case.term}:")), None),
            "seconds": time.process_time() - start}
    forward, backward, values = checkers.flat_case(net, arguments, case.plant())
    right = checkers.flat_case(net, arguments)[1]
    return row | {"others": {name: rejects(forward, backward, values, right) for name, rejects in CHECKERS.items()}}


def shows(case):
    """Whether the mistake changes the gradient at all, on the case's own arguments or on livelier ones of the same length."""
    net, trial = NETS[case.net], case.arguments()
    lively = grid.Case(case.net, case.term, case.kind, case.first, "expanding", case.seed + 1).arguments()
    for arguments in (trial, lively):
        errors = {"y": np.zeros_like(net.forward(*arguments)["y"])}
        errors["y"][-1] = 1.0
        right, wrong = net.backward(*arguments, errors), case.backward(*arguments, errors)
        if any(not np.array_equal(right[k], wrong[k]) for k in right):
            return True
    return False


def run_right(item):
    """Verdict on a right net."""
    name, radius, dtype, arguments = item
    net = NETS[name]
    found = flowcheck.verify_gradient(net.forward, net.backward, *arguments, time_axis=0)
    return {"net": name, "radius": radius, "dtype": np.dtype(dtype).name, "verdict": found.verdict,
            "words": found.findings[0].words if found.verdict == "fail" else ""}


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks detection", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="8 mistakes a net and 60 right nets")
    parser.add_argument("--full", action="store_true", help="every mistake x lag x regime; hours")
    parser.add_argument("--per-net", type=int, help="so many mistakes a net, spread over its terms (default: all, once)")
    parser.add_argument("--right", type=int, default=1000, help="number of right nets (default 1000)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("-o", "--out", type=Path, default=Path("reports"), help="folder of detection.json and detection.md")
    given = parser.parse_args(arguments)
    cases = grid.grid() if given.full else grid.sample(8 if given.quick else given.per_net)
    nets = list(grid.right_nets(60 if given.quick else given.right))
    with threadpool_limits(1), multiprocessing.get_context("spawn").Pool(given.processes) as pool:
        right = list(pool.imap(run_right, nets, chunksize=4))
        rows = list(pool.imap(run_case, cases))
    spread = "every mistake of every net once" if not (given.quick or given.per_net) else "spread over all terms"
    what = "full grid" if given.full else f"{len(cases)} cases, {spread}"
    result = {"what": what, "grid": len(grid.grid()), "missing": checkers.available()[1], "rows": rows, "right": right,
              "machine": {"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__,
                          "flowcheck": flowcheck.__version__}}
    given.out.mkdir(exist_ok=True)
    (given.out / "detection.json").write_text(json.dumps(result, indent=0))
    (given.out / "detection.md").write_text(markdown(result))
    print(markdown(result))


if __name__ == "__main__":
    main()
