"""The figures of a report, as panels drawn from arrays: drift, flow of a net, decay over 1000 lags.

Flows are log10 of a norm relative to lag 0, so that 0 means unscaled and one horizon line serves all of them. Every line is told
apart by its label and its width or dashes, not by colour alone.
"""

from dataclasses import dataclass

import numpy as np

from ..rates import LOST_BESIDE_LAG_0
from .svg import BAND, BLUE, DEEP, GREEN, INK, LIGHT, MUTED, OCHRE, PEACH, PURPLE, RED, ROSE, WINE, Panel, stack

__all__ = ["FLOAT32_SMALLEST", "Line", "decay_panels", "drift_panels", "flow_panel", "path_panel"]

HORIZON = float(np.log10(LOST_BESIDE_LAG_0))
FLOAT32_SMALLEST = -149 * float(np.log10(2))
FLOAT32_NORMAL, FLOAT64_NORMAL = (float(np.log10(np.finfo(t).tiny)) for t in (np.float32, np.float64))
PATHS = ((BLUE, "-"), (RED, (0, (6, 1.5))), (GREEN, (0, (1.5, 1))), (PURPLE, (0, (6, 1.5, 1.5, 1.5))), (OCHRE, (0, (3, 1))),
         (ROSE, (0, (8, 1.5, 1.5, 1.5, 1.5, 1.5))))
MOST_LABELS = 16


@dataclass(frozen=True)
class Line:
    """One curve: y over x; `bold` is the one to look at first."""

    label: str
    x: np.ndarray
    y: np.ndarray
    bold: bool = False


def drift_panels(states, slopes, band, others, state="s"):
    """Two panels: |s(t)| of drifting cells over the band (x, low, high) of the other cells, and log10 of their output slope.

    `states` and `slopes` are Lines in the same order, the fastest first; bold ones are errors.
    """
    styles = [{"color": RED, "lw": 2.2} if line.bold else {"color": OCHRE, "lw": 1.2, "ls": (0, (4, 1.5))} for line in states]

    def grown(axes):
        x, low, high = band
        axes.fill_between(x, low, high, color=BAND, lw=0, label=f"the other {others} units, 5th to 95th percentile")
        for line, style in zip(states, styles, strict=True):
            axes.plot(line.x, line.y, **style)
        for bold, words in ((True, "drifts in at least half of the sequences"), (False, "drifts in fewer")):
            kept = [s for line, s in zip(states, styles, strict=True) if line.bold == bold]
            if kept:
                axes.plot([], [], label=f"{words} ({len(kept)})", **kept[0])
        top = max([float(np.max(line.y)) for line in states] + [float(np.max(high))])
        _frame(axes, f"|{state}(t)| of the drifting cells", "step t", (0, len(x) - 1), (0, 1.05 * top))
        handles, names = axes.get_legend_handles_labels()
        axes.legend(handles[1:] + handles[:1], names[1:] + names[:1], loc="upper left", frameon=False, fontsize=11, handlelength=1.8,
                    borderaxespad=0.1, labelspacing=0.3)
        _right_labels(axes, states[:MOST_LABELS], [s["color"] for s in styles])

    def lost(axes):
        bottom, end = FLOAT32_SMALLEST - 22, _last_crossing(slopes, len(band[0]) - 1)
        axes.axhspan(bottom, FLOAT32_SMALLEST, color=BAND, lw=0, alpha=0.6)
        axes.axhline(FLOAT32_SMALLEST, color=INK, lw=1)
        _note(axes, end, bottom, "below 10⁻⁴⁵: zero in float32")
        for line, style in zip(slopes, styles, strict=True):
            stop = _crossing(line)
            shown = slice(None if stop is None else stop + 1)
            axes.plot(line.x[shown], np.maximum(line.y[shown], FLOAT32_SMALLEST), **style)
        first = "" if end == len(band[0]) - 1 else f" (the first {end})"
        _frame(axes, f"output slope h′({state}(t)) of the same cells", f"step t{first}", (0, end), (bottom, 2), "log₁₀ h′, relative to its largest value")
        _crossing_labels(axes, slopes[:MOST_LABELS], [s["color"] for s in styles])

    return Panel(grown, right=50), Panel(lost, right=50)


def flow_panel(full, truncated, floor, title):
    """Full flow bold, truncated dashed (either may be None), with the horizon and, where it is near, the rounding floor (a Line)."""
    lines = [(line, {"color": colour, "lw": width, "ls": dashes}) for line, colour, width, dashes in (
        (full, BLUE, 2.4, "-"), (truncated, RED, 1.8, (0, (5, 2)))) if line is not None]

    def draw(axes):
        low, _ = _flow_frame(axes, [line for line, _ in lines], title)
        if floor is not None and float(np.max(floor.y)) > low:
            axes.plot(floor.x, floor.y, color=MUTED, lw=1, ls=(0, (1, 2)))
            _right_labels(axes, [floor], [MUTED])
        for line, style in lines:
            axes.plot(line.x, _finite(line.y), **style)
        _right_labels(axes, [line for line, _ in lines], [s["color"] for _, s in lines])

    return Panel(draw, right=84)


def path_panel(paths, title):
    """Thin lines, one per path."""
    styles = [PATHS[k % len(PATHS)] for k in range(len(paths))]

    def draw(axes):
        _flow_frame(axes, paths, title)
        for line, (colour, dashes) in zip(paths, styles, strict=True):
            axes.plot(line.x, _finite(line.y), color=colour, lw=1.3, ls=dashes)
        _right_labels(axes, paths[:MOST_LABELS], [colour for colour, _ in styles])

    return Panel(draw, right=84)


def decay_panels(lines, first=50):
    """Two panels: all lags, and the first ones with what float32 keeps. Every second line is thin and dashed, on top of a wide one."""
    styles = [({"color": LIGHT, "lw": 6}, {"color": DEEP, "lw": 1.6, "ls": (0, (4, 2.5))},
               {"color": PEACH, "lw": 6}, {"color": WINE, "lw": 1.6, "ls": (0, (4, 2.5))})[k % 4] for k in range(len(lines))]

    def all_lags(axes):
        lags = max(int(line.x[-1]) for line in lines)
        low, high = _limits(lines, (-10, -20, -50, -100, -200, -500, -1000, -2000, -5000, -10000), (1, 10, 100, 1000))
        _threshold(axes, lags, FLOAT64_NORMAL, low, "float64 underflows here, 10⁻³⁰⁸", lines)
        _frame(axes, f"lags 1 to {lags}", "lag q (steps back)", (0, lags), (low, max(high, -0.04 * low)), "log₁₀ norm, relative to lag 0")
        for line, style in zip(lines, styles, strict=True):
            axes.plot(line.x, _finite(line.y), **style)
        _inner_labels(axes, lines, styles)

    def first_lags(axes):
        low = -45
        for value, words in ((HORIZON, "2⁻²⁴: below, lost beside lag 0 in float32"), (FLOAT32_NORMAL, "float32 underflows here, 10⁻³⁸")):
            _threshold(axes, first, value, low, words, [Line(line.label, line.x[:first + 1], line.y[:first + 1]) for line in lines])
        _frame(axes, f"the first {first} lags", "lag q (steps back)", (0, first), (low, 2.5))
        for line, style in zip(lines, styles, strict=True):
            axes.plot(line.x[:first + 1], _finite(line.y[:first + 1]), **style)
        lost = [int(line.x[np.argmax(line.y < HORIZON)]) for line in lines if np.any(line.y[:first + 1] < HORIZON)]
        if lost:
            axes.plot([min(lost)], [HORIZON], "o", color=INK, ms=6)
            axes.annotate(f"lag {min(lost)}", (min(lost), HORIZON), (8, 4), textcoords="offset points", color=INK, fontweight="bold")

    return Panel(all_lags, left=70), Panel(first_lags, left=44)


def _crossing(line):
    """Index at which a line first falls below float32's smallest number, or None."""
    below = np.flatnonzero(line.y < FLOAT32_SMALLEST)
    return int(below[0]) if len(below) else None


def _last_crossing(lines, end):
    """A round number of steps that shows every crossing, at most `end`."""
    crossed = [c for c in map(_crossing, lines) if c is not None]
    return min(end, int(np.ceil(1.2 * max(crossed) / 50) * 50)) if crossed else end


def _finite(y):
    return np.where(np.isfinite(y), y, np.nan)


def _limits(lines, lows, highs):
    """The nearest of a few fixed limits that hold the lines; the widest where none does."""
    values = np.concatenate([line.y[np.isfinite(line.y)] for line in lines] or [np.zeros(1)])
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    return next((v for v in lows if v <= low), lows[-1]), next((v for v in highs if v >= high), highs[-1])


def _frame(axes, title, xlabel, xlim, ylim, ylabel=""):
    axes.set_xlim(*xlim)
    axes.set_ylim(*ylim)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    axes.set_title(title, loc="left", fontweight="bold", pad=10, color=INK)


def _flow_frame(axes, lines, title):
    low, high = _limits(lines, (-10, -50), (3, 10, 50, 300))
    lags = max([int(line.x[-1]) for line in lines] or [1])
    _threshold(axes, lags, HORIZON, low, "2⁻²⁴: below, lost beside lag 0 in float32", lines)
    axes.axhline(0, color=MUTED, lw=0.8)
    _frame(axes, title, "lag q (steps back)", (0, lags), (low, high), "log₁₀ norm, relative to lag 0")
    return low, high


def _threshold(axes, x, y, low, words, lines):
    """A dotted line with its meaning, at the side away from where the lines cross it."""
    if y > low:
        axes.axhline(y, color=INK, lw=0.9, ls=(0, (2, 2)))
        crossed = [line.x[np.argmax(line.y < y)] for line in lines if np.any((line.y < y) & np.isfinite(line.y))]
        left = bool(crossed) and min(crossed) > x / 2
        _note(axes, 0 if left else x, y, words, "left" if left else "right")


def _note(axes, x, y, words, side="right"):
    axes.annotate(words, (x, y), (4 if side == "left" else -4, 3), textcoords="offset points", ha=side, va="bottom", fontsize=11, color=INK)


def _ends(axes, lines):
    """Where each line leaves the axes, as a fraction of their height."""
    low, high = axes.get_ylim()
    shown = [line.y[(line.x <= axes.get_xlim()[1]) & np.isfinite(line.y)] for line in lines]
    last = [y[-1] if len(y) else low for y in shown]
    return [float(np.clip((v - low) / (high - low), 0, 1)) for v in last]


def _pixels(axes):
    box = axes.get_window_extent()
    return box.width, box.height


def _right_labels(axes, lines, colours):
    """Labels in the right margin, moved apart, each with a hair line to the end of its curve."""
    width, height = _pixels(axes)
    ends = _ends(axes, lines)
    for line, end, y, colour in zip(lines, ends, stack(ends, 13.5 / height, 0, 1), colours):
        axes.annotate(line.label, (1, end), (1 + 9 / width, y), xycoords="axes fraction", textcoords="axes fraction", va="center", color=colour,
                      fontsize=11.5, fontweight="bold" if line.bold else "normal", annotation_clip=False,
                      arrowprops={"arrowstyle": "-", "color": colour, "lw": 0.6, "shrinkA": 0, "shrinkB": 0})


def _crossing_labels(axes, lines, colours):
    """Upright labels under the float32 line where a slope crosses it; in the right margin where it never does."""
    width, _ = _pixels(axes)
    span = axes.get_xlim()[1]
    crossing = [_crossing(line) for line in lines]
    inside = [k for k, c in enumerate(crossing) if c is not None]
    for k, at in zip(inside, stack([crossing[k] / span for k in inside], 14 / width, 0.02, 1)):
        axes.annotate(lines[k].label, (crossing[k], FLOAT32_SMALLEST), (at * span, FLOAT32_SMALLEST - 3), rotation=90, ha="center", va="top",
                      fontsize=11.5, color=colours[k], fontweight="bold" if lines[k].bold else "normal",
                      arrowprops={"arrowstyle": "-", "color": colours[k], "lw": 0.6, "shrinkA": 0, "shrinkB": 0})
    outside = [k for k, c in enumerate(crossing) if c is None]
    _right_labels(axes, [lines[k] for k in outside], [colours[k] for k in outside])


def _inner_labels(axes, lines, styles):
    """Labels inside the axes beside a sample of the line: under a curve that ends high, left of the end of one that falls."""
    width, height = _pixels(axes)
    ends, gap = _ends(axes, lines), 19 / height
    for high in (True, False):
        chosen = [k for k, end in enumerate(ends) if (end > 0.5) == high]
        right = 1.0 if high else 0.72
        start = min([ends[k] for k in chosen] or [0]) - 1.2 * gap if high else max([ends[k] for k in chosen] or [0]) + gap * len(chosen)
        for row, k in enumerate(chosen):
            y = max(start - row * gap, 0.06 + (len(chosen) - 1 - row) * gap)
            axes.plot([right - 30 / width, right - 4 / width], [y, y], transform=axes.transAxes, clip_on=False, **styles[k])
            axes.text(right - 38 / width, y, lines[k].label, transform=axes.transAxes, ha="right", va="center", color=INK)
