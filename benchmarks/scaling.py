"""How cost grows: CPU seconds against units, lags, steps and batch, log-log, with the fitted slope of the upper half."""

import time

import numpy as np

from flowcheck import bptt, state_flow
from flowcheck.flow.lowrank import TAIL
from flowcheck.flow.probes import streamed_probes

from .case import run_seconds
from .nets import problem

__all__ = ["draw", "measured"]

FORMULAS = {"full profile over units": 3, "full profile over lags": 1, "streamed probe over steps": 1, "BPTT over batch": 1}
"""The power that the count of operations has where they are many."""

LEFT_OUT, COLOURS = "rows left out", {"tanh": "#1b6ca8", "gru": "#b5651d", "lstm": "#3a7d44"}

ROUNDS = 3


def measured(quick, progress):
    """{panel: {curve: (sizes, seconds)}}, least of the rounds."""
    few = 4 if quick else 1
    found = {panel: {} for panel in FORMULAS}
    for cell in ("tanh", "gru", "lstm"):
        sizes = [16, 32, 64, 128, 256] + ([] if quick else [512])
        found["full profile over units"][cell] = _curve(sizes, lambda n, cell=cell: _profile(cell, n, 20, 0), progress)
        sizes = [k // few for k in (125, 250, 500, 1000, 2000, 4000)]
        for label, tail in ((cell, 0), (f"{cell}, {LEFT_OUT}", TAIL)):
            found["full profile over lags"][label] = _curve(
                sizes, lambda lags, cell=cell, tail=tail: _profile(cell, 128, lags, tail), progress)
        sizes = [k // few for k in (1000, 2000, 4000, 8000, 16000, 32000)]
        found["streamed probe over steps"][cell] = _curve(sizes, lambda steps, cell=cell: _probe(cell, steps), progress)
        found["BPTT over batch"][cell] = _curve([4, 16, 64, 256, 1024], lambda batch, cell=cell: _bptt(cell, batch), progress)
    return found


def _curve(sizes, prepare, progress):
    """All sizes in turn, round after round, so that a slow minute of the machine bends no curve."""
    runs, seconds = [prepare(size) for size in sizes], np.full(len(sizes), np.inf)
    for _ in range(ROUNDS):
        for k, run in enumerate(runs):
            progress(f"scaling: size {sizes[k]}")
            seconds[k] = min(seconds[k], run_seconds(run, time.process_time))
    return np.array(sizes), seconds


def _profile(cell, n, lags, tail):
    run = problem(cell, n, lags).run()
    _ = run.partials
    return lambda: state_flow(run, lags, tail=tail)


def _probe(cell, steps):
    p = problem(cell, 64, 2)
    kernel, x = p.run().kernel, np.random.default_rng(0).normal(size=(steps, 8))
    return lambda: streamed_probes(kernel, p.layer.params, x, count=1)


def _bptt(cell, batch):
    layer, rng = problem(cell, 32, 2).layer, np.random.default_rng(0)
    run = layer.run(rng.normal(size=(50, batch, 8)))
    errors = rng.normal(size=run[layer.cell.output.name].shape)
    _ = run.partials
    return lambda: bptt(run, errors)


def slope(sizes, seconds):
    """Fitted power over the upper half of the sizes."""
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(seconds[half:]), 1)[0])


def draw(path, quick, progress):
    """Write the four panels as one SVG file."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    found = measured(quick, progress)
    plt.rcParams |= {"svg.hashsalt": "flowcheck", "svg.fonttype": "none", "font.size": 9}
    figure, panels = plt.subplots(2, 2, figsize=(8.5, 6.4), layout="constrained")
    for axes, (title, curves) in zip(panels.ravel(), found.items(), strict=True):
        for label, (sizes, seconds) in curves.items():
            axes.loglog(sizes, seconds, "o--" if LEFT_OUT in label else "o-", color=COLOURS[label.split(",")[0]], markersize=3,
                        label=f"{label}, slope {slope(sizes, seconds):.2f}")
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_minor_formatter("")
        axes.set(title=f"{title} (count of operations: power {FORMULAS[title]})", xlabel=title.split()[-1], ylabel="CPU seconds, one core")
        axes.title.set_fontsize(9)
        axes.grid(True, which="major", alpha=0.3)
        if len(curves) > len(COLOURS):
            axes.set_ylim(top=20 * axes.get_ylim()[1])  # room for the names
        axes.legend(frameon=False, fontsize="small", loc="upper left")
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
