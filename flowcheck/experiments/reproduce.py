"""Many trials into one SQLite file: a row for each, keyed by its setting and seed, written when it is done.

What the file holds is not run again, so an interrupted run goes on where it stopped. Rows do not depend on the number of workers, but for
the times that they took.
"""

import contextlib
import hashlib
import json
import os
import sqlite3
from functools import partial
from pathlib import Path

from .. import jobs
from ..compiled.modules import compiler
from .settings import Setting
from .together import FEWEST, run_together, together
from .trials import run_trial

__all__ = ["Trials", "Watched", "reproduce"]

COLUMNS = ("success", "sequences", "st1", "steps", "weights", "wrong", "mean_error", "cpu_seconds", "seconds")
_TABLES = """
CREATE TABLE IF NOT EXISTS trials (
  key TEXT PRIMARY KEY, experiment TEXT NOT NULL, setting TEXT NOT NULL, seed INTEGER NOT NULL, error TEXT NOT NULL,
  success INTEGER, sequences INTEGER, st1 INTEGER, steps INTEGER, weights INTEGER, wrong INTEGER, mean_error REAL, cpu_seconds REAL,
  seconds REAL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS watched (
  key TEXT PRIMARY KEY, experiment TEXT NOT NULL, setting TEXT NOT NULL, seed INTEGER NOT NULL, error TEXT NOT NULL, outcome TEXT
) WITHOUT ROWID;
"""


class Trials:
    """The SQLite file, table `trials`. Raises ValueError where the file is not such a store."""

    def __init__(self, path):
        self.path = Path(path)
        self.database = jobs.database(path, _TABLES, application=b"1997", held="trials")
        self.database.row_factory = sqlite3.Row

    @staticmethod
    def key(setting, seed):
        """The same for the same setting, seed and version of flowcheck."""
        from .. import __version__

        values = {"setting": setting.as_json(), "seed": seed, "version": __version__}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def outcome(self, setting, seed):
        """{"seed", "error", and the columns of `run_trial`}, or None for a trial that has not been run."""
        row = self.database.execute("SELECT * FROM trials WHERE key = ?", (self.key(setting, seed),)).fetchone()
        return row and _outcome(row)

    def write(self, setting, seed, outcome, error):
        """One row, whole or not at all."""
        values = {"key": self.key(setting, seed), "experiment": setting.experiment, "setting": json.dumps(setting.as_json()), "seed": seed,
                  "error": error, **{name: (outcome or {}).get(name) for name in COLUMNS}}
        with self.database:
            if not self.database.execute("SELECT 1 FROM pragma_table_info('trials') WHERE name = 'seconds'").fetchone():
                self.database.execute("ALTER TABLE trials ADD COLUMN seconds REAL")
            self.database.execute(f"INSERT OR REPLACE INTO trials ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                                  tuple(values.values()))

    def settings(self):
        """{Setting: [outcome by seed]} of everything the file holds, of whatever version."""
        found = {}
        for row in self.database.execute("SELECT * FROM trials ORDER BY setting, seed"):
            found.setdefault(Setting.from_json(json.loads(row["setting"])), []).append(_outcome(row))
        return found


class Watched(Trials):
    """Table `watched` of the same file: trials of the abuse study, with what was found on the way."""

    def outcome(self, setting, seed):
        """{"seed", "error", and what `watched` gives}, or None for a trial that has not been run."""
        row = self.database.execute("SELECT error, outcome FROM watched WHERE key = ?", (self.key(setting, seed),)).fetchone()
        return row and {"seed": seed, "error": row[0], **json.loads(row[1] or "{}")}

    def write(self, setting, seed, outcome, error):
        """One row, whole or not at all."""
        values = (self.key(setting, seed), setting.experiment, json.dumps(setting.as_json()), seed, error, outcome and json.dumps(outcome))
        with self.database:
            self.database.execute(f"INSERT OR REPLACE INTO watched VALUES ({', '.join('?' * len(values))})", values)


def _parts(trials, call, scheduler, workers):
    """[(setting, seeds)] of what one worker is to run: one trial, or several of a setting that learn together."""
    seeds = {}
    for setting, seed in trials:
        seeds.setdefault(setting, []).append(seed)
    parts = []
    for setting, some in seeds.items():
        fit = call is run_trial and scheduler == "local" and together(setting) and len(some) >= FEWEST * workers
        parts += [(setting, tuple(some[k::workers])) for k in range(workers)] if fit else [(setting, (seed,)) for seed in some]
    return parts


def _run(call, path, setting, seeds):
    """[outcome] of the trials of one part. Those that learn together are written one by one, so that an interrupt loses no finished one."""
    if len(seeds) == 1:
        return [call(setting, *seeds)]
    store = Trials(path)
    held = {seed: store.outcome(setting, seed) for seed in seeds}
    for seed, outcome in run_together(setting, [seed for seed, there in held.items() if there is None or there["error"]]):
        store.write(setting, seed, outcome, "")
    return [store.outcome(setting, seed) for seed in seeds]


def _outcome(row):
    """What a row of `trials` holds; None in a column that its file does not have: files of before have no wall time."""
    return {name: row[name] if name in row.keys() else None for name in ("seed", "error", *COLUMNS)}  # noqa: SIM118  (a Row has values)


def reproduce(settings, seeds, store, *, call=run_trial, scheduler="local", workers=None, progress=lambda words, done, total: None):
    """Run every setting with every seed, each by `call`, into a Trials store, in the order given; {setting: [outcome]} with earlier ones.

    scheduler   "local": processes of this machine, `workers` of them (its cores unless given); else the address of a Dask scheduler

    Where every worker has FEWEST trials of a setting or more, they learn together, in lanes. A trial whose worker dies is run again alone;
    if it dies again, that is its `error`. Raises ValueError where no scheduler answers, and where trials are to run on machines without
    Numba; then nothing is run or written.
    """
    settings, seeds = list(dict.fromkeys(settings)), list(seeds)
    trials = [(setting, seed) for setting in settings for seed in seeds]
    held = {trial: store.outcome(*trial) for trial in trials}
    waiting = [trial for trial, outcome in held.items() if outcome is None or outcome["error"]]
    if waiting and scheduler == "local":
        compiler("or show what a store holds with --stored")
    done = len(trials) - len(waiting)
    progress("trials", done, len(trials))
    parts = _parts(waiting, call, scheduler, workers or os.cpu_count() or 1)
    with contextlib.closing(jobs.results(partial(_run, call, store.path), parts, scheduler, workers, needs=("numba",))) as results:
        for (setting, some), outcomes, error in results:
            for k, seed in enumerate(some):
                if outcomes or not (len(some) > 1 and store.outcome(setting, seed)):
                    store.write(setting, seed, outcomes and outcomes[k], error)
            done += len(some)
            progress(f"experiment {setting.experiment}, seed {seed}", done, len(trials))
    return {setting: [store.outcome(setting, seed) for seed in seeds] for setting in settings}
