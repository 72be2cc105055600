"""The figures of a report, as panels drawn from arrays: drift, flow of a net, decay over 1000 lags.

Flows are log10 of a norm relative to lag 0, so that 0 means unscaled and one horizon line serves all of them. Every
line is told apart by its label and its width or dashes, not by colour alone.
"""

import numpy as np

from ..flow.norms import LOST_BESIDE_LAG_0
from .axes import (
    FLOAT32_SMALLEST,
    Line,
    crossing,
    crossing_labels,
    finite,
    frame,
    inner_labels,
    last_crossing,
    limits,
    note,
    right_labels,
    threshold,
)
from .svg import BAND, BLUE, DEEP, GREEN, INK, LIGHT, MUTED, OCHRE, PEACH, PURPLE, RED, ROSE, WINE, Panel

__all__ = ["cell_panel", "decay_panels", "drift_panels", "flow_panel", "path_panel"]

HORIZON = float(np.log10(LOST_BESIDE_LAG_0))
FLOAT32_NORMAL, FLOAT64_NORMAL = (float(np.log10(np.finfo(t).tiny)) for t in (np.float32, np.float64))
PATHS = (
    (BLUE, "-"),
    (RED, (0, (6, 1.5))),
    (GREEN, (0, (1.5, 1))),
    (PURPLE, (0, (6, 1.5, 1.5, 1.5))),
    (OCHRE, (0, (3, 1))),
    (ROSE, (0, (8, 1.5, 1.5, 1.5, 1.5, 1.5))),
)
MOST_LABELS = 16
LAG, NORM, LOST = "lag q (steps back)", "log₁₀ norm, relative to lag 0", "2⁻²⁴: below, lost beside lag 0 in float32"


def drift_panels(states, slopes, band, others, state="s"):
    """Two panels: |s(t)| of drifting cells over the band (x, low, high) of the others, and log10 of their output slope.

    `states` and `slopes` are Lines in the same order, the fastest first; bold ones are errors.
    """
    styles = [
        {"color": RED, "lw": 2.2} if line.bold else {"color": OCHRE, "lw": 1.2, "ls": (0, (4, 1.5))} for line in states
    ]

    def grown(axes):
        x, low, high = band
        if others:
            axes.fill_between(x, low, high, color=BAND, lw=0, label=f"the other {others} units, 5th to 95th percentile")
        for line, style in zip(states, styles, strict=True):
            axes.plot(line.x, line.y, **style)
        for bold, words in ((True, "drifts in at least half of the sequences"), (False, "drifts in fewer")):
            kept = [s for line, s in zip(states, styles, strict=True) if line.bold == bold]
            if kept:
                axes.plot([], [], label=f"{words} ({len(kept)})", **kept[0])
        top = max([float(np.max(line.y)) for line in states] + [float(np.max(high)) if others else 0.0])
        frame(axes, f"|{state}(t)| of the drifting cells", "step t", (0, len(x) - 1), (0, 1.05 * top))
        handles, names = axes.get_legend_handles_labels()
        first = 1 if others else 0
        axes.legend(
            handles[first:] + handles[:first],
            names[first:] + names[:first],
            loc="upper left",
            frameon=False,
            fontsize=11,
            handlelength=1.8,
            borderaxespad=0.1,
            labelspacing=0.3,
        )
        right_labels(axes, states[:MOST_LABELS], [s["color"] for s in styles])

    def lost(axes):
        bottom, end = FLOAT32_SMALLEST - 22, last_crossing(slopes, len(band[0]) - 1)
        axes.axhspan(bottom, FLOAT32_SMALLEST, color=BAND, lw=0, alpha=0.6)
        axes.axhline(FLOAT32_SMALLEST, color=INK, lw=1)
        note(axes, end, bottom, "below 10⁻⁴⁵: zero in float32")
        for line, style in zip(slopes, styles, strict=True):
            stop = crossing(line)
            shown = slice(None if stop is None else stop + 1)
            axes.plot(line.x[shown], np.maximum(line.y[shown], FLOAT32_SMALLEST), **style)
        first = "" if end == len(band[0]) - 1 else f" (the first {end})"
        frame(
            axes,
            f"output slope h′({state}(t)) of the same cells",
            f"step t{first}",
            (0, end),
            (bottom, 2),
            "log₁₀ h′, relative to its largest value",
        )
        crossing_labels(axes, slopes[:MOST_LABELS], [s["color"] for s in styles])

    return Panel(grown, right=50), Panel(lost, right=50)


def flow_panel(full, truncated, floor, title):
    """Full flow bold, truncated dashed (either may be None), the horizon, the rounding floor (a Line) if near."""
    lines = [
        (line, {"color": colour, "lw": width, "ls": dashes})
        for line, colour, width, dashes in ((full, BLUE, 2.4, "-"), (truncated, RED, 1.8, (0, (5, 2))))
        if line is not None
    ]

    def draw(axes):
        low, _ = _flow_frame(axes, [line for line, _ in lines], title)
        if floor is not None and floor.y[-1] > low:
            axes.plot(floor.x, floor.y, color=MUTED, lw=1, ls=(0, (1, 2)))
            right_labels(axes, [floor], [MUTED])
        for line, style in lines:
            axes.plot(line.x, finite(line.y), **style)
        right_labels(axes, [line for line, _ in lines], [s["color"] for _, s in lines])

    return Panel(draw, right=84)


def path_panel(paths, title):
    """Thin lines, one per path."""
    styles = [PATHS[k % len(PATHS)] for k in range(len(paths))]

    def draw(axes):
        _flow_frame(axes, paths, title)
        for line, (colour, dashes) in zip(paths, styles, strict=True):
            axes.plot(line.x, finite(line.y), color=colour, lw=1.3, ls=dashes)
        right_labels(axes, paths[:MOST_LABELS], [colour for colour, _ in styles])

    return Panel(draw, right=84)


def decay_panels(lines, first=50):
    """Two panels: all lags, and the first ones. Every second line is thin and dashed, on top of a wide one."""
    wide, thin = {"lw": 6}, {"lw": 1.6, "ls": (0, (4, 2.5))}
    pairs = [{"color": LIGHT} | wide, {"color": DEEP} | thin, {"color": PEACH} | wide, {"color": WINE} | thin]
    styles = [pairs[k % 4] for k in range(len(lines))]
    start = [Line(line.label, line.x[: first + 1], line.y[: first + 1]) for line in lines]

    def all_lags(axes):
        lags = max(int(line.x[-1]) for line in lines)
        low, high = limits(lines, (-10, -20, -50, -100, -200, -500, -1000, -2000, -5000, -10000), (1, 10, 100, 1000))
        threshold(axes, lags, FLOAT64_NORMAL, low, "float64 underflows here, 10⁻³⁰⁸", lines)
        frame(axes, f"lags 1 to {lags}", LAG, (0, lags), (low, max(high, -0.04 * low)), NORM)
        for line, style in zip(lines, styles, strict=True):
            axes.plot(line.x, finite(line.y), **style)
        inner_labels(axes, lines, styles)

    def first_lags(axes):
        low = -45
        for value, words in ((HORIZON, LOST), (FLOAT32_NORMAL, "float32 underflows here, 10⁻³⁸")):
            threshold(axes, first, value, low, words, start)
        frame(axes, f"the first {first} lags", LAG, (0, first), (low, 2.5))
        for line, style in zip(start, styles, strict=True):
            axes.plot(line.x, finite(line.y), **style)
        lost = [int(line.x[np.argmax(line.y < HORIZON)]) for line in start if np.any(line.y < HORIZON)]
        if lost:
            axes.plot([min(lost)], [HORIZON], "o", color=INK, ms=6)
            at = {"xy": (min(lost), HORIZON), "xytext": (8, 4), "textcoords": "offset points"}
            axes.annotate(f"lag {min(lost)}", color=INK, fontweight="bold", **at)

    return Panel(all_lags, left=70), Panel(first_lags, left=44)


def cell_panel(line, theory, title):
    """A small panel: flow over lag on a log axis, bold; what theory says (a Line or None) dashed; the horizon dotted."""
    def draw(axes):
        lags = int(line.x[-1])
        axes.axhspan(CELL_LOW, HORIZON, color=BAND, lw=0, alpha=0.35)
        axes.set_xscale("log")
        axes.plot(line.x, _until_zero(line.y), color=BLUE, lw=2.6)
        if theory is not None:
            axes.plot(theory.x, _until_zero(theory.y), color=RED, lw=1.5, ls=(0, (4, 2)))
        frame(axes, title, "lag q", (1, lags), (CELL_LOW, 2))
        axes.set_xticks([10**k for k in range(len(str(lags)))], [str(10**k) for k in range(len(str(lags)))])
        axes.minorticks_off()
        axes.set_yticks([0, -5, -10, -15], ["1", "10⁻⁵", "10⁻¹⁰", "10⁻¹⁵"])

    return Panel(draw, left=48, right=22, height=214, width=264)


CELL_LOW = -16


def _until_zero(y):
    """A line that ends at exactly zero falls to far below the axes there."""
    return np.where(np.isneginf(y), 100 * CELL_LOW, y)


def _flow_frame(axes, lines, title):
    low, high = limits(lines, (-10, -50), (3, 10, 50, 300))
    lags = max([int(line.x[-1]) for line in lines] or [1])
    threshold(axes, lags, HORIZON, low, LOST, lines)
    axes.axhline(0, color=MUTED, lw=0.8)
    frame(axes, title, LAG, (0, lags), (low, high), NORM)
    return low, high
