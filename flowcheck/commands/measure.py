"""The verb `measure`, of one net or of many."""

from pathlib import Path

import click

from ..targets import by_layer, described, network_and_inputs
from ..threads import one_blas_thread
from .options import emit, net_options, output, progress_bar, refuse_overwriting, resumable

__all__ = ["measure"]

ON_NOISE = "no inputs given: measuring on unit-variance noise"


@click.command()
@net_options("nets", nargs=-1, required=True, metavar="NET...")
@click.option("--lags", default=100, show_default=True, type=click.IntRange(1), help="Lags to measure.")
@click.option("--gradient", type=click.Choice(["full", "truncated", "both"]), default="both", show_default=True,
              help="Full, or with the recurrent connections cut (1997); both leaves out truncated flows that are zero.")
@click.option("--norm", type=click.Choice(["frobenius", "spectral"]), default="frobenius", show_default=True,
              help="spectral: the largest singular value at every lag as well.")
@click.option("--exponents", is_flag=True, help="Lyapunov exponents as well, all of them.")
@click.option("--probes", type=click.IntRange(1), metavar="K", help="The norm from K random vectors as well, with its interval.")
@click.option("--pairs", is_flag=True, help="The flow of one error from every step as well: all pairs of end time and lag.")
@click.option("--fast", is_flag=True, help="Compile layers of up to 512 units by Numba, seconds at first: the same numbers, sooner.")
@click.option("--device", metavar="cpu|cuda|...", help="Compute with torch on this device.")
@click.option("--dtype", type=click.Choice(["float64", "float32", "bfloat16"]), help="Precision of --device.  [default: float64]")
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path),
              help="Several NETs: the SQLite file of their rows; nets that it holds are not measured again.  [default: flowcheck.sqlite]")
@click.option("--scheduler", metavar="local|ADDRESS", help="Several NETs: processes of this machine, or a Dask cluster.")
@click.option("--workers", type=click.IntRange(1), help="Several NETs: local processes.  [default: one per core]")
@output
def measure(nets, inputs_, layer, units, block_size, seed, lags, gradient, norm, exponents, probes, pairs, fast, device, dtype, store,
            scheduler, workers, form, out):
    """Measure how error flow scales over lag in NET: a checkpoint file, or cell:NAME for a fresh one.

    Several NETs are measured in parallel, and diagnosed where --inputs are given, into one SQLite file.
    """
    several = len(nets) > 1 or store or scheduler or workers
    store = store or Path("flowcheck.sqlite") if several else None
    refuse_overwriting([("-o", out)], [*nets, inputs_, store])
    refuse_overwriting([("--store", store)], [*nets, inputs_])
    asked = {"spectral": norm == "spectral", "exponents": exponents, "probes": probes or 0, "pairs": pairs}
    if (any(asked.values()) or fast) and (device or dtype):
        raise click.UsageError("--norm spectral, --exponents, --probes, --pairs and --fast do without torch; leave --device, --dtype out")
    if several:
        if gradient != "both" or fast or device or dtype or any(asked.values()):
            raise click.UsageError("--gradient, --norm, --exponents, --probes, --pairs, --fast, --device and --dtype are for one NET; the "
                                   "rows of several hold both gradients, in float64")
        return _measure_many(nets, (inputs_, layer, units, block_size, seed, lags), store, scheduler, workers, form, out)
    if device or dtype:
        from ..tensors import Device

        device = Device(device or "cpu", dtype or "float64")
    return _measure_one(nets[0], inputs_, layer, units, block_size, seed, lags, gradient, asked, fast, device, form, out)


def _measure_many(nets, settings, store, scheduler, workers, form, out):
    from ..runs import Settings, Store, measure_many

    settings, kept = Settings(*settings), Store(store)
    with resumable(kept.path), progress_bar(f"measuring {len(nets)} nets") as progress:
        rows = measure_many(nets, settings, kept, scheduler=scheduler or "local", workers=workers, progress=progress)
    if form == "text" and (settings.inputs is None or settings.inputs.isdigit()):
        click.echo(ON_NOISE, err=True)
    if form == "json":
        from ..report import documents

        emit(documents.dumps(documents.runs(rows, kept.path)), out)
    else:
        from ..report import text

        emit(text.runs_text(rows, kept.path), out)
    return 2 if rows.errors() else 0


def _measure_one(net, inputs_, layer, units, block_size, seed, lags, gradient, asked, fast, device, form, out):
    from ..measure import measure as measure_network
    from ..measure import noise_inputs
    from ..report import documents, text

    network, sets = network_and_inputs(net, inputs_, layer, units, block_size, seed)
    if sets:
        chosen, inputs, used_seed = by_layer(sets), described(sets, inputs_, lags), seed if net.startswith("cell:") else None
    else:
        chosen, inputs, used_seed = noise_inputs(network, lags, seed), f"unit-variance noise, seed {seed}", seed
        if form == "text":
            click.echo(ON_NOISE, err=True)
    run = None
    if fast:
        from ..compiled import run_layer as run
    with progress_bar("measuring") as progress, one_blas_thread():
        measured = measure_network(network, chosen, lags, gradient=gradient, device=device, run=run, progress=progress)
        beside = {}
        if any(asked.values()):
            from ..further import further

            beside = further(network, chosen, lags, cut=gradient == "truncated", run=run, progress=progress, **asked)
    if form == "json":
        emit(documents.dumps(documents.measurement(network, measured, inputs, used_seed, device, beside)), out)
    else:
        emit(text.measurement_text(measured, inputs, network) + text.further_text(beside), out)
