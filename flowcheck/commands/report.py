"""The verb `report`: pages of the paper, of a net, of all cells."""

from pathlib import Path

import click

from ..targets import derivations, near_bounds, proved
from ..threads import one_blas_thread
from .diagnose import diagnosed
from .options import LAYER, progress_bar, refuse_overwriting

__all__ = ["report"]


@click.command()
@click.argument("net", required=False)
@click.option("--inputs", "inputs_", metavar="FILE", help=".npy or .npz with LAYER.x, for NET.")
@click.option("--layer", metavar="NAME[=KIND:ORDER]", help=LAYER)
@click.option("--try-remedies", "remedies", is_flag=True, help="Show what remedies do to the flow of NET at once, before and after.")
@click.option("--cells", "cells_", is_flag=True, help="Instead, compare all cells of the catalogue at their initialisation.")
@click.option("--lags", default=1000, show_default=True, type=click.IntRange(2), help="Lags of the curves.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("flowcheck-report"), show_default=True,
              help="An .html file (its JSON goes beside it), or a folder for report.html and report.json.")
def report(net, inputs_, layer, remedies, cells_, lags, seed, out):
    """Write one self-contained HTML page and its JSON: the paper's curves and every proof; of NET its diagnosis and the proofs on flow."""
    from ..cells import catalogue
    from ..report import documents
    from ..report.curves import paper_curves
    from ..report.files import write_atomically
    from ..report.page import write_page
    from ..tasks import claims as loaded

    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    if cells_:
        if net or inputs_ or layer:
            raise click.UsageError("--cells compares the catalogue and takes no net, inputs or layer")
        return _compare(page, lags, seed, out)
    refuse_overwriting([("-o", path) for path in (out, page, page.with_suffix(".json"))], [net, inputs_])
    given = {}
    if net:
        result, inputs = diagnosed(net, inputs_, layer, 32, 1, seed, lags, remedies=remedies)
        given = {"diagnosis": result, "inputs": inputs}
    with progress_bar("report") as progress, one_blas_thread():
        curves = paper_curves(catalogue(), lags=lags, seed=seed, progress=progress)
        claims = [c for c in loaded(str(derivations())).values() if not net or c.checks and c.section in SECTIONS_ON_FLOW]
        results = proved(claims, derivations(), progress)
        bounds = {} if net else near_bounds(claims, derivations(), progress)
    words = [net, inputs_ and f"--inputs {inputs_}", layer and f"--layer {layer}", f"--lags {lags}" if lags != 1000 else None,
             f"--seed {seed}" if seed else None, "--try-remedies" if remedies else None, f"-o {out}"]
    command = " ".join(["flowcheck report", *filter(None, words)])
    page.parent.mkdir(parents=True, exist_ok=True)
    title = f"Error flow in {Path(net).name}" if net else "Error flow over lag: the paper's cells"
    write_page(page, title=title, command=command, curves=curves, derivations=results, bounds=bounds, **given)
    write_atomically(page.with_suffix(".json"), documents.dumps(documents.report(command, curves, results, bounds, **given)) + "\n")
    click.echo(f"{page} and {page.with_suffix('.json').name}", err=False)


SECTIONS_ON_FLOW = ("3.1", "3.2", "A.2")
"""Whose formulas, where the code meets them, stand behind a net's flows; the page without NET has all."""


def _compare(page, lags, seed, out):
    """The page of all cells side by side, and its JSON."""
    from ..cells import catalogue
    from ..report import documents
    from ..report.comparison import compare_cells
    from ..report.files import write_atomically
    from ..report.page import write_comparison

    with progress_bar("comparing") as progress, one_blas_thread():
        compared = compare_cells(catalogue(), lags=lags, seed=seed, progress=progress)
    words = [f"--lags {lags}" if lags != 1000 else None, f"--seed {seed}" if seed else None, f"-o {out}"]
    command = " ".join(["flowcheck report --cells", *filter(None, words)])
    page.parent.mkdir(parents=True, exist_ok=True)
    write_comparison(page, title=f"Error flow of {len(compared)} recurrent cells", command=command, compared=compared)
    write_atomically(page.with_suffix(".json"), documents.dumps(documents.comparison(command, compared)) + "\n")
    click.echo(f"{page} and {page.with_suffix('.json').name}", err=False)
