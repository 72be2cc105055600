"""`python -m benchmarks [-o results.json]`: one table, ratios in one run on one thread."""

import argparse
import json
import platform
import sys
import tracemalloc

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

import flowcheck

from . import flow_profile
from .ceilings import cpu_seconds, dgemm_rate, read_bandwidth

AGREE = 1e-9
"""log10 norms of all alternatives, a hundred times what rounding leaves over some hundred lags."""


def run_case(cell, n, lags):
    """One row per way: CPU seconds, ratio to ours, share of the limit, peak memory that NumPy allocated."""
    layer, run = flow_profile.problem(cell, n, lags)
    limit = flow_profile.least_flops(cell, n, lags) / dgemm_rate(n)
    ways = {"flowcheck": lambda: flow_profile.ours(layer, run, lags)} | flow_profile.alternatives(cell, layer, run, lags)
    reference = ways["flowcheck"]()
    for name, way in ways.items():
        difference = float(np.abs(way() - reference).max())
        if not difference < AGREE:
            raise SystemExit(f"{cell}, n = {n}: {name} differs from flowcheck by {difference:.1e} in log10 norm; nothing was timed")
    rows = []
    for name, way in ways.items():
        tracemalloc.start()
        way()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        rows.append({"case": f"{cell}, n = {n}, {lags} lags", "way": name, "seconds": cpu_seconds(way), "limit": limit, "peak_bytes": peak})
    for row in rows:
        row["ratio_to_flowcheck"] = row["seconds"] / rows[0]["seconds"]
        row["share_of_limit"] = limit / row["seconds"]
    return rows


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Flow profile beside the alternatives, one thread.")
    parser.add_argument("-o", "--out", help="write the rows as JSON")
    out = parser.parse_args().out
    with threadpool_limits(1):
        rows = [row for case in flow_profile.CASES for row in run_case(*case)]
        bandwidth = read_bandwidth()
    table = Table(box=None, pad_edge=False)
    for name in ("case", "way", "CPU s", "x flowcheck", "of dgemm limit", "NumPy peak MB"):
        table.add_column(name, justify="left" if name in ("case", "way") else "right")
    for r in rows:
        table.add_row(r["case"], r["way"], f"{r['seconds']:.3g}", f"{r['ratio_to_flowcheck']:.2f}", f"{r['share_of_limit']:.0%}",
                      f"{r['peak_bytes'] / 1e6:.1f}")
    Console(width=100).print(table)
    if out:
        machine = {"machine": platform.processor() or platform.machine(), "python": platform.python_version(), "numpy": np.__version__,
                   "flowcheck": flowcheck.__version__, "read_bytes_per_second": bandwidth}
        with open(out, "w") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["detection"]:
        from .detection.__main__ import main as detection

        detection(sys.argv[2:])
    else:
        main()
