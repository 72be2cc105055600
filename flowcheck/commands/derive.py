"""The verb `derive`."""

from pathlib import Path

import click

from ..targets import derivations, proved
from .options import emit, out_in, progress_bar, refuse_overwriting

__all__ = ["derive"]


@click.command()
@click.argument("target", required=False)
@click.option("--path", type=click.Path(exists=True), help="A derivation file or folder instead of the paper's.")
@click.option("--section", metavar="NAME", help="One section only, e.g. 3.1 or A.2.")
@out_in("text", "json", "markdown", "latex", "html")
def derive(target, path, section, form, out):
    """Prove the paper's formulas; TARGET is one equation by either number (41, A.39), or a file or folder."""
    from ..report import derivations as pages
    from ..report import documents, text
    from ..tasks import claims as loaded

    refuse_overwriting([("-o", out)], [target, path])
    if target and not path and Path(target).exists():
        target, path = None, target
    path = derivations(path)
    claims, others = pages.matching(loaded(str(path)).values(), target, section)
    if not claims:
        asked = " ".join(filter(None, (repr(target) if target else "", f"in section {section}" if section else "")))
        raise click.UsageError(f"no equation {asked}; flowcheck derive lists them")
    with progress_bar("proving") as progress:
        results = proved(claims, path, progress)
    if form == "json":
        emit(documents.dumps(documents.derivations(results)), out)
    elif form in pages.WRITERS:
        emit(pages.WRITERS[form](results), out)
    else:
        shown = "\n".join(pages.text(*r) for r in results) if target else text.derivations_text(results)
        emit(shown + pages.also(others), out)
    return int(any(error for _, error in results))
