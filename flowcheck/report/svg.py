"""Matplotlib figures as small, deterministic SVG that follows the reader's light or dark theme.

A figure is one or more panels side by side. Colours are written as their light hex value; `style_rules` recolours them
for dark, so that a renderer without CSS still shows the light figure. Text stays text, in the page's font.
"""

import io
import re
from dataclasses import dataclass
from html import escape

__all__ = ["Panel", "figure_svg", "stack", "style_rules"]

INK, MUTED, BAND, GRID = "#1f2328", "#59636e", "#cfd5dc", "#e4e7eb"
BLUE, RED, GREEN, PURPLE, OCHRE, ROSE = "#0062a3", "#c04a00", "#00755a", "#7a3b9a", "#8a6500", "#b0306a"
LIGHT, DEEP = "#5b9bd0", "#003a66"
PEACH, WINE = "#e2854a", "#7a2a00"
DARK = {
    INK: "#e6e9ec",
    MUTED: "#a7b0ba",
    BAND: "#454d57",
    GRID: "#2c333b",
    BLUE: "#6db5f2",
    RED: "#ff9f63",
    GREEN: "#4fcaa3",
    PURPLE: "#c9a0ea",
    OCHRE: "#e3bb52",
    ROSE: "#f58fb8",
    LIGHT: "#3d78ab",
    DEEP: "#d3eaff",
    PEACH: "#b05f2c",
    WINE: "#ffe0cc",
}
WIDTH, HEIGHT, TEXT = 480, 320, 12.5
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


@dataclass(frozen=True)
class Panel:
    """One set of axes: `draw(axes)` draws on it; a panel is 480 wide unless it says otherwise, its margins are in the same units."""

    draw: callable
    left: float = 58
    right: float = 16
    height: float = HEIGHT
    width: float = WIDTH


def figure_svg(*panels, label, name, standalone=False):
    """SVG text of panels side by side; `label` is what a screen reader says, `name` makes ids unique in a page.

    `standalone` adds the namespace and the theme's rules, for a file of its own.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    height, width = max(p.height for p in panels), sum(p.width for p in panels)
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": TEXT,
        "axes.titlesize": TEXT,
        "axes.labelsize": TEXT,
        "path.simplify": True,
        "path.simplify_threshold": 0.4,
        "axes.unicode_minus": True,
        "mathtext.default": "regular",
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "axes.linewidth": 0.9,
        "lines.solid_capstyle": "round",
        "axes.axisbelow": True,
    }
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if k != "backend"}
    with matplotlib.rc_context({**defaults, **settings}):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        for k, panel in enumerate(panels):
            inner, start = (panel.width - panel.left - panel.right, height - 34 - 46), sum(p.width for p in panels[:k])
            axes = figure.add_axes([(start + panel.left) / width, 46 / height, inner[0] / width, inner[1] / height])
            axes.patch.set_visible(False)
            axes.grid(True, axis="y")
            panel.draw(axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _finished(text.getvalue(), label, name, width, height, standalone)


def _finished(text, label, name, width, height, standalone):
    """The drawing without what a page does not need: prologue, group ids, decimals, matplotlib's font list."""
    body = text[text.index("<svg") :]
    body = body[body.index(">") + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<g id=\"[^\"]*\"", "<g", body)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r"font: ([0-9. a-z]*?)([0-9.]+)px [^;\"]*", lambda m: f"font: {m[1]}{m[2]}px {FONT}", body)
    body = re.sub(
        r"(?<= d=\")[^\"]*", lambda m: re.sub(r"\s*\n\s*", " ", re.sub(r"(\.\d)\d+", r"\1", m[0])).strip(), body
    )
    body = body.replace(" xlink:href=", " href=")
    body = re.sub(r"\n\s*", "\n", body)
    names = ' xmlns="http://www.w3.org/2000/svg"' if standalone else ""
    style = f"<style>{style_rules()}</style>" if standalone else ""
    head = f'<svg{names} class="figure" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}"'
    size = f' width="{width:g}" height="{height:g}"' if standalone else ""
    return f'{head}{size} data-name="{escape(name)}">{style}{body.strip()}'


def style_rules():
    """CSS that recolours the figures for a dark screen; print and everything else keep the light colours."""
    rules = "".join(
        f'.figure [style*="{kind}: {light}"]{{{kind}:{dark}!important}}'
        for light, dark in DARK.items()
        for kind in ("stroke", "fill")
    )
    return f"@media screen and (prefers-color-scheme: dark){{{rules}}}"


def stack(positions, gap, low, high):
    """Positions moved apart to at least `gap`, in their order, as near as they can stay within low ... high."""
    order = sorted(range(len(positions)), key=lambda k: positions[k])
    placed = []
    for k in order:
        placed.append(max(positions[k], low, placed[-1] + gap if placed else low))
    ceiling = high
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling)
        ceiling = placed[i] - gap
    result = [0.0] * len(positions)
    for i, k in enumerate(order):
        result[k] = placed[i]
    return result
