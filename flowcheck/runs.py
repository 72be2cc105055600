"""Many nets at once: a whole training run's checkpoints, measured in parallel and kept in one SQLite file.

One row per net, written when its net is done; what the file already holds is not measured again, so an interrupted run goes on where
it stopped. The numbers of a row depend on its net and its settings only, never on the number of workers.
"""

import contextlib
import hashlib
import json
import sqlite3
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

__all__ = ["Settings", "Store", "measure_many", "measured"]

_PATIENCE = "10s"  # until a scheduler counts as absent
_APPLICATION = int.from_bytes(b"flow")
_TABLES = f"""
PRAGMA application_id = {_APPLICATION};
CREATE TABLE IF NOT EXISTS nets (
  key TEXT PRIMARY KEY, net TEXT NOT NULL, settings TEXT NOT NULL, error TEXT NOT NULL, document TEXT
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS flows AS
  SELECT net, json_extract(f.value, '$.layer') AS layer, json_extract(f.value, '$.quantity') AS quantity,
    json_extract(f.value, '$.gradient') AS gradient, json_extract(f.value, '$.rate_per_step') AS rate_per_step,
    json_extract(f.value, '$.rate_interval[0]') AS rate_low, json_extract(f.value, '$.rate_interval[1]') AS rate_high,
    json_extract(f.value, '$.half_life') AS half_life, json_extract(f.value, '$.horizon') AS horizon,
    json_extract(f.value, '$.verdict') AS verdict, nets.key
  FROM nets, json_each(nets.document, '$.flows') AS f;
CREATE VIEW IF NOT EXISTS findings AS
  SELECT net, json_extract(f.value, '$.rule') AS rule, json_extract(f.value, '$.layer') AS layer, json_extract(f.value, '$.unit') AS unit,
    json_extract(f.value, '$.severity') AS severity, json_extract(f.value, '$.remedy') AS remedy, nets.key
  FROM nets, json_each(nets.document, '$.findings') AS f;
"""


@dataclass(frozen=True)
class Settings:
    """What a row depends on beside its net: as the options of `flowcheck measure`."""

    inputs: str | None = None
    layer: str | None = None
    units: int = 32
    block_size: int = 1
    seed: int = 0
    lags: int = 100

    def key(self, net):
        """The same for the same bytes, inputs, settings and version of flowcheck."""
        from . import __version__

        values = asdict(self) | {"inputs": _digest(self.inputs), "net": _digest(net), "version": __version__}
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
        new = not self.path.exists() or not self.path.stat().st_size
        try:
            self.database = sqlite3.connect(self.path)
            if not new and self.database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
                raise sqlite3.DatabaseError("it is another program's")
            with self.database:
                self.database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise ValueError(f"{self.path}: not a file of measured nets ({error}); name another with --store") from error

    def done(self, keys):
        """Those of the keys whose net is measured; nets that were refused are tried again."""
        held = {key for (key,) in self.database.execute("SELECT key FROM nets WHERE error = ''")}
        return held.intersection(keys)

    def write(self, key, net, settings, document, error=""):
        """One row, whole or not at all."""
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO nets VALUES (?, ?, ?, ?, ?)", (
                key, net, json.dumps(asdict(settings), sort_keys=True), error, document and json.dumps(document, allow_nan=False)))

    def row(self, key):
        """(net, error, document)"""
        net, error, document = self.database.execute("SELECT net, error, document FROM nets WHERE key = ?", (key,)).fetchone()
        return net, error, document and json.loads(document)


def measured(net, settings):
    """The document of one net: flowcheck.diagnosis/1 where real inputs are given, flowcheck.flow/1 on noise without. One BLAS thread.

    Raises ValueError for a net that cannot be read or inputs that do not fit it.
    """
    from threadpoolctl import threadpool_limits

    from .detectors import diagnose
    from .measure import measure, noise_inputs
    from .report import documents
    from .targets import described, network_and_inputs

    s = settings
    with threadpool_limits(1, user_api="blas"):
        network, sets = network_and_inputs(net, s.inputs, s.layer, s.units, s.block_size, s.seed)
        if sets:
            return documents.diagnosis(diagnose(network, sets, lags=s.lags), described(sets, s.inputs))
        flows = measure(network, noise_inputs(network, s.lags, s.seed), s.lags)
        return documents.measurement(network, flows, f"unit-variance noise, seed {s.seed}", s.seed)


def measure_many(nets, settings, store, *, scheduler="local", workers=None, progress=lambda words, done, total: None):
    """Measure nets into a Store; [(net, error, document)] in the order given, those from earlier runs included.

    scheduler   "local": processes of this machine, `workers` of them (its cores unless given); else the address of a Dask scheduler,
                whose workers must see the same files

    A net that cannot be read leaves its reason as `error`. One whose worker dies is tried again alone; if it dies again, that is its error.
    """
    keys = {net: settings.key(net) for net in nets}
    held = store.done(keys.values())
    waiting = [net for net in keys if keys[net] not in held]
    with contextlib.ExitStack() as stack:
        attempts = _attempts(scheduler, workers, stack)
        while waiting and (attempt := next(attempts, None)):
            waiting = _round(attempt, waiting, settings, store, keys, len(keys), progress)
    for net in waiting:
        store.write(keys[net], net, settings, None, "its worker died twice; it may need more memory than there is")
    return [store.row(keys[net]) for net in nets]


def _attempts(scheduler, workers, stack):
    """Ways to run calls, the next for what the last left behind: each is (executor factory, calls at once)."""
    if scheduler != "local":
        try:
            from distributed import Client
        except ImportError:
            raise ValueError("a Dask scheduler needs the extra `distributed`: pip install 'distributed>=2024.4'") from None
        try:
            client = stack.enter_context(Client(scheduler, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler} ({error}); start one, or use --scheduler local") from None
        yield lambda: client.get_executor(), None
        return
    spawn = get_context("spawn")
    yield lambda: ProcessPoolExecutor(workers, mp_context=spawn), None
    yield lambda: ProcessPoolExecutor(1, mp_context=spawn), 1


def _round(attempt, nets, settings, store, keys, total, progress):
    """Run what waits, `at_once` nets to an executor (all: None); returns the nets whose worker died."""
    make, at_once = attempt
    lost = []
    groups = [nets] if at_once is None else [nets[k:k + at_once] for k in range(0, len(nets), at_once)]
    finished = total - len(nets)
    for group in groups:
        with make() as executor:
            futures = {executor.submit(measured, net, settings): net for net in group}
            try:
                for future in as_completed(futures):
                    net = futures[future]
                    if _settled(future, net, settings, store, keys[net]):
                        finished += 1
                        progress(Path(net).name, finished, total)
                    else:
                        lost.append(net)
            except BaseException:  # an interrupt does not wait for what has not begun
                for future in futures:
                    future.cancel()
                raise
    return lost


def _settled(future, net, settings, store, key):
    """Write the row of a finished call; False where its worker died. An error costs its net its row, not the others theirs."""
    document, reason = None, ""
    try:
        document = future.result()
    except BrokenProcessPool:
        return False
    except (OSError, ValueError) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001  (what a worker of a cluster died of, or a mistake of our own)
        reason = f"{type(error).__name__}: {error}"
    store.write(key, net, settings, document, " ".join(reason.split()))
    return True
