"""The verb `verify`."""

from dataclasses import replace
from pathlib import Path

import click

from ..threads import one_blas_thread
from .options import emit, progress_bar, refuse_overwriting

__all__ = ["verify"]


VERIFICATION_FORMATS = ["text", "json", "junit", "sarif", "github", "markdown"]


def _also(context, option, given):
    """((format, path), ...) of FORMAT=FILE."""
    pairs = [text.partition("=") for text in given]
    for form, equals, path in pairs:
        if form not in VERIFICATION_FORMATS or not (equals and path):
            raise click.BadParameter(f"{form}{equals}{path}: expected FORMAT=FILE, with a format of {', '.join(VERIFICATION_FORMATS)}")
    return tuple((form, Path(path)) for form, _, path in pairs)


@click.command()
@click.argument("targets", nargs=-1, metavar="[PATH | cell:NAME | MODULE:OBJECT]...")
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0), help="Seed of the random nets and directions.")
@click.option("--certified", is_flag=True, help="Check in ball arithmetic too, with a rigorous bound (needs python-flint).")
@click.option("--power", is_flag=True, help="Plant mistakes in your backward pass and print which ones are caught, by kind and lag.")
@click.option("--format", "form", type=click.Choice(VERIFICATION_FORMATS), default="text", show_default=True)
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write to this file instead of stdout; $GITHUB_STEP_SUMMARY is appended to.")
@click.option("--also", multiple=True, metavar="FORMAT=FILE", callback=_also, help="Write this format to a file, too. Repeatable.")
@click.option("--baseline", type=click.Path(dir_okay=False, path_type=Path), help="Failures that this file knows do not fail the run.")
@click.option("--write-baseline", "new_baseline", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the failures of this run as a baseline; without --baseline they then do not fail it.")
@click.option("--fail-on", type=click.Choice(["fail", "inconclusive"]), default="fail", show_default=True,
              help="Whether inconclusive checks fail the run, too.")
def verify(targets, seed, certified, power, form, out, also, baseline, new_baseline, fail_on):
    """Check cells, derivations and your own backward pass.

    Without targets: every cell and the paper's derivations. PATH is a derivation file or folder, cell:NAME a cell. MODULE:OBJECT is your
    code, which is imported and run: a function without arguments that returns (forward, backward, params, inputs, state0), or what
    from_torch, from_jax or from_keras gives. Derivation files are run, too. Exit code 1 when a check fails that is not in the baseline,
    2 when a target cannot be run; the others are reported all the same.
    """
    from ..checks import run_checks
    from ..report.baseline import read_baseline, write_baseline
    from ..report.verification import render

    refuse_overwriting([("-o", out), *(("--also", path) for _, path in also)], [*targets, baseline])
    refuse_overwriting([("--write-baseline", new_baseline)], targets)
    known = None if baseline is None else read_baseline(baseline)
    with progress_bar("verifying") as progress, one_blas_thread():
        ran = run_checks(dict.fromkeys(targets), seed, progress, certified, power)
    outcome = replace(ran, baseline=known, strict=fail_on == "inconclusive")
    for name, path in [(form, out), *also]:
        emit(render(outcome, name), path)
    if outcome.errors:
        click.echo("\n".join(f"flowcheck: {error}" for error in outcome.errors), err=True)
        return 2
    if new_baseline is not None:
        count = write_baseline(new_baseline, outcome)
        click.echo(f"{new_baseline}: {count} known failure{'' if count == 1 else 's'}", err=True)
    return int(bool(outcome.failures) and (new_baseline is None or baseline is not None))
