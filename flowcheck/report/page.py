"""One page for everything: a single HTML file that opens without a network and reads without a script."""

from importlib.resources import files

import jinja2

from .. import __version__
from .drawn import cell_figures, curve_figures, drift_figures, flow_figures
from .files import write_atomically
from .formulas import bound_rows, claim_sections, claim_summary, prose
from .rows import comparison_rows, curve_rows, estimated, finding_groups, flow_row, layer_rows, powers, said_of
from .svg import style_rules

__all__ = ["page", "write_comparison", "write_page"]

_NET_ROWS = ("state-to-state", "net-to-net", "input-to-output")


def write_page(path, *, title, command, curves=None, derivations=None, bounds=None, diagnosis=None, measured=None, inputs=""):
    """Write the page to `path`, whole or not at all.

    command      the exact command that makes this page
    curves       [Curve] of the paper's cells
    derivations  [(Claim, error or "")]
    bounds       {claim id: in words, how near flows come to that bound}
    diagnosis    a Diagnosis; `inputs` says in words what it ran on
    measured     [Measured], the diagnosis' own if there is one
    """
    parts = {"curves": curves, "derivations": derivations, "bounds": bounds, "diagnosis": diagnosis, "measured": measured}
    write_atomically(path, page(title=title, command=command, inputs=inputs, **parts))


def page(*, title, command, curves=None, derivations=None, bounds=None, diagnosis=None, measured=None, inputs=""):
    """The page as text; see `write_page`. The same results give the same text."""
    network = diagnosis and diagnosis.network
    measured = diagnosis.measured if diagnosis and measured is None else measured
    return _rendered(
        "page.html.j2",
        title=title,
        command=command,
        inputs=inputs,
        network=network,
        layers=layer_rows(diagnosis, measured) if diagnosis or measured else [],
        groups=finding_groups(diagnosis.findings) if diagnosis else None,
        trials=diagnosis.trials or () if diagnosis else (),
        drifts=drift_figures(diagnosis) if diagnosis else [],
        flows=_flows(measured) if measured else [],
        curves={"figures": curve_figures(curves), "rows": curve_rows(curves)} if curves else None,
        derivations={
            "sections": claim_sections(derivations),
            "summary": claim_summary(derivations),
            "bounds": bound_rows(derivations, bounds or {}),
        }
        if derivations
        else None,
    )


def write_comparison(path, *, title, command, compared):
    """Write the page that shows all cells side by side, from [Compared], whole or not at all."""
    rows = zip(comparison_rows(compared), cell_figures(compared), strict=True)
    last = int(compared[0].flow.lags[-1])
    write_atomically(path, _rendered("comparison.html.j2", title=title, command=command, rows=[*rows], lags=last))


def _rendered(name, **values):
    templates = files(__package__) / "templates"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (templates / name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"powers": powers, "prose": prose}
    style = (templates / "page.css").read_text("utf-8") + style_rules()
    return environment.get_template(name).render(version=__version__, style=style, **values)


def _flows(measured):
    """Per layer: its figure, the rows of the net's own flows, and those of the paths to single gates."""
    found = []
    for figure, layer in zip(flow_figures(measured), dict.fromkeys(m.flow.layer for m in measured), strict=True):
        ours = [m for m in measured if m.flow.layer == layer]
        rows = {
            main: [flow_row(m.flow, m.rate) for m in ours if (m.flow.quantity in _NET_ROWS) == main]
            for main in (True, False)
        }
        found.append({"figure": figure, "rows": rows[True], "paths": rows[False], "estimated": estimated(m.probes for m in ours),
                      "said": said_of(ours)})
    return found
