"""Torch checkpoints of whole training runs and TorchScript programs: the weights are read, everything else is read over."""

import argparse
import enum
import io
import os
import pathlib
import zipfile
from collections import OrderedDict, defaultdict

import numpy as np
import pytest

from flowcheck.cells import catalogue
from flowcheck.formats import FormatError, load

torch = pytest.importorskip("torch", reason="torch writes the files that these tests read")
CELLS = catalogue()


class Settings(dict):
    """A dict of a class of its own, as Lightning's AttributeDict is."""


class Phase(enum.Enum):
    TRAIN = 1


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


class Model(torch.nn.Module):
    def __init__(self, kind="LSTM", **options):
        super().__init__()
        torch.manual_seed(3)
        self.encoder = getattr(torch.nn, kind)(3, 5, **options)
        self.head = torch.nn.Linear(5 * (1 + self.encoder.bidirectional), 2)

    def forward(self, x):
        return self.head(self.encoder(x)[0])


def outputs(network, x):
    runs = network.run(x)
    last = [runs[one.name][one.cell.output.name][::-1 if one.reverse else 1] for one in network.levels[-1]]
    return np.concatenate(last, -1)


def assert_agrees(network, model, tolerance):
    x = np.random.default_rng(1).standard_normal((7, 2, 3))
    with torch.no_grad():
        y, _ = model.double().encoder(torch.from_numpy(x))
    np.testing.assert_allclose(outputs(network, x), y.numpy(), rtol=0, atol=tolerance)


def refused(path, *words, **options):
    with pytest.raises(FormatError) as raised:
        load(path, CELLS, **options)
    line = str(raised.value)
    assert line.isprintable() and len(line) <= 600, line
    for word in words:
        assert word in line, line


def training_run(model, **more):
    """What a training loop saves beside its weights, in the types that Lightning and its kin put there."""
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 1, 3)).sum().backward()
    optimizer.step()
    return {
        "epoch": 3, "global_step": 1200, "pytorch-lightning_version": "2.4.0", "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()], "lr_schedulers": [{"base_lrs": [1e-3], "best": np.float64(0.25)}],
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.5), "path": pathlib.PurePosixPath("a/b"), "device": torch.device("cpu")}},
        "hyper_parameters": Settings(hidden=5, args=argparse.Namespace(lr=1e-3, sizes=torch.Size([3, 5]), dtype=torch.float32)),
        "loops": defaultdict(list, {"fit": [Phase.TRAIN, {1, 2}, frozenset("ab"), b"bytes", 2**40, None, complex(1, 2), slice(1, 2)]}),
        "rng": np.random.default_rng(1).bit_generator.state, "array": np.arange(3), **more,
    }


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_checkpoint_of_a_training_run(tmp_path, kind):
    model = Model(kind, num_layers=2, bidirectional=True).double()
    torch.save(training_run(model.float()), tmp_path / "run.ckpt")
    network = load(tmp_path / "run.ckpt", CELLS)
    assert [one.name for one in network.layers] == ["encoder", "encoder.reverse", "encoder.l1", "encoder.l1.reverse"]
    assert "state_dict taken from ['state_dict']" in network.notes and network.readout.name == "head"
    assert_agrees(network, model, 1e-6)


@pytest.mark.parametrize("wrap", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model."])
def test_prefixes_of_wrappers(tmp_path, wrap):
    model = Model().double()
    torch.save({f"{wrap}{k}": v for k, v in model.state_dict().items()}, tmp_path / "net.pt")
    network = load(tmp_path / "net.pt", CELLS)
    assert [one.name for one in network.layers] == [("model." if wrap == "model." else "") + "encoder"]
    assert_agrees(network, model, 1e-12)


def test_a_state_dict_of_a_dict_class_of_its_own(tmp_path):
    class Weights(OrderedDict):
        pass

    globals()["Weights"], Weights.__qualname__ = Weights, "Weights"
    model = Model().double()
    torch.save({"model": Weights(model.state_dict())}, tmp_path / "net.pt")
    assert_agrees(load(tmp_path / "net.pt", CELLS), model, 1e-12)


def test_modules_are_refused_wherever_they_stand(tmp_path):
    model = Model()
    for what in (model, {"model": model}, {"model": model, "epoch": 3}, {"epoch": 3, "nets": {"model": model}}):
        torch.save(what, tmp_path / "net.pt")
        refused(tmp_path / "net.pt", "test_formats_torch.Model,", "would run code", "save model.state_dict() instead")
    torch.save({"model": model, "state_dict": model.state_dict()}, tmp_path / "both.pt")
    assert [one.name for one in load(tmp_path / "both.pt", CELLS).layers] == ["encoder"]


@pytest.mark.filterwarnings("ignore")
def test_weights_of_another_making_are_named(tmp_path):
    state = Model().state_dict()
    state["encoder.weight_hh_l0"] = torch.quantize_per_tensor(state["encoder.weight_hh_l0"], 0.1, 0, torch.qint8)
    torch.save(state, tmp_path / "net.pt")
    refused(tmp_path / "net.pt", "encoder.weight_hh_l0 is made by torch.QInt8Storage, expected a plain tensor")


def test_code_is_refused_even_beside_good_weights(tmp_path):
    target = tmp_path / "ran"
    for place in ({"hyper_parameters": Evil(target)}, {"loops": [{"deep": (Evil(target),)}]}, {"callbacks": {Evil(target): 1}}):
        torch.save(training_run(Model(), **place), tmp_path / "run.ckpt")
        refused(tmp_path / "run.ckpt", "posix.system")
    assert not target.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["script", "trace"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_torchscript_weights_are_read_and_its_code_is_not(tmp_path, kind, how):
    model = Model(kind, num_layers=2, bidirectional=True)
    program = torch.jit.script(model) if how == "script" else torch.jit.trace(model, torch.ones(2, 1, 3))
    program.save(tmp_path / "net.pt")
    network = load(tmp_path / "net.pt", CELLS)
    assert "TorchScript program: its parameters are read, its code is not" in network.notes
    assert_agrees(network, model, 1e-6)
    data = (tmp_path / "net.pt").read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(tmp_path / "other.pt", "w") as target:
        for name in source.namelist():
            target.writestr(name, b"\0not python" if "/code/" in name else source.read(name))
    assert_agrees(load(tmp_path / "other.pt", CELLS), model, 1e-6)


def test_many_small_things_are_no_way_to_fill_the_time(tmp_path):
    """A stream of half a million opcodes stops there; integer keys of one hash, which would make a dict slow, are none."""
    for pickled, word in ((b"\x80\x02" + b"N0" * 300_000 + b".", "more than 500000 things"),
                          (b"\x80\x02}(" + b"".join(b"\x8a\x0a" + (k * (2**61 - 1) + 5).to_bytes(10, "little") + b"N"
                                                    for k in range(9, 2000)) + b"u.", "more than 64 bits")):
        with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
            archive.writestr("a/data.pkl", pickled)
        refused(tmp_path / "net.pt", word)


@pytest.mark.parametrize("layers, shards", [(1, 1), (2, 3)])
def test_sharded_safetensors(tmp_path, layers, shards):
    from safetensors.torch import save_file
    model = Model("GRU", num_layers=layers).double()
    places = {}
    for k, (name, tensor) in enumerate(model.state_dict().items()):
        places[name] = f"net-{k % shards:05d}.safetensors"
    for shard in set(places.values()):
        save_file({n: t.contiguous() for n, t in model.state_dict().items() if places[n] == shard}, tmp_path / shard)
    index = tmp_path / "net.safetensors.index.json"
    index.write_text('{"metadata": {}, "weight_map": ' + str(places).replace("'", '"') + "}")
    assert_agrees(load(index, CELLS), model, 1e-12)
    for change, word in (('"../net', "no file in the index's own folder"), ('"/etc/net', "own folder"),
                         ('"gone', "fetch that one as well")):
        index.write_text(index.read_text().replace('"net-00000', change, 1))
        refused(index, word)
        index.write_text(index.read_text().replace(change, '"net-00000'))
    index.write_text(index.read_text().replace('"encoder.bias_hh_l0"', '"encoder.other"'))
    refused(index, "encoder.other is not in net-")
    index.write_text("[]")
    refused(index, "no index of safetensors")


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=str)
def test_projections(tmp_path, options):
    torch.manual_seed(3)
    module = torch.nn.LSTM(3, 5, proj_size=2, **options).double()
    torch.save(module.state_dict(), tmp_path / "net.pt")
    network, x = load(tmp_path / "net.pt", CELLS), np.random.default_rng(1).standard_normal((7, 2, 3))
    assert {one.cell.name for one in network.layers} == {"lstm_projected"}
    with torch.no_grad():
        y, _ = module(torch.from_numpy(x))
    np.testing.assert_allclose(outputs(network, x), y.numpy(), rtol=0, atol=1e-12)
    with pytest.raises(FormatError, match="LSTM.proj_size. of torch, which no cell"):
        load(tmp_path / "net.pt", {"lstm": CELLS["lstm"]})
