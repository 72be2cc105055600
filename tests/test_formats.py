"""Checkpoint readers: they read what torch wrote, prove the gate order, run nothing, and refuse in one line."""

import io
import os
import pickle
import re
import struct
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flowcheck.cells import catalogue
from flowcheck.formats import FormatError, load, prove_gate_order, read_inputs, read_targets, write_npz
from flowcheck.network import Layer, Network, Readout

NETS = Path(__file__).resolve().parents[2] / "shared" / "nets"
CELLS = catalogue()


def net_file(name):
    path = NETS / name
    if not path.exists():
        pytest.skip(f"real nets are not here: {path}")
    return path


def refused(path, *words, **options):
    """The line of the FormatError that loading raises; it must be one printable line with all of the words."""
    with pytest.raises(FormatError) as raised:
        load(path, CELLS, **options)
    line = str(raised.value)
    assert line.isprintable() and len(line) <= 600, line
    for word in words:
        assert word in line, line
    return line


def lstm_tensors(rng, units=5, inputs=3, prefix="lstm.", level=0, rows=4):
    names = {"weight_ih": (rows * units, inputs), "weight_hh": (rows * units, units),
             "bias_ih": (rows * units,), "bias_hh": (rows * units,)}
    return {f"{prefix}{role}_l{level}": rng.uniform(-0.5, 0.5, shape) for role, shape in names.items()}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="torch writes the files that these tests read")


# Real nets

REAL = {  # file: (kind of the layers' order, [(layer, units, inputs)], a note)
    "noaa_hourly_lstm126.pt": ("i f g o (torch convention)", [("lstm", 126, 4)], "head.net.0 taken as read-out"),
    "silero_vad.safetensors": ("i f g o (torch convention)", [("lstm_cell", 128, 128)], ""),
    "textgenrnn.hdf5": ("i f c o (keras convention)", [("rnn_1", 128, 100), ("rnn_2", 128, 128)], "rnn_1: CuDNN layout"),
    "dtln_stage1.onnx": ("i o f c (onnx convention)", [("lstm_4", 128, 257), ("lstm_5", 128, 128)], "dense_2 taken as read-out"),
    "emg_lstm16.keras": ("i f c o (keras convention)", [("lstm", 16, 4)], "written by Keras 3.9.2, config read"),
}


@pytest.mark.parametrize("file", REAL)
def test_real_net_reproduces_its_states(file):
    for extension, library in ((".hdf5", "h5py"), (".keras", "h5py"), (".onnx", "onnx")):
        if file.endswith(extension):
            pytest.importorskip(library, reason="reads this format")
    order, layers, note = REAL[file]
    network = load(net_file(file), CELLS)
    assert [(one.name, one.units, one.n_inputs) for one in network.layers] == layers
    assert {one.cell.name for one in network.layers} == {"lstm"} and len(network.sha256) == 64
    assert any(note in n for n in network.notes) or not note
    by_name = {one.name: one for one in network.layers}
    proved = set()
    for inputs in read_inputs(net_file(f"{Path(file).stem}.io.npz"), network):
        steps, batch, _ = inputs.x.shape
        text = prove_gate_order(by_name[inputs.layer], inputs.x, inputs.h).gate_order
        assert text.startswith(f"{order}, proved on {batch} x {steps} steps: max |error| ")
        proved.add(inputs.layer)
    assert proved == set(by_name)


def test_whole_module_is_refused_by_the_name_of_its_class():
    line = refused(net_file("flipflop_whole_module.pt"), "__main__.FlipFlopNet", "would run code")
    assert line.endswith("save model.state_dict() instead")


# Nothing is executed

class Evil:
    """Creates a file when unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


def torch_zip(path, pickled, storages=(), method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", "little")
        for key, data in enumerate(storages):
            archive.writestr(f"archive/data/{key}", data)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_that_runs_a_command_is_refused_and_not_run(tmp_path, protocol):
    target = tmp_path / "ran"
    pickled = pickle.dumps({"lstm.weight_hh_l0": Evil(target)}, protocol)
    line = refused(torch_zip(tmp_path / "evil.pt", pickled), "evil.pt", "refused" if protocol else "opcode")
    if protocol >= 2:
        assert "posix.system" in line
    (tmp_path / "plain.pt").write_bytes(pickled)
    refused(tmp_path / "plain.pt", "plain pickle" if protocol >= 2 else "something else")
    objects = np.empty(1, object)
    objects[0] = Evil(target)
    np.savez(tmp_path / "evil.npz", **{"lstm.weight_hh_l0": objects})
    refused(tmp_path / "evil.npz", "object", "would run code")
    assert not target.exists()
    pickle.loads(pickled)
    assert target.exists(), "the planted pickle must work, or the test shows nothing"


def stream(*items):
    """A hand-written pickle of protocol 2: bytes as they are, text as BINUNICODE."""
    parts = [i if isinstance(i, bytes) else b"X" + struct.pack("<I", len(i.encode())) + i.encode() for i in items]
    return b"\x80\x02" + b"".join(parts) + b"."


def tensor(offset=b"K\x00", size=b"K\x02K\x02\x86", stride=b"K\x02K\x01\x86",
           kind=b"ctorch\nFloatStorage\n", numel=b"K\x04"):
    persistent = (b"(", "storage", kind, "0", "cpu", numel, b"tQ")
    return stream(b"}", "w", b"ctorch._utils\n_rebuild_tensor_v2\n(", *persistent, offset, size, stride, b"\x89}tRs")


BAD_TENSORS = {
    "negative offset": dict(offset=b"J\xff\xff\xff\xff"),
    "offset past the end": dict(offset=b"K\x01"),
    "negative stride": dict(stride=b"J\xfe\xff\xff\xffK\x01\x86"),
    "stride past the end": dict(stride=b"K\x03K\x01\x86"),
    "overlapping rows": dict(size=b"J\x00\x00\x00\x10K\x04\x86", stride=b"K\x00K\x01\x86"),
    "shared rows": dict(size=b"K\x04K\x04\x86", stride=b"K\x00K\x01\x86"),
    "huge size": dict(size=b"\x8a\x08" + b"\xff" * 7 + b"\x7f" + b"K\x02\x86"),
    "axes that do not meet": dict(size=b"K\x04\x85"),
    "size of text": dict(size=b"X\x01\x00\x00\x00aK\x02\x86"),
    "bool for a size": dict(size=b"\x88K\x02\x86"),
    "no tuple": dict(size=b"K\x04"),
    "numel too large": dict(numel=b"M\xff\xff"),
    "wider dtype": dict(kind=b"ctorch\nDoubleStorage\n"),
}


def test_hand_written_tensor_is_read(tmp_path):
    path = torch_zip(tmp_path / "good.pt", tensor(), [np.arange(4, dtype="f4").tobytes()])
    refused(path, "expected recurrent layers", "w (2, 2)")


@pytest.mark.parametrize("mistake", BAD_TENSORS)
def test_windows_beyond_their_storage_are_refused(tmp_path, mistake):
    line = refused(torch_zip(tmp_path / "bad.pt", tensor(**BAD_TENSORS[mistake]), [bytes(16)]))
    assert "expected recurrent" not in line


@pytest.mark.parametrize("pickled", [
    b"", b"\x80\x02", stream(b"0"), stream(b"h\x01"), stream(b"}", b"]", b"K\x01", b"s"),
    stream(b"t"), stream(b"K\x01", b"K\x02"),
    stream(b"ccollections\nOrderedDict\n", b"K\x01\x85R"), stream(b"}", b"}", b"b"), stream(b"K\x01"), stream(b"(" * 9),
    stream(b"}q\x00", "self", b"h\x00s"), stream(b"}", b"\x8a\xff" + b"\x7f" * 255, b"K\x01s"), stream(b"]", b"NQ"),
    stream("os", "system", b"\x93)R"), stream(b"cos\nsystem\n"), stream(b"(ios\nsystem\n"),
    stream(b"cbuiltins\neval\n", "1", b"\x85R"),
    stream(b"ctorch._utils\n_rebuild_parameter\n", b"K\x01\x85R"), stream(b"c\x1b[31m\nx\ny\n"), stream(b"\x82\x01"),
], ids=repr)
def test_odd_streams_are_refused(tmp_path, pickled):
    refused(torch_zip(tmp_path / "odd.pt", pickled), "odd.pt")


def test_state_is_set_on_nothing_but_an_ordered_dict(tmp_path):
    metadata = (b"}", "_metadata", b"Nsb")
    refused(torch_zip(tmp_path / "a.pt", stream(b"}", *metadata)), "the state of an object")
    refused(torch_zip(tmp_path / "b.pt", stream(b"ccollections\nOrderedDict\n)R", *metadata)), "0 tensors")


def test_zip_traps(tmp_path):
    good = tensor()
    refused(torch_zip(tmp_path / "deflated.pt", good, [bytes(10**6)], zipfile.ZIP_DEFLATED), "compressed")
    with zipfile.ZipFile(tmp_path / "two.pt", "w") as archive:
        archive.writestr("a/data.pkl", good)
        archive.writestr("b/data.pkl", good)
    refused(tmp_path / "two.pt", "one data.pkl")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("lstm.weight_hh_l0.npy", "w") as member:
            for _ in range(130):
                member.write(bytes(2**20))
    (tmp_path / "bomb.npz").write_bytes(bomb.getvalue())
    start = time.perf_counter()
    refused(tmp_path / "bomb.npz", "without compression")
    assert time.perf_counter() - start < 1


def test_files_that_are_not_what_their_name_says(tmp_path, rng):
    np.savez(tmp_path / "net.npz", **lstm_tensors(rng))
    data = (tmp_path / "net.npz").read_bytes()
    for name, content, word in [
        ("a.pt", data, "an npz file"), ("b.safetensors", data, "an npz file"), ("c.npz", b"\x89HDF\r\n\x1a\n", "HDF5"),
        ("d.pt", b"", "empty"), ("e.pt", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "weights_only=True"),
        ("f.txt", data, "extension .txt"), ("g.safetensors", struct.pack("<Q", 10**11) + b"{}", "header too large"),
        ("h.ckpt", data, "an npz file"), ("i.h5", data, "expected an HDF5 file"), ("j.keras", data, "expected a Keras zip file"),
        ("k.onnx", data, "an npz file"), ("l.json", data, "expected JSON"), ("m.msgpack", data, "an npz file"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, name, word)
    refused(tmp_path / "missing.pt", "cannot be read")
    refused(tmp_path, "name the files in it")
    refused("\0.pt", "cannot be read")


# What torch wrote

def random_net(torch, kind, seed=3, **options):
    torch.manual_seed(seed)
    return getattr(torch.nn, kind)(3, 5, **options)


def assert_agrees(torch, network, module, tolerance):
    """Every level's output against torch in float64, over 7 steps and 2 sequences."""
    x = np.random.default_rng(1).standard_normal((7, 2, 3))
    module = module.double()
    with torch.no_grad():
        y, _ = module(torch.from_numpy(x))
    runs = network.run(x)
    last = [runs[layer.name][layer.cell.output.name][::-1 if layer.reverse else 1] for layer in network.levels[-1]]
    np.testing.assert_allclose(np.concatenate(last, -1), y.numpy(), rtol=0, atol=tolerance)


def saved(torch, state, path):
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("extension", ["pth", "safetensors"])
@pytest.mark.parametrize("options", [
    {}, {"num_layers": 3}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True, "bias": False}], ids=str)
@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_hidden_states_agree_with_torch(torch, tmp_path, kind, options, extension):
    module = random_net(torch, kind, **options).double()
    network = load(saved(torch, module.state_dict(), tmp_path / f"net.{extension}"), CELLS)
    levels = options.get("num_layers", 1)
    assert len(network.levels) == levels and len(network.layers) == levels * (1 + options.get("bidirectional", False))
    names = {"RNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
    assert network.layers[0].name == names[kind] and network.layers[0].cell.name == names[kind].replace("rnn", "tanh")
    assert any("nonlinearity tanh assumed" in n for n in network.notes) == (kind == "RNN")
    assert any("no biases" in n for n in network.notes) == (options.get("bias") is False)
    assert_agrees(torch, network, module, 1e-12)


@pytest.mark.parametrize("prefix", ["", "enc."])
def test_what_the_note_on_the_nonlinearity_says_reads_a_relu_net(torch, tmp_path, prefix):
    """The note, and the line that refuses a nonlinearity for a cell, end with what --layer takes."""
    module = torch.nn.RNN(3, 5, num_layers=2, nonlinearity="relu").double()
    state = {prefix + name: tensor for name, tensor in module.state_dict().items()}
    path, stack = saved(torch, state, tmp_path / "net.pt"), prefix.rstrip(".") or "rnn"
    notes = [n for n in load(path, CELLS).notes if "assumed" in n]
    said, = {note.partition("for relu say --layer ")[2].strip("'") for note in notes}
    assert len(notes) == 2 and said == f"{stack}=tanh[g=relu]:h"
    network = load(path, CELLS, said)
    assert_agrees(torch, network, module, 1e-12)
    assert not any("assumed" in n for n in network.notes)
    for kind in ("relu:h", "relu"):
        with pytest.raises(FormatError, match="relu is a nonlinearity, expected a cell; say --layer") as refused:
            load(path, CELLS, f"{stack}={kind}")
        assert str(refused.value).endswith(f"'{said}'")


@pytest.mark.parametrize("extension", ["pt", "safetensors"])
@pytest.mark.parametrize("dtype, tolerance", [  # biases are summed in float32: half an ulp of 1, times 7 steps
    ("float16", 1e-6), ("bfloat16", 1e-6), ("float32", 1e-6), ("float64", 1e-12)])
def test_dtypes(torch, tmp_path, dtype, tolerance, extension):
    module = random_net(torch, "GRU").to(getattr(torch, dtype))
    network = load(saved(torch, module.state_dict(), tmp_path / f"net.{extension}"), CELLS)
    assert network.layers[0].dtype == ("float64" if dtype == "float64" else "float32")
    assert any(f"{dtype}" in n for n in network.notes) == dtype.endswith("16")
    assert_agrees(torch, network, module, tolerance)


def test_wrappers_nesting_and_readout(torch, tmp_path):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(2)
            self.rnn = torch.nn.LSTM(3, 5)
            self.head = torch.nn.Linear(5, 2)
            self.other = torch.nn.Linear(4, 4)

    model = Model()
    momentum = {k: {"step": torch.tensor(1.0), "exp_avg": torch.zeros_like(p)} for k, p in enumerate(model.parameters())}
    checkpoint = {"epoch": 3, "loss": 0.5, "model_state_dict": torch.nn.DataParallel(model).state_dict(),
                  "optimizer": {"state": momentum, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}]}}
    torch.save(checkpoint, tmp_path / "net.pt")
    network = load(tmp_path / "net.pt", CELLS)
    assert [layer.name for layer in network.layers] == ["rnn"]
    assert network.readout.name == "head" and network.readout.W.shape == (2, 5)
    np.testing.assert_array_equal(network.readout.b, model.head.bias.detach().numpy())
    assert any("model_state_dict" in n for n in network.notes) and any("read-out" in n for n in network.notes)
    torch.save({"ema": model.state_dict(), "model": model.state_dict()}, tmp_path / "both.pt")
    refused(tmp_path / "both.pt", "'ema'", "'model'")
    torch.save({f"_orig_mod.{k}": v for k, v in model.named_parameters()}, tmp_path / "compiled.pt")
    assert load(tmp_path / "compiled.pt", CELLS).layers[0].name == "rnn"
    torch.save(torch.nn.Sequential(model.head), tmp_path / "whole.pt")
    refused(tmp_path / "whole.pt", "torch.nn.modules.container.Sequential")
    torch.save(model.state_dict(), tmp_path / "legacy.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "legacy.pt", "of before 1.6", "weights_only=True")


def test_two_matrices_that_fit_are_no_readout(tmp_path, rng):
    np.savez(tmp_path / "net.npz", **lstm_tensors(rng), **{"a.weight": np.ones((2, 5)), "b.weight": np.ones((5, 5))})
    network = load(tmp_path / "net.npz", CELLS)
    assert network.readout is None and "2 matrices fit as read-out (a.weight, b.weight), none taken" in network.notes


def test_views_of_one_storage_and_transposed_weights(torch, tmp_path):
    module = random_net(torch, "LSTM").double()
    flat = torch.cat([p.detach().t().reshape(-1) for p in module.parameters()])
    state, at = {}, 0
    for name, p in module.state_dict().items():
        state[name] = flat[at:at + p.numel()].view(p.t().shape).t()
        at += p.numel()
    torch.save(state, tmp_path / "flat.pt")
    assert_agrees(torch, load(tmp_path / "flat.pt", CELLS), module, 1e-12)


def test_stack_of_cells(torch, tmp_path):
    cells = torch.nn.ModuleList([torch.nn.LSTMCell(3, 5), torch.nn.GRUCell(5, 4)])
    torch.save(cells.state_dict(), tmp_path / "cells.pt")
    network = load(tmp_path / "cells.pt", CELLS)
    assert [(c.name, c.cell.name, c.level) for c in network.layers] == [("0", "lstm", 0), ("1", "gru", 1)]
    assert any("taken as one stack" in n for n in network.notes)
    only = load(tmp_path / "cells.pt", CELLS, layer="1")
    assert [(c.name, c.level) for c in only.layers] == [("1", 0)]


@pytest.mark.parametrize("prefix", ["rnn.", ""])
def test_a_stack_is_selected_whole(tmp_path, rng, prefix):
    path = tmp_path / "net.npz"
    np.savez(path, **lstm_tensors(rng, prefix=prefix, rows=1), **lstm_tensors(rng, inputs=5, prefix=prefix, level=1, rows=1))
    refused(path, "rnn, rnn.l1 are one stack", "leaves out rnn; select it with --layer rnn", layer="rnn.l1")
    refused(path, "expected a recurrent layer 'bogus', got rnn (with rnn.l1); select one of these", layer="bogus")
    for name in ("rnn", "rnn,rnn.l1", "rnn.l1=rnn:h"):
        assert [one.name for one in load(path, CELLS, layer=name).layers] == ["rnn", "rnn.l1"]


# What lies beside the layers

@pytest.mark.parametrize("name, shape, noted", [
    ("h0", (1, 1, 5), True), ("encoder.c_0", (5,), True), ("init_hidden", (1, 5), True), ("lstm.initial_state", (2, 1, 5), True),
    ("h0", (2, 7, 5), False), ("h0", (4,), False), ("head", (5,), False), ("h0_scale", (5,), False), ("cells.0", (5,), False),
], ids=["h0", "under a prefix", "spelt out", "of two levels", "of seven sequences", "of another width", "another name", "a longer name",
        "a list of cells"])
def test_a_first_state_that_was_learned_is_noted(tmp_path, rng, name, shape, noted):
    tensors = lstm_tensors(rng) | lstm_tensors(rng, inputs=5, level=1) | {"head.weight": rng.standard_normal((2, 5))}
    found = {}
    for value in (0.5, 0.0):
        np.savez(tmp_path / "net.npz", **tensors, **{name: np.full(shape, value)})
        network = load(tmp_path / "net.npz", CELLS)
        found[value] = [note for note in network.notes if "state" in note]
        assert network.readout.name == "head", "a first state is no second read-out"
    assert found == {0.5: [f"{name}: a first state that was learned, taken as zero"] * noted, 0.0: []}


# Inconsistent tensors

def test_tensors_that_do_not_hold_together(tmp_path, rng):
    def line(tensors, *words, **options):
        np.savez(tmp_path / "net.npz", **tensors)
        return refused(tmp_path / "net.npz", *words, **options)

    good = lstm_tensors(rng)
    hh, ih = "lstm.weight_hh_l0", "lstm.weight_ih_l0"
    line({k: v for k, v in good.items() if k != hh}, "expected weight_hh")
    line({k: v for k, v in good.items() if k != "lstm.bias_hh_l0"}, "both biases or none")
    line(good | {ih: good[ih][:-1]}, "weight_ih has shape (19, 3)")
    line(good | {hh: good[hh][:, :4]}, "blocks")
    line(good | {hh: np.where(good[hh] == good[hh][2, 1], np.nan, good[hh])}, "not finite", "[2, 1]")
    line(good | {hh: good[hh].astype(int)}, "int64")
    line(lstm_tensors(rng, rows=2), "2 blocks")
    line(good | lstm_tensors(rng, inputs=5, level=2), "levels 0 to 1, got 0, 2")
    line(good | lstm_tensors(rng, inputs=4, level=1), "reads 4 inputs", "puts out 5")
    line(good | {"lstm.weight_hh_l0_raw": good[hh]}, "run time")
    line({"a.weight": good[ih], "b\n\x1b[31m.bias": good[hh]}, "expected recurrent layers", "a.weight (20, 3)")
    line({}, "another zip file")
    two = good | lstm_tensors(rng, prefix="decoder.")
    line(two, "layer=NAME")
    line(two, "decoder", layer="encoder")
    np.savez(tmp_path / "net.npz", **two)
    assert [one.name for one in load(tmp_path / "net.npz", CELLS, layer="decoder").layers] == ["decoder"]


# Gate order

def layer_of(cell, rng, units=5, inputs=3):
    from flowcheck.kernels import compile_cell
    return Layer(cell, CELLS[cell], compile_cell(CELLS[cell]).random_params(units, inputs, rng))


def test_swapped_gates_are_found_and_named(tmp_path, rng):
    tensors = lstm_tensors(rng)
    x = rng.standard_normal((30, 2, 3))
    np.savez(tmp_path / "good.npz", **tensors)
    good = load(tmp_path / "good.npz", CELLS).layers[0]
    h = good.run(x)["y"]
    assert "proved on 2 x 30 steps" in prove_gate_order(good, x, h).gate_order
    for order, letters in (((1, 0, 2, 3), "f i g o"), ((0, 3, 1, 2), "i o f g"), ((3, 2, 1, 0), "o g f i")):
        stored = {k: np.concatenate([np.split(v, 4)[gate] for gate in order]) for k, v in tensors.items()}
        np.savez(tmp_path / "swapped.npz", **stored)
        with pytest.raises(FormatError) as raised:
            prove_gate_order(load(tmp_path / "swapped.npz", CELLS).layers[0], x, h)
        assert f"the order {letters} does (max |error| " in str(raised.value)
        assert "order i f g o does not reproduce" in str(raised.value)


def test_swapped_gru_gates_are_found(tmp_path, rng):
    tensors = lstm_tensors(rng, rows=3, prefix="gru.")
    x = rng.standard_normal((30, 2, 3))
    np.savez(tmp_path / "gru.npz", **tensors)
    h = load(tmp_path / "gru.npz", CELLS).layers[0].run(x)["y"]
    np.savez(tmp_path / "gru.npz", **{k: v.reshape(3, 5, -1)[[1, 0, 2]].reshape(v.shape) for k, v in tensors.items()})
    with pytest.raises(FormatError, match="the order z r n does"):
        prove_gate_order(load(tmp_path / "gru.npz", CELLS).layers[0], x, h)


def test_proof_can_fail(rng):
    layer = layer_of("lstm", rng)
    x = rng.standard_normal((20, 2, 3))
    h = layer.run(x)["y"]
    with pytest.raises(FormatError, match="no order of the gates' rows does"):
        prove_gate_order(layer, x, h + 0.01)
    with pytest.raises(FormatError, match="expected .time, batch, 3."):
        prove_gate_order(layer, x[..., :2], h)
    silent = Layer("lstm", layer.cell, {k: 0 * v for k, v in layer.params.items()})
    assert "not proved" in prove_gate_order(silent, x, 0 * h).gate_order


def test_reverse_layer_is_proved_in_the_time_of_the_file(torch, tmp_path):
    module = random_net(torch, "LSTM", bidirectional=True)
    torch.save(module.state_dict(), tmp_path / "net.pt")
    x = np.random.default_rng(1).standard_normal((9, 2, 3)).astype("f4")
    with torch.no_grad():
        y = module(torch.from_numpy(x))[0].numpy()
    for layer, h in zip(load(tmp_path / "net.pt", CELLS).layers, (y[..., :5], y[..., 5:]), strict=True):
        assert ", proved on" in prove_gate_order(layer, x, h).gate_order


# flowcheck's own files

@pytest.mark.parametrize("cell", CELLS)
def test_npz_round_trip(tmp_path, rng, cell):
    outputs = layer_of(cell, rng, 4).n_outputs
    layers = tuple(Layer(f"l{k}", CELLS[cell], layer_of(cell, rng, 4, inputs).params, level, reverse, "a b")
                   for k, (inputs, level, reverse) in enumerate([(3, 0, False), (3, 0, True), (2 * outputs, 1, False)]))
    network = Network("made here", layers, readout=Readout("head", rng.standard_normal((2, outputs)), np.zeros(2)))
    write_npz(network, tmp_path / "net.npz")
    assert os.listdir(tmp_path) == ["net.npz"]
    again = load(tmp_path / "net.npz", CELLS)
    for one, other in zip(layers, again.layers, strict=True):
        assert (one.name, one.cell, one.level, one.reverse, one.gate_order) == (
            other.name, other.cell, other.level, other.reverse, other.gate_order)
        assert one.params.keys() == other.params.keys()
        assert all(np.array_equal(one.params[k], other.params[k]) for k in one.params)
    np.testing.assert_array_equal(again.readout.W, network.readout.W)
    assert again.readout.name == "head"
    assert [one.name for one in load(tmp_path / "net.npz", CELLS, layer="l2").layers] == ["l2"]


def test_own_names_are_checked(tmp_path, rng):
    layer = layer_of("tanh", rng)
    arrays = {f"a/{k}": v for k, v in layer.params.items()} | {"a/cell": np.array("tanh")}
    for change, word in [
        ({"a/cell": np.array("nope")}, "'nope'"), ({"a/W_x": np.zeros((4, 3))}, "W_x"),
        ({"a/extra": np.zeros(1)}, "extra"), ({"a/level": np.array(3)}, "levels"),
        ({"a/cell": np.zeros(2)}, "one value"), ({"b/W_x": np.zeros((5, 3))}, "b/cell"),
        ({"readout/W": np.zeros((5, 3))}, "name, W and b"),
    ]:
        np.savez(tmp_path / "net.npz", **(arrays | change))
        refused(tmp_path / "net.npz", word)
    network = Network("", (layer,))
    with pytest.raises(FormatError, match="ends in .npz"):
        write_npz(network, tmp_path / "net.pt")


def test_failed_write_leaves_the_old_file(tmp_path, rng, monkeypatch):
    network = Network("", (layer_of("tanh", rng),))
    write_npz(network, tmp_path / "net.npz")
    before = (tmp_path / "net.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="disk full"):
        write_npz(network, tmp_path / "net.npz")
    assert (tmp_path / "net.npz").read_bytes() == before and os.listdir(tmp_path) == ["net.npz"]


# Inputs

def test_inputs_find_their_layers(tmp_path, rng):
    one = Network("", (layer_of("lstm", rng),))
    second = Layer("lstm.l1", CELLS["lstm"], layer_of("lstm", rng, 4, 5).params, 1)
    two = Network("", (*one.layers, second))
    x, x2, h = rng.standard_normal((2, 6, 3)), rng.standard_normal((2, 6, 5)), rng.standard_normal((2, 6, 5))
    path = tmp_path / "x.npz"

    def found(network, **arrays):
        np.savez(path, **arrays)
        return [(s.label, s.layer) for s in read_inputs(path, network)]

    assert found(one, **{"lstm.x": x, "lstm.h": h, "lstm_other.x": x}) == [("lstm", "lstm"), ("lstm_other", "lstm")]
    assert found(one, x=x) == [("x", "lstm")]
    assert found(two, x=x) == [("x", "lstm")]
    assert found(one, **{"cell.x": x, "cell_b.x": x}) == [("cell", "lstm"), ("cell_b", "lstm")]
    assert found(two, **{"a.x": x, "b.x": x2}) == [("a", "lstm"), ("b", "lstm.l1")]
    assert found(two, **{"lstm.x": x, "lstm.l1.x": x2}) == [("lstm", "lstm"), ("lstm.l1", "lstm.l1")]
    longer = Network("", (*one.layers, Layer("lstm_b", second.cell, second.params, 1)))
    assert found(longer, **{"lstm.x": x, "lstm_b_c.x": x2}) == [("lstm", "lstm"), ("lstm_b_c", "lstm_b")]
    found(one, **{"lstm.x": x, "lstm.h": h})
    (inputs,) = read_inputs(path, one)
    np.testing.assert_array_equal(inputs.x, x.transpose(1, 0, 2))
    np.testing.assert_array_equal(inputs.h, h.transpose(1, 0, 2))
    np.save(tmp_path / "x.npy", (x > 0).astype(np.uint8))
    (inputs,) = read_inputs(tmp_path / "x.npy", two)
    assert inputs.layer == "lstm" and inputs.x.shape == (6, 2, 3) and inputs.x.dtype == np.float64 and inputs.h is None


def test_inputs_that_do_not_fit(tmp_path, rng):
    network = Network("", (layer_of("lstm", rng),))
    x = rng.standard_normal((2, 6, 3))
    objects = np.empty(1, object)
    for arrays, word in [
        ({"lstm.x": x[..., :2]}, "(batch, time, 3 features)"), ({"lstm.x": x[0]}, "x[None]"),
        ({"lstm.x": x * np.nan}, "not finite"),
        ({"lstm.h": x}, "alone"), ({}, "none"), ({"a.x": x, "b.x": x}, "no layer is named a, b"),
        ({"lstm.x": objects}, "would run code"),
        ({"lstm.x": x, "lstm.h": np.zeros((2, 5, 5))}, "2 x 6"), ({"lstm.x": np.array("text")}, "shape"),
        ({"lstm.x": x[:, :0]}, "shape"),
    ]:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(FormatError) as raised:
            read_inputs(tmp_path / "x.npz", network)
        assert word in str(raised.value) and str(raised.value).isprintable(), str(raised.value)
    for path in (tmp_path / "none.npy", tmp_path):
        with pytest.raises(FormatError, match="cannot be read .*, expected a file of inputs, .npy or .npz"):
            read_inputs(path, network)
        with pytest.raises(FormatError, match="cannot be read .*, expected a file of targets, .npy or .npz"):
            read_targets(path, [])


@pytest.mark.parametrize("shape, dtype, inputs, words", [
    ((2, 6), np.int64, 3, "save what the embedding makes of them, or call flowcheck.diagnose(module, tokens)"),
    ((2, 6), np.int64, 1, "x[..., None]"), ((2, 6), float, 1, "x[..., None]"), ((6, 3), np.int64, 3, "x[None]"),
    ((6, 2), float, 3, "save all 3 features of every step"), ((2, 6, 2), float, 3, "save all 3 features of every step"),
    ((2, 6, 5), float, 3, "these are another layer's: name the array LAYER.x"),
    ((0, 6, 3), float, 3, "has shape (0, 6, 3), expected (batch, time, 3 features) for layer lstm; it is empty"),
    ((2, 0, 3), float, 3, "has shape (2, 0, 3), expected (batch, time, 3 features) for layer lstm; it is empty"),
], ids=["tokens", "whole numbers for one feature", "one feature", "one sequence of whole numbers", "too few features, no batch",
        "too few features", "of the layer above", "no sequences", "no steps"])
def test_inputs_of_another_shape_are_told_what_is_missing(tmp_path, rng, shape, dtype, inputs, words):
    network = Network("", (layer_of("lstm", rng, inputs=inputs), replace(layer_of("gru", rng, inputs=5), level=1)))
    np.save(tmp_path / "x.npy", np.ones(shape, dtype))
    with pytest.raises(FormatError, match=re.escape(words)):
        read_inputs(tmp_path / "x.npy", network)


@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize("shape", [(0, 2**70), (2**62, 2**62, 0), (1,) * 100, (0,) * 100], ids=["longer", "larger", "more axes", "none"])
def test_shapes_that_no_array_can_have(tmp_path, shape, order):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": order, "shape": shape})
        file.write(bytes(8 if all(shape) else 0))
    with pytest.raises(FormatError, match="no array has the shape"):
        read_inputs(tmp_path / "x.npy", Network("", (layer_of("lstm", np.random.default_rng(0)),)))


# Damage

@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """{extension: bytes} of one small net in every format that can be written here."""
    folder = tmp_path_factory.mktemp("whole")
    tensors = {k: v.astype("f4") for k, v in lstm_tensors(np.random.default_rng(5)).items()}
    np.savez(folder / "net.npz", **tensors)
    from safetensors.numpy import save_file
    save_file(tensors, folder / "net.safetensors")
    try:
        import torch
        torch.save({k: torch.from_numpy(v) for k, v in tensors.items()}, folder / "net.pt")
    except ImportError:
        pass
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("extension", [".pt", ".npz", ".safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "flipped", "zeroed", "grown"])
def test_damaged_files(tmp_path, whole_files, extension, damage):
    """Forty seeded damages each: one line, or the very same weights where the damage met padding or no checksum."""
    if extension not in whole_files:
        pytest.skip("torch is not installed to write a .pt")
    whole, rng = whole_files[extension], np.random.default_rng(11)
    path, refusals = tmp_path / f"net{extension}", 0
    path.write_bytes(whole)
    original = load(path, CELLS)
    for trial in range(40):
        at, data = int(rng.integers(len(whole))), bytearray(whole)
        if damage == "truncated":
            del data[at:]
        elif damage == "flipped":
            for where in (at, *rng.integers(len(whole), size=trial % 4)):
                data[where] ^= 1 << int(rng.integers(8))
        elif damage == "zeroed":
            data[at:at + 40] = bytes(len(data[at:at + 40]))
        else:
            data[at:at] = rng.bytes(20)
        path.write_bytes(data)
        start = time.perf_counter()
        try:
            network = load(path, CELLS)
        except FormatError as error:
            assert str(error).isprintable() and len(str(error)) <= 600
            refusals += 1
        else:
            assert extension == ".safetensors" or all(
                np.array_equal(original.layers[0].params[k], w) for k, w in network.layers[0].params.items())
        assert time.perf_counter() - start < 2, f"trial {trial}, seed 11"
    assert refusals >= {"truncated": 40, "flipped": 4, "zeroed": 4, "grown": 4}[damage]


def test_damaged_headers(tmp_path, whole_files):
    """The bytes that steer the readers: data.pkl and npy headers, checksums mended, and the safetensors header."""
    rng = np.random.default_rng(13)
    flip = lambda data, at: data[:at] + bytes([data[at] ^ (1 << int(rng.integers(8)))]) + data[at + 1:]  # noqa: E731
    for extension, whole in whole_files.items():
        path = tmp_path / f"net{extension}"
        for _ in range(150):
            if extension == ".safetensors":
                path.write_bytes(flip(whole, int(rng.integers(400))))
            else:
                with zipfile.ZipFile(io.BytesIO(whole)) as source, zipfile.ZipFile(path, "w") as target:
                    victims = [n for n in source.namelist() if n.endswith(("data.pkl", ".npy"))]
                    victim = victims[int(rng.integers(len(victims)))]
                    for name in source.namelist():
                        data = source.read(name)
                        limit = len(data) if extension == ".pt" else 128
                        target.writestr(name, flip(data, int(rng.integers(limit))) if name == victim else data)
            try:
                load(path, CELLS)
            except FormatError as error:
                assert str(error).isprintable() and len(str(error)) <= 600
