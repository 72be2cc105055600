"""The verb `reproduce`."""

from pathlib import Path

import click

from .options import emit, out_in, progress_bar, refuse_overwriting, resumable

__all__ = ["reproduce"]


def _reading(context, parameter, values):
    """{name: value} of NAME=VALUE words, each value of its field's type."""
    from ..experiments.settings import readings

    try:
        return readings(values)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx=context, param=parameter) from None


@click.command()
@click.argument("name")
@click.option("--q", type=click.IntRange(1), help="2c: minimal time lag.")
@click.option("--p", type=click.IntRange(2), help="2: number of different symbols in between.")
@click.option("--length", "T", type=click.IntRange(20), help="3, 4, 5: T, minimal sequence length.")
@click.option("--signal", "N", type=click.IntRange(1), help="3: N, elements that tell the class.")
@click.option("--method", type=click.Choice(["1997", "rtrl", "bptt", "elman", "rcc", "chunker", "guessing"]),
              help="The learning method of a row.")
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
@out_in("text", "json", "markdown")
def reproduce(name, trials, seed, budget, changes, store, stored, scheduler, workers, form, out, **values):
    """Train the nets of 1997 again and show the result beside the printed tables; NAME is an experiment (1, 2a ... 6b), all, or abuse.

    abuse: experiments 4 and 6a with and without negative gate biases, looked at while they learn.

    --q, --p, --length, --signal, --method and --rate choose the printed rows that have them, or name a setting that is not printed.
    """
    from ..experiments.compared import chosen, entries
    from ..experiments.reproduce import Trials
    from ..experiments.reproduce import reproduce as run_trials
    from ..experiments.tables import rows
    from ..report import documents, tables

    refuse_overwriting([("-o", out)], [store])
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
    kept = _opened(Trials, store, scheduler)
    if stored:
        found = entries(printed, {s: trials for s, trials in kept.settings().items() if name in ("all", s.experiment)})
    else:
        with resumable(store), progress_bar("trials") as progress:
            outcomes = run_trials([r.setting for r in printed], range(seed, seed + trials), kept, scheduler=scheduler, workers=workers,
                                  progress=progress)
        found = entries(printed, outcomes)
    document = documents.experiments(found, store)
    writers = {"json": documents.dumps, "markdown": tables.experiments_markdown, "text": tables.experiments_text}
    emit(writers[form](document), out)
    return 2 if any(t["error"] for row in found for t in row["trials"]) else 0


def _opened(kind, store, scheduler):
    """The store; none is made for trials that cannot be run here."""
    from ..compiled.modules import compiler

    if not store.exists() and scheduler == "local":
        compiler("or show what a store holds with --stored")
    return kind(store)


def _abuse(seeds, budget, store, stored, scheduler, workers, form, out):
    """`flowcheck reproduce abuse`: run what the store lacks, unless `stored`, and write what was found."""
    from dataclasses import replace

    from ..experiments import abuse, remedies
    from ..experiments.reproduce import Watched
    from ..experiments.reproduce import reproduce as run_trials
    from ..report import documents
    from ..report.abuse import abuse_markdown

    kept, outcomes = _opened(Watched, store, scheduler), {}
    chosen = {e: {name: replace(s, budget=budget or s.budget) for name, s in abuse.settings(e).items()} for e in abuse.EXPERIMENTS}
    if not stored:
        with resumable(store), progress_bar("trials") as progress:
            run_trials([s for found in chosen.values() for s in found.values()], seeds, kept, call=abuse.watched, scheduler=scheduler,
                       workers=workers, progress=progress)
    for e, found in chosen.items():
        outcomes[e] = {name: [kept.outcome(s, seed) for seed in seeds] for name, s in found.items()}
    lacking = [f"experiment {e}, {name}, seed {seed}: {o['error'] if o else 'not run'}" for e, found in outcomes.items()
               for name, trials in found.items() for seed, o in zip(seeds, trials, strict=True) if not o or o["error"]]
    if lacking:
        raise click.UsageError(f"{store} lacks {len(lacking)} trials ({lacking[0]}); leave --stored out, or ask for fewer --trials")
    document = documents.abuse(outcomes, remedies.study(outcomes), {name: words for name, (words, _) in remedies.MEASURES.items()}, store)
    emit(documents.dumps(document) if form == "json" else abuse_markdown(document), out)
    return 0
