"""The command line: derive, verify, measure, diagnose, report, cells, reproduce.

Reads arguments, hands cells and files to the package, prints text or JSON. Exit 0 clean, 1 findings, 2 usage or internal error; every
error is one line. Everything heavy is imported by the verb that needs it, so that --help answers at once.
"""

import contextlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from .targets import by_layer, derivations, described, near_bounds, network_and_inputs, proved

__all__ = ["main"]


def main(arguments=None):
    """Run the command line; the one place where an exception becomes a line on stderr and an exit code."""
    try:
        sys.exit(cli(args=arguments, standalone_mode=False) or 0)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _refuse(f"{error.format_message()}{where}")
    except click.ClickException as error:
        _refuse(error.format_message())
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else error)
    except ValueError as error:
        _refuse(error)
    except MemoryError:
        _refuse("not enough memory: take fewer lags, fewer sequences or a smaller net")
    except Exception as error:  # noqa: BLE001  (a traceback never reaches a user)
        if os.environ.get("FLOWCHECK_TRACEBACK"):
            raise
        _refuse(f"internal error, {type(error).__name__}: {error}; FLOWCHECK_TRACEBACK=1 shows where")


def _refuse(message):
    click.echo(f"flowcheck: {' '.join(str(message).split())}", err=True)
    sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="flowcheck-rnn", prog_name="flowcheck")
def cli():
    """Gradient flow in recurrent nets: derive it, verify it, measure it, diagnose trained nets."""


def _out(command, formats=("text", "json")):
    command = click.option("--format", "form", type=click.Choice(formats), default="text", show_default=True)(command)
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("-o", "--out", type=file, help="Write to this file instead of stdout.")(command)


def _out_in(*formats):
    return lambda command: _out(command, formats)


def _emit(text, out):
    text = text if text.endswith("\n") else text + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        from .report.files import write_atomically

        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        earlier = out.read_text(encoding="utf-8") if summary and out.is_file() and out.samefile(summary) else ""
        write_atomically(out, earlier + text)


@contextlib.contextmanager
def _progress(title):
    """A progress bar on stderr that is told in words what goes on; silent when stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda words, done=None, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda words, done=None, total=None: bar.update(task, description=words, completed=done, total=total)


@contextlib.contextmanager
def _one_blas_thread():
    """A second BLAS thread waits for the first at every product; beside a busy core that costs far more than it gives."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield


@cli.command()
@click.argument("name", required=False)
@click.option("--lags", default=30, show_default=True, type=click.IntRange(4), help="Measure the cells' promises at lags 1 to this.")
@_out
def cells(name, lags, form, out):
    """List the catalogue of cells with what they promise, measured; or show one cell's formulas, step Jacobian and closed-form flow."""
    from .cells import catalogue, get
    from .report import documents, text
    from .verify.ladder import check_claims

    chosen, measured = catalogue() if name is None else {name: get(name)}, {}
    with _progress("measuring promises") as progress, _one_blas_thread():
        for k, cell in enumerate(chosen.values()):
            progress(f"cell {cell.name}", k, len(chosen))
            measured[cell.name] = check_claims(cell, lags=lags)
    if form == "json":
        _emit(documents.dumps(documents.cells(chosen, measured, lags)), out)
    else:
        _emit(text.cells_text(chosen, measured, lags) if name is None else text.cell_text(chosen[name], measured[name], lags), out)
    return int(any(check.verdict == "fail" for checks in measured.values() for check in checks))


@cli.command()
@click.argument("target", required=False)
@click.option("--path", type=click.Path(exists=True), help="A derivation file or folder instead of the paper's.")
@click.option("--section", metavar="NAME", help="One section only, e.g. 3.1 or A.2.")
@_out_in("text", "json", "markdown", "latex", "html")
def derive(target, path, section, form, out):
    """Prove the paper's formulas; TARGET is one equation by either number (41, A.39), or a file or folder."""
    from .claims import load
    from .report import derivations as pages
    from .report import documents, text

    if target and not path and Path(target).exists():
        target, path = None, target
    path = derivations(path)
    claims, others = pages.matching(load(path), target, section)
    if not claims:
        raise click.UsageError(f"no equation {target or f'in section {section}'!r}; flowcheck derive lists them")
    with _progress("proving") as progress:
        results = proved(claims, path, progress)
    if form == "json":
        _emit(documents.dumps(documents.derivations(results)), out)
    elif form in pages.WRITERS:
        _emit(pages.WRITERS[form](results), out)
    else:
        shown = "\n".join(pages.text(*r) for r in results) if target else text.derivations_text(results)
        _emit(shown + pages.also(others), out)
    return int(any(error for _, error in results))


VERIFICATION_FORMATS = ["text", "json", "junit", "sarif", "github", "markdown"]


def _also(context, option, given):
    """((format, path), ...) of FORMAT=FILE."""
    pairs = [text.partition("=") for text in given]
    for form, equals, path in pairs:
        if form not in VERIFICATION_FORMATS or not (equals and path):
            raise click.BadParameter(f"{form}{equals}{path}: expected FORMAT=FILE, with a format of {', '.join(VERIFICATION_FORMATS)}")
    return tuple((form, Path(path)) for form, _, path in pairs)


@cli.command()
@click.argument("targets", nargs=-1, metavar="[PATH | cell:NAME | MODULE:OBJECT]...")
@click.option("--seed", default=7, show_default=True, help="Seed of the random nets and directions.")
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
    from_torch, from_jax or from_keras gives. Exit code 1 when a check fails that is not in the baseline.
    """
    from .checks import run_checks
    from .report.baseline import read_baseline, write_baseline
    from .report.verification import render

    known = None if baseline is None else read_baseline(baseline)
    with _progress("verifying") as progress, _one_blas_thread():
        ran = run_checks(dict.fromkeys(targets), seed, progress, certified, power)
    outcome = replace(ran, baseline=known, strict=fail_on == "inconclusive")
    for name, path in [(form, out), *also]:
        _emit(render(outcome, name), path)
    if new_baseline is not None:
        count = write_baseline(new_baseline, outcome)
        click.echo(f"{new_baseline}: {count} known failure{'' if count == 1 else 's'}", err=True)
    return int(bool(outcome.failures) and (new_baseline is None or baseline is not None))


_LAYER = ("Recurrent layers to read, by name or prefix, several by commas; without it, all of them. What the file leaves open, say with "
          "=KIND:ORDER: the cell, and a letter per gate in the order of the file's rows, rnn=lstm:ifco or rnn=gru_reset_before:zrh. "
          "The line that refuses a file for it says what to write.")


def _net_options(*argument, **options):
    return lambda command: _with_net_options(command, click.argument(*argument, **options))


def _with_net_options(command, argument):
    for option in (
        click.option("--seed", default=0, show_default=True, help="Seed of fresh weights and noise inputs."),
        click.option("--block-size", default=1, show_default=True, help="Cells per block, for cell:NAME with shared gates."),
        click.option("--units", default=32, show_default=True, help="Units, for cell:NAME."),
        click.option("--layer", metavar="NAME[=KIND:ORDER]", help=_LAYER),
        click.option("--inputs", "inputs_", metavar="FILE|N",
                     help=".npy (batch, time, features) or .npz with LAYER.x; for cell:NAME also a number."),
        argument,
    ):
        command = option(command)
    return command


@cli.command()
@_net_options("nets", nargs=-1, required=True, metavar="NET...")
@click.option("--lags", default=100, show_default=True, type=click.IntRange(1), help="Lags to measure.")
@click.option("--gradient", type=click.Choice(["full", "truncated", "both"]), default="both", show_default=True,
              help="Full, or with the recurrent connections cut (1997); both leaves out truncated flows that are zero.")
@click.option("--norm", type=click.Choice(["frobenius", "spectral"]), default="frobenius", show_default=True,
              help="spectral: the largest singular value at every lag as well.")
@click.option("--exponents", is_flag=True, help="Lyapunov exponents as well, all of them.")
@click.option("--probes", type=click.IntRange(1), metavar="K", help="The norm from K random vectors as well, with its interval.")
@click.option("--pairs", is_flag=True, help="The flow of one error from every step as well: all pairs of end time and lag.")
@click.option("--fast", is_flag=True, help="Compile layers of up to 64 units with Numba, seconds the first time: the same numbers, sooner.")
@click.option("--device", metavar="cpu|cuda|...", help="Compute with torch on this device.")
@click.option("--dtype", type=click.Choice(["float64", "float32", "bfloat16"]), help="Precision of --device.  [default: float64]")
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path),
              help="Several NETs: the SQLite file of their rows; nets that it holds are not measured again.  [default: flowcheck.sqlite]")
@click.option("--scheduler", metavar="local|ADDRESS", help="Several NETs: processes of this machine, or a Dask cluster.")
@click.option("--workers", type=click.IntRange(1), help="Several NETs: local processes.  [default: one per core]")
@_out
def measure(nets, inputs_, layer, units, block_size, seed, lags, gradient, norm, exponents, probes, pairs, fast, device, dtype, store,
            scheduler, workers, form, out):
    """Measure how error flow scales over lag in NET: a checkpoint file, or cell:NAME for a fresh one.

    Several NETs are measured in parallel, and diagnosed where --inputs are given, into one SQLite file.
    """
    asked = {"spectral": norm == "spectral", "exponents": exponents, "probes": probes or 0, "pairs": pairs}
    if (any(asked.values()) or fast) and (device or dtype):
        raise click.UsageError("--norm spectral, --exponents, --probes, --pairs and --fast do without torch; leave --device, --dtype out")
    if len(nets) > 1 or store or scheduler or workers:
        if gradient != "both" or fast or device or dtype or any(asked.values()):
            raise click.UsageError("--gradient, --norm, --exponents, --probes, --pairs, --fast, --device and --dtype are for one NET; the "
                                   "rows of several hold both gradients, in float64")
        return _measure_many(nets, (inputs_, layer, units, block_size, seed, lags), store, scheduler, workers, form, out)
    if device or dtype:
        from .tensors import Device

        device = Device(device or "cpu", dtype or "float64")
    return _measure_one(nets[0], inputs_, layer, units, block_size, seed, lags, gradient, asked, fast, device, form, out)


def _measure_many(nets, settings, store, scheduler, workers, form, out):
    from .report import documents, text
    from .runs import Settings, Store, measure_many

    kept = Store(store or Path("flowcheck.sqlite"))
    with _progress(f"measuring {len(nets)} nets") as progress:
        rows = measure_many(nets, Settings(*settings), kept, scheduler=scheduler or "local", workers=workers, progress=progress)
    _emit(documents.dumps(documents.runs(rows, kept.path)) if form == "json" else text.runs_text(rows, kept.path), out)
    return 2 if any(error for _, error, _ in rows) else 0


def _measure_one(net, inputs_, layer, units, block_size, seed, lags, gradient, asked, fast, device, form, out):
    from .measure import measure as measure_network
    from .measure import noise_inputs
    from .report import documents, text

    network, sets = network_and_inputs(net, inputs_, layer, units, block_size, seed)
    if sets:
        chosen, inputs, used_seed = by_layer(sets), described(sets, inputs_), seed if net.startswith("cell:") else None
    else:
        chosen, inputs, used_seed = noise_inputs(network, lags, seed), f"unit-variance noise, seed {seed}", seed
        if form == "text":
            click.echo("no inputs given: measuring on unit-variance noise", err=True)
    run = None
    if fast:
        from .compiled import run_layer as run
    with _progress("measuring") as progress, _one_blas_thread():
        measured = measure_network(network, chosen, lags, gradient=gradient, device=device, run=run, progress=progress)
        beside = {}
        if any(asked.values()):
            from .further import further

            beside = further(network, chosen, lags, cut=gradient == "truncated", run=run, progress=progress, **asked)
    if form == "json":
        _emit(documents.dumps(documents.measurement(network, measured, inputs, used_seed, device, beside)), out)
    else:
        _emit(text.measurement_text(measured, inputs, network) + text.further_text(beside), out)


@cli.command()
@_net_options("net")
@click.option("--lags", default=1000, show_default=True, type=click.IntRange(1), help="Lags to measure, as far as the inputs reach.")
@click.option("--fail-on", type=click.Choice(["info", "warning", "error"]), default="warning", show_default=True,
              help="Exit 1 from this severity on.")
@click.option("--needs-lag", type=click.IntRange(1), metavar="STEPS", help="Lag over which the task has to remember.")
@click.option("--targets", metavar="FILE", help="Targets (batch, time, outputs), NaN where there is none, .npy or .npz by set: flow is "
              "weighed by the errors that occur.")
@click.option("--loss", type=click.Choice(["squared", "cross-entropy"]), default="squared", show_default=True, help="Loss of --targets.")
@click.option("--try-remedies", "remedies", is_flag=True,
              help="Apply the remedies that weights can take, and measure flow and function again, before and after.")
@_out
def diagnose(net, inputs_, layer, units, block_size, seed, lags, fail_on, needs_lag, targets, loss, remedies, form, out):
    """Diagnose NET on real inputs: flow, drift, bias cells; exit 1 when there are findings."""
    from .detectors import SEVERITIES
    from .report import documents, text

    result, inputs = _diagnosed(net, inputs_, layer, units, block_size, seed, lags, needs_lag, remedies, targets, loss)
    if form == "json":
        _emit(documents.dumps(documents.diagnosis(result, inputs)), out)
    else:
        _emit(text.diagnosis_text(result, inputs), out)
    worst = result.worst()
    return int(worst is not None and SEVERITIES.index(worst) >= SEVERITIES.index(fail_on))


def _diagnosed(net, inputs, layer, units, block_size, seed, lags, needs_lag=None, remedies=False, targets=None, loss="squared"):
    from .detectors import diagnose as diagnose_network
    from .detectors import try_remedies
    from .targets import errors_of

    network, sets = network_and_inputs(net, inputs, layer, units, block_size, seed)
    if not sets:
        raise click.UsageError("diagnosis needs real inputs: --inputs FILE.npz with LAYER.x (batch, time, features), or FILE.npy")
    with _progress("diagnosing") as progress, _one_blas_thread():
        errors = errors_of(network, sets, targets, loss) if targets else None
        result = diagnose_network(network, sets, lags=lags, needs_lag=needs_lag, progress=progress, errors=errors)
        result = try_remedies(result, progress) if remedies else result
    return result, described(sets, inputs)


@cli.command()
@click.argument("net", required=False)
@click.option("--inputs", "inputs_", metavar="FILE", help=".npy or .npz with LAYER.x, for NET.")
@click.option("--layer", metavar="NAME[=KIND:ORDER]", help=_LAYER)
@click.option("--try-remedies", "remedies", is_flag=True, help="Show what remedies do to the flow of NET at once, before and after.")
@click.option("--cells", "cells_", is_flag=True, help="Instead, compare all cells of the catalogue at their initialisation.")
@click.option("--lags", default=1000, show_default=True, type=click.IntRange(2), help="Lags of the curves.")
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("flowcheck-report"), show_default=True,
              help="An .html file (its JSON goes beside it), or a folder for report.html and report.json.")
def report(net, inputs_, layer, remedies, cells_, lags, seed, out):
    """Write one self-contained HTML page and its JSON: the paper's curves and every proof; of NET its diagnosis and the proofs on flow."""
    from .cells import catalogue
    from .claims import load
    from .report import documents
    from .report.curves import paper_curves
    from .report.files import write_atomically
    from .report.page import write_page

    page = out if out.suffix.lower() in (".html", ".htm") else out / "report.html"
    if cells_:
        if net or inputs_ or layer:
            raise click.UsageError("--cells compares the catalogue and takes no net, inputs or layer")
        return _compare(page, lags, seed, out)
    given = {}
    if net:
        result, inputs = _diagnosed(net, inputs_, layer, 32, 1, seed, lags, remedies=remedies)
        given = {"diagnosis": result, "inputs": inputs}
    with _progress("report") as progress, _one_blas_thread():
        curves = paper_curves(catalogue(), lags=lags, seed=seed, progress=progress)
        claims = [c for c in load(derivations()) if not net or c.checks and c.section in SECTIONS_ON_FLOW]
        results = proved(claims, derivations(), progress)
        bounds = {} if net else near_bounds(claims, derivations(), progress)
    words = [net, inputs_ and f"--inputs {inputs_}", layer and f"--layer {layer}", f"--lags {lags}" if lags != 1000 else None,
             f"--seed {seed}" if seed else None, "--try-remedies" if remedies else None, f"-o {out}"]
    command = " ".join(["flowcheck report", *filter(None, words)])
    page.parent.mkdir(parents=True, exist_ok=True)
    title = f"Error flow in {Path(net).name}" if net else "Error flow over lag: the paper's cells"
    write_page(page, title=title, command=command, curves=curves, derivations=results, bounds=bounds, **given)
    write_atomically(page.with_suffix(".json"), documents.dumps(documents.report(command, curves, results, **given)) + "\n")
    click.echo(f"{page} and {page.with_suffix('.json').name}", err=False)


SECTIONS_ON_FLOW = ("3.1", "3.2", "A.2")
"""Whose formulas, where the code meets them, stand behind a net's flows; the page without NET has all."""


def _compare(page, lags, seed, out):
    """The page of all cells side by side, and its JSON."""
    from .cells import catalogue
    from .report import documents
    from .report.comparison import compare_cells
    from .report.files import write_atomically
    from .report.page import write_comparison

    with _progress("comparing") as progress, _one_blas_thread():
        compared = compare_cells(catalogue(), lags=lags, seed=seed, progress=progress)
    words = [f"--lags {lags}" if lags != 1000 else None, f"--seed {seed}" if seed else None, f"-o {out}"]
    command = " ".join(["flowcheck report --cells", *filter(None, words)])
    page.parent.mkdir(parents=True, exist_ok=True)
    write_comparison(page, title=f"Error flow of {len(compared)} recurrent cells", command=command, compared=compared)
    write_atomically(page.with_suffix(".json"), documents.dumps(documents.comparison(command, compared)) + "\n")
    click.echo(f"{page} and {page.with_suffix('.json').name}", err=False)


def _reading(context, parameter, values):
    """{name: value} of NAME=VALUE words, each value of its field's type."""
    from .experiments.settings import readings

    try:
        return readings(values)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=parameter) from None


@cli.command()
@click.argument("name")
@click.option("--q", type=click.IntRange(1), help="2c: minimal time lag.")
@click.option("--p", type=click.IntRange(2), help="2: number of different symbols in between.")
@click.option("--length", "T", type=click.IntRange(20), help="3, 4, 5: T, minimal sequence length.")
@click.option("--signal", "N", type=click.IntRange(1), help="3: N, elements that tell the class.")
@click.option("--method", type=click.Choice(["1997", "rtrl", "bptt", "elman", "rcc", "guessing"]), help="The learning method of a row.")
@click.option("--rate", "alpha", type=click.FloatRange(0, min_open=True), help="The learning rate of a row.")
@click.option("--trials", type=click.IntRange(1), help="Trials of each row, with seeds from --seed on.  [default: 3; of abuse 10]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--budget", type=click.IntRange(1), help="Training sequences after which a trial has failed.  [default: each row's own]")
@click.option("--reading", "changes", multiple=True, metavar="NAME=VALUE", callback=_reading,
              help="A detail that the paper leaves open, e.g. recurrent=false; may be given again.")
@click.option("--store", type=click.Path(dir_okay=False, path_type=Path), default=Path("flowcheck-trials.sqlite"), show_default=True,
              help="The SQLite file of the trials; those that it holds are not run again.")
@click.option("--stored", is_flag=True, help="Run nothing: show what the store holds beside every printed row.")
@click.option("--scheduler", default="local", metavar="local|ADDRESS", help="Processes of this machine (default), or a Dask cluster.")
@click.option("--workers", type=click.IntRange(1), help="Local processes.  [default: one per core]")
@_out_in("text", "json", "markdown")
def reproduce(name, trials, seed, budget, changes, store, stored, scheduler, workers, form, out, **values):
    """Train the nets of 1997 again and show the result beside the printed tables; NAME is an experiment (1, 2a ... 6b), all, or abuse.

    abuse: experiments 4 and 6a with and without negative gate biases, looked at while they learn.

    --q, --p, --length, --signal, --method and --rate choose the printed rows that have them, or name a setting that is not printed.
    """
    from .experiments.compared import chosen, entries
    from .experiments.reproduce import Trials
    from .experiments.reproduce import reproduce as run_trials
    from .experiments.tables import rows
    from .report import documents, tables

    if stored and not store.exists():
        raise click.UsageError(f"{store} is not there, so it holds no trials; leave --stored out, or name another with --store")
    values = {k: v for k, v in values.items() if v is not None}
    if name == "abuse":
        if values or changes:
            raise click.UsageError(f"abuse takes no {', '.join(['--reading'] if changes else values)}: its settings are those of the study")
        return _abuse(range(seed, seed + (trials or 10)), budget, store, stored, scheduler, workers, form, out)
    trials, printed = trials or 3, rows(name)
    if not stored:
        printed = chosen(printed, values, changes | ({"budget": budget} if budget else {}))
    kept = Trials(store)
    if stored:
        found = entries(printed, {s: trials for s, trials in kept.settings().items() if name in ("all", s.experiment)})
    else:
        with _progress("trials") as progress:
            outcomes = run_trials([r.setting for r in printed], range(seed, seed + trials), kept, scheduler=scheduler, workers=workers,
                                  progress=progress)
        found = entries(printed, outcomes)
    document = documents.experiments(found, store)
    writers = {"json": documents.dumps, "markdown": tables.experiments_markdown, "text": tables.experiments_text}
    _emit(writers[form](document), out)
    return 2 if any(t["error"] for row in found for t in row["trials"]) else 0


def _abuse(seeds, budget, store, stored, scheduler, workers, form, out):
    """`flowcheck reproduce abuse`: run what the store lacks, unless `stored`, and write what was found."""
    from dataclasses import replace

    from .experiments import abuse, remedies
    from .experiments.reproduce import Watched
    from .experiments.reproduce import reproduce as run_trials
    from .report import documents
    from .report.abuse import abuse_markdown

    kept, outcomes = Watched(store), {}
    chosen = {e: {name: replace(s, budget=budget or s.budget) for name, s in abuse.settings(e).items()} for e in abuse.EXPERIMENTS}
    if not stored:
        with _progress("trials") as progress:
            run_trials([s for found in chosen.values() for s in found.values()], seeds, kept, call=abuse.watched, scheduler=scheduler,
                       workers=workers, progress=progress)
    for e, found in chosen.items():
        outcomes[e] = {name: [kept.outcome(s, seed) for seed in seeds] for name, s in found.items()}
    lacking = [f"experiment {e}, {name}, seed {seed}: {o['error'] if o else 'not run'}" for e, found in outcomes.items()
               for name, trials in found.items() for seed, o in zip(seeds, trials, strict=True) if not o or o["error"]]
    if lacking:
        raise click.UsageError(f"{store} lacks {len(lacking)} trials ({lacking[0]}); leave --stored out, or ask for fewer --trials")
    document = documents.abuse(outcomes, remedies.study(outcomes), {name: words for name, (words, _) in remedies.MEASURES.items()}, store)
    _emit(documents.dumps(document) if form == "json" else abuse_markdown(document), out)
    return 0


if __name__ == "__main__":
    main()
