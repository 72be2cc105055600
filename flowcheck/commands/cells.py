"""The verb `cells`."""

import click

from ..threads import one_blas_thread
from .options import emit, output, progress_bar

__all__ = ["cells"]


@click.command()
@click.argument("name", required=False)
@click.option("--lags", default=30, show_default=True, type=click.IntRange(4), help="Measure the cells' promises at lags 1 to this.")
@output
def cells(name, lags, form, out):
    """List the catalogue of cells with what they promise, measured; or show one cell's formulas, step Jacobian and closed-form flow."""
    from ..cells import catalogue, get
    from ..report import documents, text
    from ..verify.ladder import check_claims

    chosen, measured = catalogue() if name is None else {name: get(name)}, {}
    with progress_bar("measuring promises") as progress, one_blas_thread():
        for k, cell in enumerate(chosen.values()):
            progress(f"cell {cell.name}", k, len(chosen))
            measured[cell.name] = check_claims(cell, lags=lags)
    if form == "json":
        emit(documents.dumps(documents.cells(chosen, measured, lags)), out)
    else:
        emit(text.cells_text(chosen, measured, lags) if name is None else text.cell_text(chosen[name], measured[name], lags), out)
    return int(any(check.verdict == "fail" for checks in measured.values() for check in checks))
