"""Peak memory that grows with the problem, and start-up times: what a table of seconds does not show."""

import subprocess
import sys
import time
import tracemalloc

import numpy as np

from flowcheck import catalogue, state_flow
from flowcheck.flow.probes import streamed_probes
from flowcheck.kernels import Kernel

from .nets import problem

__all__ = ["peaks", "start_up"]


def peaks(quick):
    """[{"what", "size", "peak_bytes", "seconds"}]: the full profile over lags, a streamed probe over steps, beyond what was given."""
    rows = []
    p = problem("tanh", 128, 2000)
    run = p.run()
    _ = run.partials
    for lags in (250, 500, 1000, 2000):
        rows.append({"what": "full profile, tanh n=128", "size": f"{lags} lags"} | _traced(lambda lags=lags: state_flow(run, lags)))
    layer, rng = problem("lstm", 64, 2).layer, np.random.default_rng(0)
    for steps in (2500, 10_000) if quick else (2500, 10_000, 40_000):
        x = rng.normal(size=(steps, 8)).astype(np.float32)
        kernel = p.run().kernel if layer.cell.name == "tanh" else Kernel(layer.cell)
        rows.append({"what": "streamed probe, lstm n=64", "size": f"{steps} steps"}
                    | _traced(lambda x=x, kernel=kernel: streamed_probes(kernel, layer.params, x, count=1)))
    return rows


def _traced(run):
    start = time.process_time()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return {"peak_bytes": peak, "seconds": time.process_time() - start}


def start_up():
    """[{"what", "seconds"}]: least of five, in fresh interpreters; compiling each cell, least of three."""
    rows = []
    for what, arguments in [("python", ["-c", ""]), ("import flowcheck", ["-c", "import flowcheck"]),
                            ("flowcheck --help", ["-c", "from flowcheck.cli import main; main(['--help'])"]),
                            ("import flowcheck and a cell", ["-c", "import flowcheck; flowcheck.catalogue()['lstm']"])]:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
        rows.append({"what": what, "seconds": min(times)})
    for name, cell in catalogue().items():
        times = []
        for _ in range(3):
            start = time.process_time()
            Kernel(cell)
            times.append(time.process_time() - start)
        rows.append({"what": f"compile {name}, first and again", "seconds": times[0], "again": min(times)})
    return rows
