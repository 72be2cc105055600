"""The verb `diagnose`."""

import click

from ..targets import described, network_and_inputs
from ..threads import one_blas_thread
from .options import emit, net_options, output, progress_bar, refuse_overwriting

__all__ = ["diagnose"]


@click.command()
@net_options("net")
@click.option("--lags", default=1000, show_default=True, type=click.IntRange(1), help="Lags to measure, as far as the inputs reach.")
@click.option("--fail-on", type=click.Choice(["info", "warning", "error"]), default="warning", show_default=True,
              help="Exit 1 from this severity on.")
@click.option("--needs-lag", type=click.IntRange(1), metavar="STEPS", help="Lag over which the task has to remember.")
@click.option("--targets", metavar="FILE", help="Targets (batch, time, outputs), NaN where there is none, .npy or .npz by set: flow is "
              "weighed by the errors that occur. Classes come one-hot, or as labels 0, 1, ... (batch, time), -100 where there is none.")
@click.option("--loss", type=click.Choice(["squared", "cross-entropy"]), default="squared", show_default=True,
              help="Loss of --targets; cross-entropy is for classes.")
@click.option("--try-remedies", "remedies", is_flag=True,
              help="Apply the remedies that weights can take, and measure flow and function again, before and after.")
@output
def diagnose(net, inputs_, layer, units, block_size, seed, lags, fail_on, needs_lag, targets, loss, remedies, form, out):
    """Diagnose NET on real inputs: flow, drift, bias cells; exit 1 when there are findings."""
    from ..detectors import SEVERITIES
    from ..report import documents, text

    refuse_overwriting([("-o", out)], [net, inputs_, targets])
    result, inputs = diagnosed(net, inputs_, layer, units, block_size, seed, lags, needs_lag, remedies, targets, loss)
    if form == "json":
        emit(documents.dumps(documents.diagnosis(result, inputs)), out)
    else:
        emit(text.diagnosis_text(result, inputs), out)
    worst = result.worst()
    return int(worst is not None and SEVERITIES.index(worst) >= SEVERITIES.index(fail_on))


def diagnosed(net, inputs, layer, units, block_size, seed, lags, needs_lag=None, remedies=False, targets=None, loss="squared"):
    from ..detectors import diagnose as diagnose_network
    from ..detectors import try_remedies
    from ..targets import errors_of

    network, sets = network_and_inputs(net, inputs, layer, units, block_size, seed)
    if not sets:
        raise click.UsageError("diagnosis needs real inputs: --inputs FILE.npz with LAYER.x (batch, time, features), or FILE.npy")
    with progress_bar("diagnosing") as progress, one_blas_thread():
        errors = errors_of(network, sets, targets, loss) if targets else None
        result = diagnose_network(network, sets, lags=lags, needs_lag=needs_lag, progress=progress, errors=errors)
        result = try_remedies(result, progress) if remedies else result
    return result, described(sets, inputs, lags)
