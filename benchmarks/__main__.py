"""`python -m benchmarks [--quick] [--only WORD] [-o FILE]`: one table, ratios in one run, one thread; two options draw plots instead."""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import sys
import time

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of NumPy and of SciPy, which is loaded later
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from threadpoolctl import threadpool_info, threadpool_limits  # noqa: E402

from . import cases, fast, memory, training  # noqa: E402
from .case import run_case  # noqa: E402
from .ceilings import dgemm_rate, read_bandwidth  # noqa: E402
from .targets import judged  # noqa: E402

ROOMS = {"fast": fast, "training": training}
"""Cases whose name starts with the word."""

PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Variables that choose OpenBLAS's kernels instead of the processor."""


def chosen(only):
    """Modules whose cases can be meant by `--only`."""
    return [room for word, room in ROOMS.items() if only.startswith(word)] or [cases, *ROOMS.values()]


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory beside the alternatives, on one thread.")
    parser.add_argument("--quick", action="store_true", help="smaller problems, one round: about two minutes")
    parser.add_argument("--only", metavar="WORD", default="", help="cases whose name holds this word")
    parser.add_argument("--scaling", metavar="FILE", help="draw cost against n, lags, steps and batch as SVG instead")
    parser.add_argument("--truncated", metavar="FILE", help="draw the truncated rule's cost against weights and steps as SVG instead")
    parser.add_argument("-o", "--out", metavar="FILE", help="write machine, versions and all rows as JSON")
    options = parser.parse_args()
    with threadpool_limits(1):
        if options.scaling:
            from .scaling import draw

            return draw(options.scaling, options.quick, _progress)
        if options.truncated:
            curves = fast.truncated_scaling()
            fast.draw(*curves, options.truncated)
            return _print_truncated(*curves)
        machine = _machine()
        rows = []
        for case in (c for room in chosen(options.only) for c in room.cases(options.quick)):
            if options.only in case.name:
                with case.setup or contextlib.nullcontext():
                    rows += run_case(case, min(2, case.rounds) if options.quick else case.rounds, _progress)
        extra = {} if options.only else {
            "memory": memory.peaks(options.quick), "start_up": memory.start_up(), "truncated_rule": fast.truncated_rows(options.quick)}
    _progress("")
    extra["targets"] = judged(rows, extra)
    _print(machine, rows, {title: found for title, found in extra.items() if found})
    if options.out:
        with open(options.out, "w") as file:
            json.dump({"machine": machine, "rows": rows, **extra}, file, indent=1)
            file.write("\n")


def _print_truncated(by_weights, by_steps, alone):
    for family, points in by_weights.items():
        print(f"{family}: " + ", ".join(f"{weights} weights {ns:.3g} ns" for _, weights, ns in points) + " a weight and step; forward pass "
              "alone " + ", ".join(f"{ns:.3g}" for *_, ns in alone[family]))
    a, b, deviation = fast.shares(by_weights)
    print(f"time a step = {a:.3g} ns x weights + {b:.3g} ns x units, off by {deviation:.0%} at most")
    print("16 units: " + ", ".join(f"{steps} steps {ns:.4g} ns" for steps, ns in by_steps) + " a step")


def _progress(words):
    if sys.stderr.isatty():
        print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def _machine():
    names = ("numpy", "scipy", "numba", "torch", "jax", "flowcheck-rnn")
    versions = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        with open("/proc/cpuinfo") as file:
            model = next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    blas = next((f"{lib['internal_api']} {lib['version']}, {lib.get('architecture', 'unknown')} kernels" for lib in threadpool_info()
                 if lib["user_api"] == "blas" and "numpy" in lib["filepath"]), None)
    return {"processor": model, "cores": os.cpu_count(), "load_before": os.getloadavg()[0], "system": platform.system(), "blas": blas,
            "set": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("OPENBLAS_", "MKL_", "OMP_", "XLA_", "NUMBA_"))},
            "python": platform.python_version(), "versions": versions, "when": time.strftime("%Y-%m-%d"),
            "dgemm_flops_per_second": {n: dgemm_rate(n) for n in (64, 256, 512)}, "read_bytes_per_second": read_bandwidth()}


def _print(machine, rows, extra):
    console = Console(width=max(80, min(110, Console().width)))
    rates = ", ".join(f"{rate / 1e9:.0f} (n={n})" for n, rate in machine["dgemm_flops_per_second"].items())
    console.print(f"{machine['processor']}, {machine['cores']} cores, load {machine['load_before']:.1f}; dgemm on one core {rates} "
                  f"GFLOP/s, memory {machine['read_bytes_per_second'] / 1e9:.0f} GB/s")
    console.print(f"NumPy multiplies with {machine['blas'] or 'a BLAS that does not say what it is'}")
    if pins := [f"{k}={v}" for k, v in machine["set"].items() if k in PINS]:
        console.print(f"[bold]{', '.join(pins)}[/bold] hold BLAS, and not the others, to what older processors do: unset for fair ratios")
    console.print()
    table = Table(box=None, pad_edge=False)
    for name in ("case", "seconds", "x flowcheck", "of limit", "peak MB"):
        table.add_column(name, justify="left" if name == "case" else "right")
    shown = None
    for r in rows:
        if r["case"] != shown:
            shown, possible = r["case"], r["best_alternative_over_limit"]
            table.add_row(f"[bold]{shown}[/bold]" + (" (wall clock)" if r["clock"] == "wall" else "")
                          + (f"; at the limit {possible:.2f} times the best alternative" if possible else ""))
        share, peak = r["share_of_limit"], r["peak_bytes"]
        table.add_row("  " + r["way"], ("~" if r["extrapolated"] else "") + f"{r['seconds']:.3g}", f"{r['ratio_to_flowcheck']:.2f}",
                      f"{share:.0%}" if share else "", "" if peak is None else f"{peak / 1e6:.0f}")
    console.print(table)
    for title, found in extra.items():
        table = Table(box=None, pad_edge=False, title=f"\n{title}".replace("_", " "), title_justify="left")
        for name in found[0]:
            table.add_column(name.replace("_", " "), justify="left" if name in ("what", "size", "asked") else "right")
        for row in found:
            table.add_row(*(_shown(v) for v in row.values()))
        console.print(table)


def _shown(value):
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


if __name__ == "__main__":
    if sys.argv[1:2] == ["detection"]:
        from .detection.__main__ import main as detection

        detection(sys.argv[2:])
    elif sys.argv[1:2] == ["faults"]:
        from .faults.__main__ import main as faults

        faults(sys.argv[2:])
    else:
        main()
