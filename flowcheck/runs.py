"""Many nets at once: a whole training run's checkpoints, measured in parallel and kept in one SQLite file.

One row per net, written when its net is done; what the file already holds is not measured again, so an interrupted run goes on where
it stopped. The numbers of a row depend on its net and its settings only, never on the number of workers.
"""

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from . import jobs

__all__ = ["Rows", "Settings", "Store", "measure_many", "measured"]

_IMPORTED = [f"{__package__}.worker"]

_OF_ROW = """json_extract(settings, '$.lags') AS lags, json_extract(settings, '$.inputs') AS inputs,
    json_extract(settings, '$.seed') AS seed, json_extract(document, '$.net.sha256') AS sha256, nets.key"""
"""What tells the rows of one net apart."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS nets (
  key TEXT PRIMARY KEY, net TEXT NOT NULL, settings TEXT NOT NULL, error TEXT NOT NULL, document TEXT
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS flows AS
  SELECT net, json_extract(f.value, '$.layer') AS layer, json_extract(f.value, '$.quantity') AS quantity,
    json_extract(f.value, '$.gradient') AS gradient, json_extract(f.value, '$.rate_per_step') AS rate_per_step,
    json_extract(f.value, '$.rate_interval[0]') AS rate_low, json_extract(f.value, '$.rate_interval[1]') AS rate_high,
    json_extract(f.value, '$.half_life') AS half_life, json_extract(f.value, '$.horizon') AS horizon,
    json_extract(f.value, '$.verdict') AS verdict, {_OF_ROW}
  FROM nets, json_each(nets.document, '$.flows') AS f;
CREATE VIEW IF NOT EXISTS findings AS
  SELECT net, json_extract(f.value, '$.rule') AS rule, json_extract(f.value, '$.layer') AS layer, json_extract(f.value, '$.unit') AS unit,
    json_extract(f.value, '$.severity') AS severity, json_extract(f.value, '$.remedy') AS remedy, {_OF_ROW}
  FROM nets, json_each(nets.document, '$.findings') AS f;
"""

_SHOWN = {name: name for name in ("layer", "rate_per_step", "half_life", "horizon", "verdict", "random_vectors")} | {
    "last_lag": "lags[#-1]"}
_SHOWN_ONCE = "'$.findings', '$.net.notes', '$.inputs'"
_SHOWN_OF_NET = f"""
SELECT json_extract(f.value, {", ".join(f"'$.{path}'" for path in _SHOWN.values())}) FROM nets, json_each(document, '$.flows') AS f
  WHERE nets.key = ? AND json_extract(f.value, '$.quantity') = 'state-to-state' AND json_extract(f.value, '$.gradient') = 'full'
"""


@dataclass(frozen=True)
class Settings:
    """What a row depends on beside its net: as the options of `flowcheck measure`. Raises ValueError for inputs that are not there."""

    inputs: str | None = None
    layer: str | None = None
    units: int = 32
    block_size: int = 1
    seed: int = 0
    lags: int = 100

    def __post_init__(self):
        if self.inputs is not None and not self.inputs.isdigit() and not Path(self.inputs).is_file():
            raise ValueError(f"inputs: {self.inputs} cannot be read: there is no such file")

    def key(self, net, net_digest, inputs_digest):
        """The same for the same net, settings and version of flowcheck, where the bytes of net and inputs are the same (`_digest`)."""
        from . import __version__

        values = asdict(self) | {"inputs": inputs_digest, "net": [net, net_digest], "version": __version__}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _digest(name):
    """The SHA-256 of a file's bytes; what is no file (cell:NAME, a number of inputs, nothing) stands for itself."""
    if name is None or not Path(name).is_file():
        return name
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """The SQLite file: table `nets` (one JSON document per net), views `flows` and `findings` of one row each.

    Raises ValueError where the file is not such a store.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.database = jobs.database(path, _TABLES, application=b"flow", held="measured nets")

    def done(self, keys):
        """Those of the keys whose net is measured; nets that were refused are tried again."""
        held = {key for (key,) in self.database.execute("SELECT key FROM nets WHERE error = ''")}
        return held.intersection(keys)

    def write(self, rows):
        """Rows (key, net, settings, error, document), all of them or none; `document` is JSON text, None beside an error.

        Raises ValueError where another program keeps the file locked, or the disk is full.
        """
        texts = ((key, net, json.dumps(asdict(settings), sort_keys=True), error, document) for key, net, settings, error, document in rows)
        try:
            with self.database:
                self.database.executemany("INSERT OR REPLACE INTO nets VALUES (?, ?, ?, ?, ?)", texts)
        except sqlite3.OperationalError as error:
            raise ValueError(f"{self.path}: cannot be written ({error}); what is done before is in it, and the same command goes on from "
                             "there") from error

    def one(self, key, columns):
        """These columns of the row of one net."""
        return self.database.execute(f"SELECT {columns} FROM nets WHERE key = ?", (key,)).fetchone()


class Rows(Sequence):
    """(net, error, document) of each net, read when asked for: all the documents of a long run may be more than memory holds."""

    def __init__(self, store, keys):
        self.store, self.keys = store, keys  # keys: [(net, key)]

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Rows(self.store, self.keys[index])
        net, key = self.keys[index]
        error, document = self.store.one(key, "error, document")
        return net, error, document and json.loads(document)

    def errors(self):
        """{net: why it was refused}"""
        found = ((net, *self.store.one(key, "error")) for net, key in self.keys)
        return {net: error for net, error in found if error}

    def summaries(self):
        """Yield (net, flows, findings, notes, inputs) of every net measured: what a table shows of its full state-to-state flows, with the
        last lag of each; its findings, None where it was not diagnosed; what its reader assumed; in words, what it was measured on."""
        for net, key in self.keys:
            error, about = self.store.one(key, f"error, json_extract(document, {_SHOWN_ONCE})")
            if not error:
                flows = self.store.database.execute(_SHOWN_OF_NET, (key,))
                findings, notes, inputs = json.loads(about)
                yield net, [dict(zip(_SHOWN, json.loads(row), strict=True)) for (row,) in flows], findings, notes or [], inputs


def measured(net, settings):
    """The document of one net: flowcheck.diagnosis/1 where real inputs are given, flowcheck.flow/1 on noise without. One BLAS thread.

    Raises ValueError for a net that cannot be read or inputs that do not fit it.
    """
    from .detectors import diagnose
    from .measure import measure, noise_inputs
    from .report import documents
    from .targets import described, network_and_inputs
    from .threads import one_blas_thread

    s = settings
    with one_blas_thread():
        network, sets = network_and_inputs(net, s.inputs, s.layer, s.units, s.block_size, s.seed)
        if sets:
            return documents.diagnosis(diagnose(network, sets, lags=s.lags), described(sets, s.inputs, s.lags))
        flows = measure(network, noise_inputs(network, s.lags, s.seed), s.lags)
        return documents.measurement(network, flows, f"unit-variance noise, seed {s.seed}", s.seed)


def _as_text(net, settings):
    """(SHA-256 of the net's bytes, None of what is no file, `measured` as JSON text): made by the worker, so that who waits for the workers
    has little to do."""
    document = measured(net, settings)
    return document.get("net", {}).get("sha256"), json.dumps(document, allow_nan=False)


def measure_many(nets, settings, store, *, scheduler="local", workers=None, progress=lambda words, done, total: None):
    """Measure nets into a Store; the Rows of them in the order given, those from earlier runs included.

    scheduler   "local": processes of this machine, `workers` of them (its cores unless given); else the address of a Dask scheduler,
                whose workers must see the same files

    A net that cannot be read leaves its reason as `error`. One whose worker dies is tried again alone; if it dies again, that is its error.
    A file that changes meanwhile is kept as what was measured. Raises ValueError where the store cannot be written.
    """
    inputs = _digest(settings.inputs)
    keys = {net: settings.key(net, _digest(net), inputs) for net in nets}
    held = store.done(keys.values())
    waiting = [net for net in keys if keys[net] not in held]
    done = len(keys) - len(waiting)
    calls = [(net, settings) for net in waiting]
    with contextlib.closing(jobs.batches(_as_text, calls, scheduler, workers, preload=_IMPORTED)) as batches:
        for batch in batches:
            for (net, _), found, _ in batch:
                if found and found[0]:
                    keys[net] = settings.key(net, found[0], inputs)
            store.write((keys[net], net, settings, error, found and found[1]) for (net, _), found, error in batch)
            for (net, _), *_ in batch:
                done += 1
                progress(Path(net).name, done, len(keys))
    return Rows(store, [*keys.items()])
