"""Five hundred checkpoint files that are damaged or mean harm, made from small good ones; the same ones every time.

`write_corpus(folder, canary)` writes them and returns {file name: "refused" or "either"}. "either" are damages that a file of that
format can bear without a trace: where it has no checksum and the damage met padding, the digits of a weight, or an entry that
nobody reads.
"""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile

import h5py
import msgpack
import numpy as np
from onnx import TensorProto, helper, numpy_helper

UNITS, INPUTS = 5, 3
RNG = np.random.default_rng


# Good files

def weights(rows=4, inputs=INPUTS):
    """{torch's name: float32 array} of a small layer."""
    rng = RNG(5)
    total = rows * UNITS
    shapes = {"weight_ih": (total, inputs), "weight_hh": (total, UNITS), "bias_ih": (total,), "bias_hh": (total,)}
    return {f"rnn.{name}_l0": rng.uniform(-0.5, 0.5, shape).astype("f4") for name, shape in shapes.items()}


def text(value):
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key, shape, offset=0, stride=None, kind="FloatStorage", numel=None):
    """The pickle of a tensor on storage data/KEY."""
    steps = [int(np.prod(shape[k + 1:])) for k in range(len(shape))] if stride is None else stride
    stored = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
    stored += number(int(np.prod(shape)) if numel is None else numel) + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + number(offset) + numbers(shape) + numbers(steps) + b"\x89}tR"


def entries(pairs):
    return b"}(" + b"".join(text(k) + v for k, v in pairs) + b"u"


def stream(body):
    return b"\x80\x02" + body + b"."


def state(arrays, **changed):
    """The pickle of a state_dict; `changed` replaces the tensor of a role by other bytes."""
    roles = {name: name.removeprefix("rnn.").removesuffix("_l0") for name in arrays}
    return entries([(name, changed.get(roles[name], tensor(str(k), a.shape))) for k, (name, a) in enumerate(arrays.items())])


def zipped(members, method=zipfile.ZIP_STORED):
    """A zip file of {name: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method, compresslevel=1)
    return file.getvalue()


def torch_zip(body, arrays=None, more=()):
    """A torch zip file of a pickle's body and the storages of arrays."""
    arrays = weights() if arrays is None else arrays
    storages = {f"net/data/{k}": a.tobytes() for k, a in enumerate(arrays.values())}
    return zipped({"net/data.pkl": stream(body), "net/byteorder": b"little", **storages, **dict(more)})


def npz(arrays, method=zipfile.ZIP_STORED):
    return zipped({f"{name}.npy": npy(array) for name, array in arrays.items()}, method)


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def safetensors(arrays, **changed):
    """A safetensors file by hand; `changed` replaces entries of the header."""
    header, at = {}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    written = json.dumps(header | changed).encode()
    return struct.pack("<Q", len(written)) + written + b"".join(a.tobytes() for a in arrays.values())


CONFIG = {"class_name": "Sequential", "config": {"name": "net", "layers": [
    {"class_name": "LSTM", "config": {"name": "rnn", "units": UNITS, "activation": "tanh", "recurrent_activation": "sigmoid"}}]}}


def keras_arrays():
    given = weights()
    return {"kernel": given["rnn.weight_ih_l0"].T, "recurrent_kernel": given["rnn.weight_hh_l0"].T, "bias": given["rnn.bias_ih_l0"]}


def hdf5(fill, **options):
    """The bytes of an HDF5 file that `fill` has written into."""
    file = io.BytesIO()
    with h5py.File(file, "w", **options) as opened:
        fill(opened)
    return file.getvalue()


def legacy(arrays=None, config=CONFIG, **dataset):
    """A whole Keras 2 model."""
    def fill(file):
        group = file.create_group("model_weights/rnn/rnn")
        for name, array in (arrays or keras_arrays()).items():
            group.create_dataset(f"{name}:0", data=array, **dataset)
        file.attrs["keras_version"] = np.bytes_(b"2.4.0")
        if config is not None:
            file.attrs["model_config"] = json.dumps(config) if isinstance(config, dict) else config
    return hdf5(fill)


def weights_only(arrays=None):
    """Weights as Keras 3 saves them."""
    def fill(file):
        for k, array in enumerate((arrays or keras_arrays()).values()):
            file[f"layers/lstm/cell/vars/{k}"] = array
    return hdf5(fill)


def keras(config=CONFIG, h5=None, method=zipfile.ZIP_STORED, **more):
    written = json.dumps(config).encode() if isinstance(config, dict) else config
    members = {"metadata.json": b'{"keras_version": "3.9.2"}', "config.json": written, "model.weights.h5": h5 or weights_only()}
    return zipped(members | more, method)


def onnx_arrays():
    given = weights()
    biases = np.concatenate([given["rnn.bias_ih_l0"], given["rnn.bias_hh_l0"]])
    return {"W": given["rnn.weight_ih_l0"][None], "R": given["rnn.weight_hh_l0"][None], "B": biases[None]}


def onnx(arrays=None, nodes=(), tensors=(), **attributes):
    arrays = onnx_arrays() if arrays is None else arrays
    lstm = helper.make_node("LSTM", ["x", "W", "R", "B"], ["Y"], name="rnn", **({"hidden_size": UNITS} | attributes))
    graph = helper.make_graph([*nodes, lstm], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
                              [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
                              [*(numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in arrays.items()), *tensors])
    return helper.make_model(graph).SerializeToString()


def outside(name, shape, **where):
    """A tensor whose numbers lie in another file."""
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    for key, value in where.items():
        made.external_data.add(key=key, value=str(value))
    return made


def flax_array(array, dtype=None, shape=None):
    return msgpack.ExtType(1, msgpack.packb((shape or array.shape, dtype or array.dtype.name, array.tobytes())))


def flax(**changed):
    given = weights()
    rows = {"i": np.split(given["rnn.weight_ih_l0"], 4), "h": np.split(given["rnn.weight_hh_l0"], 4)}
    cell = {side + gate: {"kernel": flax_array(np.ascontiguousarray(block.T))}
            for side in "ih" for gate, block in zip("ifgo", rows[side], strict=True)}
    return msgpack.packb({"params": {"cell": cell | changed}})


def guitarml(**changed):
    return json.dumps({"model_data": {"unit_type": "LSTM", "hidden_size": UNITS},
                       "state_dict": {n: a.tolist() for n, a in weights().items()} | changed}).encode()


def rtneural(arrays=None):
    return json.dumps({"layers": [{"type": "lstm", "weights": [a.tolist() for a in (arrays or keras_arrays()).values()]}]}).encode()


def good_files():
    """{extension or NAME.extension: bytes} of one small net in every format."""
    arrays = weights()
    script = b"c__torch__.net\nModel\n)\x81}(" + text("rnn") + b"c__torch__.torch.nn.modules.rnn\nLSTM\n)\x81" + entries([
        (name.split(".")[1], tensor(str(k), a.shape)) for k, (name, a) in enumerate(arrays.items())]) + b"bub"
    own = {f"rnn/{k}": v.astype("f8") for k, v in zip(
        ("W_in_x", "W_f_x", "W_c_x", "W_out_x"), np.split(arrays["rnn.weight_ih_l0"], 4), strict=True)}
    own |= {f"rnn/{k}": v for k, v in zip(
        ("W_in_y", "W_f_y", "W_c_y", "W_out_y"), np.split(arrays["rnn.weight_hh_l0"], 4), strict=True)}
    own |= {f"rnn/b_{k}": v for k, v in zip(("in", "f", "c", "out"), np.split(arrays["rnn.bias_ih_l0"], 4), strict=True)}
    return {
        "pt": torch_zip(state(arrays)), "run.ckpt": torch_zip(entries([("epoch", b"K\x03"), ("state_dict", state(arrays))])),
        "script.pt": torch_zip(script), "npz": npz(arrays), "own.npz": npz(own | {"rnn/cell": np.array("lstm")}),
        "safetensors": safetensors(arrays), "h5": legacy(), "packed.h5": legacy(compression="gzip", chunks=True),
        "weights.h5": weights_only(), "keras": keras(), "onnx": onnx(), "msgpack": flax(), "json": guitarml(), "rt.json": rtneural(),
    }


# Harm

class Call:
    """Calls a function when unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def gadgets(canary):
    """{name: the pickle of an object, without its first and last opcode} that runs code when it is loaded; each would make the canary."""
    import builtins
    import importlib
    import runpy
    import shutil
    import subprocess
    import webbrowser
    touch = f"open({str(canary)!r}, 'w')"
    calls = {
        "system": Call(os.system, f"touch {canary}"), "popen": Call(subprocess.Popen, ["touch", str(canary)]),
        "eval": Call(builtins.eval, touch), "exec": Call(builtins.exec, touch), "open": Call(builtins.open, str(canary), "w"),
        "import": Call(builtins.__import__, "antigravity"), "module": Call(importlib.import_module, "antigravity"),
        "runpy": Call(runpy.run_path, str(canary)), "copy": Call(shutil.copyfile, "/etc/hosts", str(canary)),
        "browser": Call(webbrowser.open, "http://127.0.0.1:9"), "mkdir": Call(os.mkdir, str(canary)),
    }
    return {name: pickle.dumps(call, 2)[2:-1] for name, call in calls.items()}


def hostile_pickles(canary):
    arrays = weights()
    for name, gadget in gadgets(canary).items():
        yield f"weight-{name}.pt", torch_zip(state(arrays, weight_hh=gadget))
        yield f"beside-{name}.ckpt", torch_zip(entries([("state_dict", state(arrays)), ("hyper_parameters", b"](" + gadget + b"e")]))
        yield f"first-{name}.pt", torch_zip(gadget + b"0" + state(arrays))
        yield f"script-{name}.pt", torch_zip(b"c__torch__.net\nModel\n)\x81}(" + text("rnn") + gadget + b"ub")
        yield f"plain-{name}.pt", stream(gadget)
        device = tensor("0", (20, 3)).replace(text("cpu"), gadget)
        yield f"storage-{name}.pt", torch_zip(state(arrays, weight_ih=device).replace(b"tQ", b"tRQ"))
    for k, (name, gadget) in enumerate(gadgets(canary).items()):
        objects = npy_of_objects(stream(gadget))
        yield f"objects-{name}.npz", zipped({"rnn.weight_hh_l0.npy": objects})
        yield f"renamed-{name}.{('h5', 'keras', 'onnx', 'json', 'msgpack', 'safetensors', 'npz')[k % 7]}", stream(gadget)
    for name, body in {
        "module": b"c__main__\nNet\n)\x81" + entries([("_parameters", b"}"), ("_modules", b"}")]) + b"b", "build": b"}" + b"}b",
        "extension": b"\x82\x01", "persistent": text("x") + b"Q", "nothing": b"", "stack": b"0", "memo": b"h\x07", "two": b"NN",
        "old": b"(ios\nsystem\n", "object": b"(cos\nsystem\no", "buffer": b"\x97", "key": b"}(]Nu", "reduce": b"K\x01)R",
    }.items():
        yield f"odd-{name}.pt", torch_zip(body)
    for method in ("torch.load", "numpy.load", "operator.methodcaller", "functools.partial"):
        module, _, function = method.rpartition(".")
        yield f"opaque-{method}.pt", torch_zip(state(arrays, weight_ih=f"c{module}\n{function}\n(".encode() + text("x") + b"tR"))


def npy_of_objects(pickled):
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + pickled


def wrong_shapes():
    """Shapes, types and numbers that do not meet, in every format."""
    good = weights()
    changes = {
        "short": ("rnn.weight_ih_l0", lambda a: a[:-1]), "narrow": ("rnn.weight_hh_l0", lambda a: a[:, :-1]),
        "flat": ("rnn.weight_hh_l0", np.ravel), "empty": ("rnn.weight_hh_l0", lambda a: a[:0]),
        "nan": ("rnn.weight_hh_l0", lambda a: np.where(a == a[2, 1], np.float32("nan"), a)),
        "inf": ("rnn.weight_ih_l0", lambda a: np.where(a == a[0, 0], np.float32("inf"), a)),
        "long": ("rnn.bias_ih_l0", lambda a: np.tile(a, 3)),
    }
    for name, (which, change) in changes.items():
        arrays = good | {which: np.ascontiguousarray(change(good[which]))}
        yield f"{name}.pt", torch_zip(state(arrays), arrays)
        yield f"{name}.npz", npz(arrays)
        yield f"{name}.safetensors", safetensors(arrays)
        yield f"{name}.json", guitarml(**{which: arrays[which].tolist()})
        kernel = {"rnn.weight_ih_l0": "kernel", "rnn.weight_hh_l0": "recurrent_kernel", "rnn.bias_ih_l0": "bias"}[which]
        of_keras = keras_arrays() | {kernel: np.ascontiguousarray(arrays[which].T)}
        yield f"{name}.h5", legacy(of_keras)
        yield f"{name}.keras", keras(h5=weights_only(of_keras))
        yield f"{name}.rt.json", rtneural(of_keras)
        of_onnx = onnx_arrays() | {{"kernel": "W", "recurrent_kernel": "R", "bias": "B"}[kernel]: arrays[which][None]}
        yield f"{name}.onnx", onnx(of_onnx)
    for name, dtype in (("integers", "i4"), ("complex", "c8"), ("text", "U4"), ("flags", "?")):
        yield f"{name}.npz", npz(good | {"rnn.weight_hh_l0": np.ones((20, 5), dtype)})
    yield "config.h5", legacy(config=CONFIG | {"config": {"layers": [{"class_name": "LSTM", "config": {"name": "other"}}]}})
    for k, config in enumerate((b"[]", b"{", b"{}", b'{"config": 3}',
                                b'{"class_name": "Sequential", "config": {"layers": [{"class_name": 4}]}}',
                                b'{"config": {"layers": [{"class_name": "LSTM", "config": {"name": "rnn", "activation": "os.system"}}]}}',
                                b'{"config": {"layers": [{"class_name": "Bidirectional", "config": {"layer": 7}}]}}')):
        yield f"config{k}.keras", keras(config)
    yield "gates.msgpack", flax(**{"if": {"kernel": flax_array(np.zeros((2, 2), "f4"))}})
    yield "none.msgpack", msgpack.packb({"params": {}})
    for k, (attribute, value) in enumerate((("clip", 1.0), ("direction", "up"), ("activations", ["Sin"] * 3), ("activations", ["Tanh"]))):
        yield f"attribute{k}.onnx", onnx(**{attribute: value})


def huge_sizes():
    """Sizes that are declared and not there."""
    good, big = weights(), 2**40
    for k, change in enumerate((dict(shape=(big, 5)), dict(numel=big), dict(offset=big), dict(stride=(0, 0), shape=(2**31, 2**31)),
                                dict(shape=(2**62, 4)), dict(stride=(2**61, 1)), dict(kind="DoubleStorage"), dict(offset=-8))):
        made = tensor("1", **({"shape": (20, 5)} | change | ({} if "numel" in change else {"numel": 100})))
        yield f"{k}.pt", torch_zip(state(good, weight_hh=made))
    for k, shape in enumerate(((big, 5), (2**63, 2**63), (-1, 5), (10**30,), (0, big), ("a", 5), (20, 5) * 30)):
        header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
        data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(400)
        yield f"{k}.npz", zipped({"rnn.weight_hh_l0.npy": data})
    yield "header.npz", zipped({"rnn.weight_hh_l0.npy": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + b" " * 99})
    for k, size in enumerate((2**63, 2**40, 10**8, 0)):
        yield f"{k}.safetensors", struct.pack("<Q", size) + b"{}" + bytes(64)
    for k, entry in enumerate(({"dtype": "F32", "shape": [big, 5], "data_offsets": [0, big * 20]},
                               {"dtype": "F32", "shape": [20, 5], "data_offsets": [400, 0]},
                               {"dtype": "F32", "shape": [20, 5], "data_offsets": [0, 2**64]},
                               {"dtype": "X", "shape": [], "data_offsets": [0, 0]})):
        yield f"entry{k}.safetensors", safetensors(good, **{"rnn.weight_hh_l0": entry})
    for k, options in enumerate((dict(chunks=(1024, 1024)), dict(chunks=(16384, 16384)), dict(compression="gzip", chunks=(64, 64)), {})):
        yield f"{k}.h5", hdf5(lambda file, options=options: [
            file.create_dataset(f"rnn/{name}:0", (2**20, 2**20), "f4", **options) for name in ("kernel", "recurrent_kernel")])
    yield "attribute.h5", hdf5(lambda file: file.attrs.create("keras_version", np.zeros(2**16 // 8 - 64)))
    for k, dims in enumerate(([1, big, 3], [2**62, 2**62], [-1, 20, 3], [1, 20, 3, 0])):
        yield f"{k}.onnx", onnx({n: a for n, a in onnx_arrays().items() if n != "W"}, tensors=[
            TensorProto(name="W", data_type=TensorProto.FLOAT, dims=dims, raw_data=bytes(240))])
    doubling = [helper.make_node("Concat", [f"c{k}"] * 8, [f"c{k + 1}"], axis=0) for k in range(20)]
    yield "doubling.onnx", onnx({"R": onnx_arrays()["R"], "B": onnx_arrays()["B"], "c0": np.zeros(1000, "f4")}, [
        *doubling, helper.make_node("Identity", ["c20"], ["W"])])
    for k, data in enumerate((b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\xff\xff\xff\xff\x01",
                              b"\xdd\x00\x0f\xff\xff" * 500, b"\x81\xa1a" * 400 + b"\xc0", b"\xdb\xff\xff\xff\xff")):
        yield f"{k}.msgpack", data
    yield "shape.msgpack", flax(ii={"kernel": flax_array(np.zeros(4, "f4"), shape=(big, big))})
    yield "type.msgpack", flax(ii={"kernel": flax_array(np.zeros(4, "f4"), dtype="O")})
    yield "digits.json", b'{"a": ' + b"9" * 10_000 + b"}"
    yield "exponent.json", guitarml(**{"rnn.weight_hh_l0": "@"}).replace(b'"@"', b"[[1e999]]")


def bombs():
    """Small files that unpack to much, and zip files that lie."""
    zeros, good = bytes(140 * 2**20), weights()
    bomb = zipped({"rnn.weight_hh_l0.npy": zeros}, zipfile.ZIP_DEFLATED)
    yield "array.npz", bomb
    yield "nested.npz", zipped({"a.npy": bomb}, zipfile.ZIP_DEFLATED)
    yield "config.keras", keras(b"{" + zeros, method=zipfile.ZIP_DEFLATED)
    yield "h5.keras", keras(h5=b"\x89HDF\r\n\x1a\n" + zeros, method=zipfile.ZIP_DEFLATED)
    yield "pickle.pt", zipped({"net/data.pkl": zeros[:2**23]}, zipfile.ZIP_DEFLATED)
    yield "code.pt", zipped({"net/data.pkl": stream(b"]" + b"N" * 9_000_000 + b"t")})
    del zeros
    whole = torch_zip(state(good))
    yield "opcodes.pt", torch_zip(b"N0" * 300_000 + state(good))
    yield "tuples.pt", torch_zip(b"(" * 50_000 + b"t" * 50_000)
    one_hash = (k * (2**61 - 1) for k in range(9, 9000))  # Python hashes integers modulo 2^61 - 1
    keys = b"".join(b"\x8a\x0a" + key.to_bytes(10, "little") + b"N" for key in one_hash)
    yield "hashes.pt", torch_zip(b"}(" + keys + b"u")
    central = whole.index(b"PK\x01\x02")
    most = b"\xff\xff\xff\x7f"
    for k, (at, value) in enumerate(((24, most), (20, most), (42, most), (8, b"\x01\x00"), (10, b"\x63\x00"))):
        yield f"lie{k}.pt", whole[:central + at] + value + whole[central + at + len(value):]
    first = whole.index(b"PK\x01\x02", central + 4)
    overlapped = bytearray(whole)
    overlapped[first + 42:first + 46] = whole[central + 42:central + 46]
    yield "overlap.pt", bytes(overlapped)
    yield "shared.pt", torch_zip(entries([(f"a{k}", tensor("1", (20, 5))) for k in range(4000)]))


def path_tricks(folder):
    """Names that lead out of the file and out of its folder."""
    good = weights()
    for k, location in enumerate(("../secret", "/etc/passwd", "/dev/zero", "/proc/self/environ", "link", "deep/er", "..", "", "pipe",
                                  "a\0b", "C:\\x")):
        without = {n: a for n, a in onnx_arrays().items() if n != "W"}
        yield f"outside{k}.onnx", onnx(without, tensors=[outside("W", (1, 20, 3), location=location, length=240)])
        index = {"weight_map": {name: location for name in good}}
        yield f"outside{k}.safetensors.index.json", json.dumps(index).encode()
    for k, name in enumerate(("../../evil", "/tmp/evil", "..\\evil", "con", "a/../../evil")):
        yield f"member{k}.npz", zipped({f"{name}.npy": npy(np.zeros(3, "f4"))})
        yield f"member{k}.keras", zipped({name: b"{}", "config.json": b"{}"})
    for k, (target, inner) in enumerate((("/etc/passwd", "/"), ("../secret", "/x"), ("other.h5", "/rnn"))):
        yield f"link{k}.h5", hdf5(lambda file, t=target, i=inner: file.__setitem__("rnn", h5py.ExternalLink(t, i)))
    yield "soft.h5", hdf5(lambda file: file.__setitem__("rnn", h5py.SoftLink("/nowhere")))
    for k, source in enumerate(("/etc/passwd", "/dev/zero", "../secret", "pipe")):
        yield f"raw{k}.h5", hdf5(lambda file, s=source: [file.create_dataset(
            f"rnn/{n}:0", (5, 20), "f4", external=[(s, 0, 400)]) for n in ("kernel", "recurrent_kernel")])
    layout = h5py.VirtualLayout((5, 20), "f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (5, 20))
    yield "virtual.h5", hdf5(lambda file: [file.create_virtual_dataset(f"rnn/{n}:0", layout) for n in ("kernel", "recurrent_kernel")])


def deep_nesting():
    yield "marks.pt", torch_zip(b"(" * 100_000)
    yield "lists.pt", torch_zip(b"]" * 50_000 + b"a" * 49_999)
    yield "dicts.pt", torch_zip((b"}" + text("a")) * 30_000 + b"N" + b"s" * 30_000)
    yield "self.pt", torch_zip(b"}q\x00" + text("self") + b"h\x00s")
    modules = b"c__torch__.a\nB\n)\x81}(" + text("m")
    yield "modules.pt", torch_zip(modules * 5000 + b"N" + b"ub" * 5000)
    yield "arrays.json", b"[" * 200_000
    yield "dicts.json", b'{"a":' * 100_000
    yield "weights.json", guitarml(**{"rnn.weight_hh_l0": "@"}).replace(b'"@"', b"[" * 900 + b"]" * 900)
    yield "maps.msgpack", b"\x81\xa1a" * 900 + b"\xc0"
    yield "config.keras", keras(b'{"config":' * 50_000 + b"{}" + b"}" * 50_000)
    nested = {"class_name": "LSTM", "config": {"name": "rnn"}}
    for _ in range(60):
        nested = {"class_name": "Sequential", "config": {"name": "net", "layers": [nested]}}
    yield "models.keras", keras(nested)
    yield "groups.h5", hdf5(lambda file: file.create_group("/".join("a" * 400)))

    def circle(file):
        file.create_group("a/b")
        file["a/b/c"] = file["a"]
    yield "circle.h5", hdf5(circle)
    inner = empty = helper.make_graph([], "g", [], [])
    for _ in range(30):
        inner = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=empty)], "g", [], [])
    yield "branches.onnx", helper.make_model(inner).SerializeToString()
    chain = [helper.make_node("Identity", [f"c{k}"], [f"c{k + 1}"]) for k in range(3000)]
    yield "chain.onnx", onnx({"R": onnx_arrays()["R"], "B": onnx_arrays()["B"], "c0": onnx_arrays()["W"]}, [
        *chain, helper.make_node("Identity", ["c3000"], ["W"])])
    loop = [helper.make_node("Identity", ["W2"], ["W"]), helper.make_node("Identity", ["W"], ["W2"])]
    yield "loop.onnx", onnx({"R": onnx_arrays()["R"], "B": onnx_arrays()["B"]}, loop)


def twice():
    """One name for two things."""
    good, file = weights(), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings(action="ignore"):
        for _ in range(2):
            archive.writestr(zipfile.ZipInfo("rnn.weight_hh_l0.npy"), npy(good["rnn.weight_hh_l0"]))
    yield "member.npz", file.getvalue()
    yield "pickles.pt", zipped({"a/data.pkl": stream(b"}"), "b/data.pkl": stream(b"}")})
    yield "dicts.pt", torch_zip(entries([("a", state(good)), ("b", state(good))]))
    yield "wrapped.pt", torch_zip(entries([(f"{p}rnn.weight_hh_l0", tensor("1", (20, 5))) for p in ("", "module.")]))
    yield "stack.onnx", onnx(nodes=[helper.make_node("LSTM", ["x", "W", "R", "B"], ["Z"], name="rnn", hidden_size=UNITS)])


# Damage

def damaged(good):
    """(file name, bytes, whether it must be refused) of every good file cut, with bits turned, blocks zeroed, and bytes put in."""
    for kind, data in good.items():
        rng = RNG(sum(kind.encode()))
        for k in range(5):
            yield f"cut{k}.{kind}", data[:int(rng.integers(len(data)))], True
        for k in range(6):
            made = bytearray(data)
            for at in rng.integers(min(len(data), 600), size=1 + k % 3):
                made[at] ^= 1 << int(rng.integers(8))
            yield f"bits{k}.{kind}", bytes(made), False
        for k in range(2):
            at, made = int(rng.integers(len(data))), bytearray(data)
            made[at:at + 40] = bytes(len(made[at:at + 40]))
            yield f"zeros{k}.{kind}", bytes(made), False
            yield f"grown{k}.{kind}", data[:at] + rng.bytes(20) + data[at:], False


def mistaken(good):
    """Files that are not what their names say."""
    kinds = [kind for kind in good if "." not in kind]
    for k, kind in enumerate(kinds):
        other = kinds[(k + 3) % len(kinds)]
        yield f"really-{kind}.{other}", good[kind]
        yield f"nothing.{kind}", b""
        yield f"noise.{kind}", RNG(k).bytes(3000)


BY_ACCIDENT = {"cut", "bits", "zeros", "grown"}


def write_corpus(folder, canary):
    """Writes all files into a folder and returns {name: "refused" or "either"}; the good ones are there as good.EXTENSION, "read"."""
    good, expected = good_files(), {}
    os.symlink("/etc/passwd", folder / "link")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.pt")
    (folder.parent / "secret").write_bytes(bytes(4000))

    def write(name, data, what):
        assert name not in expected, name
        (folder / name).write_bytes(data)
        expected[name] = what

    for kind, data in good.items():
        write(f"good.{kind}", data, "read")
    for name, data, certain in damaged(good):
        write(name, data, "refused" if certain else "either")
    for group, files in {
        "pickle": hostile_pickles(canary), "shape": wrong_shapes(), "size": huge_sizes(), "bomb": bombs(), "path": path_tricks(folder),
        "deep": deep_nesting(), "twice": twice(), "mistaken": mistaken(good),
    }.items():
        for name, data in files:
            write(f"{group}-{name}", data, "refused")
    os.symlink("/dev/zero", folder / "device.npz")
    return expected | {"pipe.pt": "refused", "device.npz": "refused"}
