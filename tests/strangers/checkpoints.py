"""Checkpoints of all kinds, as strangers bring them: how each is made from a network, and what becomes of it.

A maker writes into a folder and returns what to pass by `--init`. `expect` begins with what happens: `loads`; `loads
with OPTIONS`, refused without them; or `refused: TEXT`. `says`: what is said of a load.
"""

from __future__ import annotations

import argparse
import bz2
import collections
import copy
import datetime
import gzip
import io
import json
import lzma
import pathlib
import pickle
import struct
import sys
import tarfile
import types
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

State = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """One of them."""

    name: str
    make: Callable[[nn.Module, Path], Path]
    expect: str = "loads"
    says: str = ""


TABLE: list[Checkpoint] = []
Maker = Callable[[nn.Module, Path], Any]


def checkpoint(expect: str = "loads", says: str = "", file: str = "w.pt") -> Callable[[Maker], Maker]:
    """Put a maker into the table. What it returns is saved by torch, written as bytes, or is a path already."""

    def register(maker: Maker) -> Maker:
        def make(network: nn.Module, folder: Path) -> Path:
            made = maker(network, folder)
            if isinstance(made, Path):
                return made
            path = folder / file
            if isinstance(made, bytes):
                path.write_bytes(made)
            else:
                torch.save(made, path)
            return path

        TABLE.append(Checkpoint(maker.__name__, make, expect, says))
        return maker

    return register


def state(network: nn.Module) -> State:
    return {name: value.clone() for name, value in network.state_dict().items()}


def other(network: nn.Module) -> State:
    """Weights of the same shapes and other values."""
    return {n: v + 1 if v.is_floating_point() else v for n, v in state(network).items()}


def under(prefix: str, values: State) -> State:
    return {prefix + name: value for name, value in values.items()}


def without(values: State, *names: str) -> State:
    return {name: value for name, value in values.items() if not name.startswith(names)}


class Config:
    """A class of the user's own."""

    def __init__(self) -> None:
        self.width = 4


# ------------------------------------------------------------------------------------- mappings and prefixes
for key in ("state_dict", "model", "net", "network", "model_state_dict", "weights", "params", "params_ema", "ema",
            "model_ema", "state_dict_ema", "generator", "student", "teacher", "best_model"):  # fmt: skip
    TABLE.append(
        Checkpoint(
            f"under_{key}",
            lambda network, folder, key=key: _saved({"epoch": 3, key: state(network)}, folder),  # type: ignore[misc]
        )
    )
for prefix in (
    *("module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "backbone.", "_model.", "encoder.", "1."),
    *("model.module.", "module.encoder_q.", "student.backbone.", "classifier.body.", "algorithm.featurizer."),
):
    TABLE.append(
        Checkpoint(
            f"behind_{prefix}",
            lambda network, folder, p=prefix: _saved({"state_dict": under(p, state(network))}, folder),  # type: ignore[misc]
        )
    )


def _saved(what: Any, folder: Path) -> Path:
    torch.save(what, folder / "w.pth")
    return folder / "w.pth"


@checkpoint()
def three_deep(network: nn.Module, folder: Path) -> Any:
    return {"checkpoint": {"best": {"model": under("module.", state(network))}}, "epoch": 1}


@checkpoint()
def marks_in_the_middle(network: nn.Module, folder: Path) -> Any:
    return {name.replace(".", ".module.", 1): value for name, value in state(network).items()}


@checkpoint()
def backbone_and_head_apart(network: nn.Module, folder: Path) -> Any:
    values = state(network)
    rest = without(values, "fc.")
    return {"state_dict": under("backbone.", rest) | under("head.", {n: v for n, v in values.items() if n not in rest})}


@checkpoint()
def two_state_dicts_in_one(network: nn.Module, folder: Path) -> Any:
    values = state(network)
    parts: dict[str, State] = collections.defaultdict(dict)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        parts[first][rest] = value
    return dict(parts)


@checkpoint(says="w.pt holds state_dict, state_dict_ema .averaged.: state_dict is loaded.*--weights ema")
def timm_with_average(network: nn.Module, folder: Path) -> Any:
    args = argparse.Namespace(model="x", data_dir=pathlib.Path("data"), lr=np.float64(0.1))
    return {"state_dict": state(network), "state_dict_ema": other(network), "arch": "x", "args": args, "metric": 0.5}


@checkpoint(says="--weights ema")
def averaged_first(network: nn.Module, folder: Path) -> Any:
    return {"ema": under("module.", other(network)), "model": state(network)}


@checkpoint(expect="loads with --weights ema", says="weights: model_ema")
def only_the_average_is_ours(network: nn.Module, folder: Path) -> Any:
    return {"model_a": other(network), "model_b": under("x.", other2(network)), "model_ema": state(network)}


def other2(network: nn.Module) -> State:
    return {n: v + 2 if v.is_floating_point() else v for n, v in state(network).items()}


@checkpoint(expect="loads with --weights second", says="weights: second")
def two_and_none_is_an_average(network: nn.Module, folder: Path) -> Any:
    return {"first": other(network), "second": state(network)}


@checkpoint(says="student.backbone, teacher.backbone \\(averaged\\): student.backbone is loaded")
def dino(network: nn.Module, folder: Path) -> Any:
    return {
        "student": under("module.backbone.", state(network)) | {"module.head.mlp.0.weight": torch.ones(3, 3)},
        "teacher": under("backbone.", other(network)),
        "args": argparse.Namespace(arch="vit"),
    }


@checkpoint(says="encoder_k")
def moco(network: nn.Module, folder: Path) -> Any:
    queue = {"module.queue": torch.rand(8, 16), "module.queue_ptr": torch.zeros(1)}
    both = under("module.encoder_q.", state(network)) | under("module.encoder_k.", other(network))
    return {"epoch": 5, "arch": "resnet50", "state_dict": both | queue, "optimizer": {"state": {}, "param_groups": []}}


@checkpoint(says="target_encoder")
def byol(network: nn.Module, folder: Path) -> Any:
    return under("online_encoder.net.", state(network)) | under("target_encoder.net.", other(network))


@checkpoint()
def robustness_library(network: nn.Module, folder: Path) -> Any:
    norm = {"new_mean": torch.rand(3, 1, 1), "new_std": torch.rand(3, 1, 1)}
    return {
        "model": under("module.model.", state(network))
        | under("module.normalizer.", norm)
        | under("module.attacker.model.", state(network))
        | under("module.attacker.normalize.", norm),
        "epoch": 3,
    }


@checkpoint()
def lightning(network: nn.Module, folder: Path) -> Any:
    optimizer = torch.optim.AdamW(network.parameters())
    sum(p.sum() for p in network.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    saved = state(network)
    return {
        "epoch": 9,
        "global_step": 90,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under("model.", saved) | {"criterion.weight": torch.ones(2)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_score": torch.tensor(0.5)}},
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"last_epoch": 1, "base_lrs": [0.1]}],
        "hyper_parameters": {"lr": np.float32(0.1), "root": pathlib.Path("x"), "device": torch.device("cpu")},
    }


@checkpoint()
def fastai(network: nn.Module, folder: Path) -> Any:
    return {"model": state(network), "opt": {"state": [{"mom": torch.ones(3)}], "hypers": [{"lr": 0.1}]}}


@checkpoint()
def mmpretrain(network: nn.Module, folder: Path) -> Any:
    values = state(network)
    moved = {(f"head.{n}" if n.startswith("fc.") else f"backbone.{n}"): v for n, v in values.items()}
    meta = {"time": datetime.datetime(2026, 1, 1), "dataset": {"classes": ("a", "b")}}
    return {"meta": meta, "state_dict": collections.OrderedDict(moved)}


@checkpoint()
def common_facts(network: nn.Module, folder: Path) -> Any:
    return {
        "net": state(network),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("a"), inner=argparse.Namespace(x=1)),
        "acc": np.float64(91.2),
        "epoch": np.int64(3),
        "history": np.arange(6, dtype=np.float32).reshape(2, 3),
        "counts": collections.defaultdict(list, a=[1]),
        "took": datetime.timedelta(seconds=3),
        "when": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
        "dtype": torch.float32,
        "names": ("a", {"b"}, frozenset({"c"})),
        "rng": torch.get_rng_state(),
    }


@checkpoint(says="1 weight of the file lies in parts")
def pruned(network: nn.Module, folder: Path) -> Any:
    prune.l1_unstructured(network.body, "weight", amount=0.3)
    return _then(state(network), lambda: prune.remove(network.body, "weight"))


def _then(made: State, afterwards: Callable[[], Any]) -> State:
    afterwards()
    return made


def _other_form(network: nn.Module, change: Callable[[Any], Any]) -> State:
    """The state of a copy whose body has its weight in another form; the network's own becomes what that answers by."""
    changed: Any = copy.deepcopy(network).eval()
    change(changed.body)
    with torch.no_grad():
        changed.body(torch.zeros(1, 6, 5, 5))
        network.get_parameter("body.weight").copy_(changed.body.weight)
    return state(changed)


@checkpoint(says="1 weight of the file lies in parts")
def spectral_norm(network: nn.Module, folder: Path) -> Any:
    return _other_form(network, nn.utils.spectral_norm)


@checkpoint(says="1 weight of the file lies in parts")
def spectral_norm_parametrized(network: nn.Module, folder: Path) -> Any:
    return _other_form(network, nn.utils.parametrizations.spectral_norm)


@checkpoint(says="1 weight of the file lies in parts")
def weight_norm_parametrized(network: nn.Module, folder: Path) -> Any:
    return _other_form(network, nn.utils.parametrizations.weight_norm)


@checkpoint(says="state_dict.ema .averaged.: state_dict is loaded. For the others: --weights ema")
def mmcv_averages_flat_names(network: nn.Module, folder: Path) -> Any:
    flat = {f"ema_{name.replace('.', '_')}": value for name, value in other(network).items()}
    return {"state_dict": {**state(network), **flat}}


@checkpoint()
def half_numbers(network: nn.Module, folder: Path) -> Any:
    with torch.no_grad():
        for value in (*network.parameters(), *network.buffers()):
            value.copy_(value.half())
    return {"state_dict": {n: v.half() if v.is_floating_point() else v for n, v in state(network).items()}}


@checkpoint()
def before_batches_were_counted(network: nn.Module, folder: Path) -> Any:
    return {n: v for n, v in state(network).items() if not n.endswith("num_batches_tracked")}


# ---------------------------------------------------------------------------------------------- other containers
def _safe(network: nn.Module, path: Path, values: State | None = None) -> Path:
    save_file({n: v.contiguous() for n, v in (values or state(network)).items()}, path)
    return path


@checkpoint()
def safetensors(network: nn.Module, folder: Path) -> Any:
    return _safe(network, folder / "w.safetensors")


@checkpoint()
def safetensors_under_another_name(network: nn.Module, folder: Path) -> Any:
    return _safe(network, folder / "pytorch_model.bin", under("module.", state(network)))


@checkpoint()
def torch_under_the_name_of_safetensors(network: nn.Module, folder: Path) -> Any:
    torch.save(state(network), folder / "w.safetensors")
    return folder / "w.safetensors"


@checkpoint()
def old_torch(network: nn.Module, folder: Path) -> Any:
    torch.save({"state_dict": state(network)}, folder / "w.tar", _use_new_zipfile_serialization=False)
    return folder / "w.tar"


def _shards(network: nn.Module, folder: Path, *, safe: bool) -> Path:
    values = list(state(network).items())
    names = ["part-1-of-2." + ("safetensors" if safe else "bin"), "part-2-of-2." + ("safetensors" if safe else "bin")]
    parts = [dict(values[: len(values) // 2]), dict(values[len(values) // 2 :])]
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name) if safe else torch.save(part, folder / name)
    index = folder / ("model.safetensors.index.json" if safe else "pytorch_model.bin.index.json")
    where = {key: name for name, part in zip(names, parts, strict=True) for key in part}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
    return index


@checkpoint()
def sharded_safetensors(network: nn.Module, folder: Path) -> Any:
    return _shards(network, folder, safe=True)


@checkpoint()
def sharded_torch_folder(network: nn.Module, folder: Path) -> Any:
    return _shards(network, folder, safe=False).parent


@checkpoint()
def hugging_face_folder(network: nn.Module, folder: Path) -> Any:
    (folder / "config.json").write_text("{}")
    return _safe(network, folder / "model.safetensors").parent


@checkpoint(expect="refused: 1 are not beside it: part-2-of-2.safetensors")
def shard_missing(network: nn.Module, folder: Path) -> Any:
    index = _shards(network, folder, safe=True)
    (folder / "part-2-of-2.safetensors").unlink()
    return index


@checkpoint(expect="refused: no other file is read")
def shard_outside(network: nn.Module, folder: Path) -> Any:
    index = _shards(network, folder, safe=True)
    index.write_text(index.read_text().replace("part-2", "../part-2"))
    return index


@checkpoint(expect="refused: the shards are of another checkpoint")
def shard_without_its_tensor(network: nn.Module, folder: Path) -> Any:
    index = _shards(network, folder, safe=True)
    save_file({"x": torch.ones(1)}, folder / "part-2-of-2.safetensors")
    return index


# --------------------------------------------------------------------------------------------------- code in files
@checkpoint(expect="loads with --allow-pickle")
def of_the_users_own_class(network: nn.Module, folder: Path) -> Any:
    return {"state_dict": state(network), "config": Config()}


def _renamed(blob: bytes, *, module: str, cls: str) -> bytes:
    """Write another module into pickled classes, as a script elsewhere would."""
    own = f"c{Config.__module__}\nConfig\n".encode()
    assert own in blob
    return blob.replace(own, f"c{module}\n{cls}\n".encode())


@checkpoint(expect="loads with --allow-pickle", says="holds lost.config.Config, which nothing here defines")
def of_a_class_that_is_gone(network: nn.Module, folder: Path) -> Any:
    held = io.BytesIO()
    torch.save({"state_dict": state(network), "c": Config()}, held, _use_new_zipfile_serialization=False)
    return _renamed(held.getvalue(), module="lost.config", cls="Config")


@checkpoint(expect="loads with --allow-pickle")
def whole_network(network: nn.Module, folder: Path) -> Any:
    return copy.deepcopy(network)


@checkpoint(expect="loads with --allow-pickle")
def whole_network_under_a_key(network: nn.Module, folder: Path) -> Any:
    return {"model": nn.DataParallel(copy.deepcopy(network)), "epoch": 3}


def _of_another_module(network: nn.Module, module: str) -> bytes:
    cls = type(network)
    was, cls.__module__ = cls.__module__, module
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    setattr(sys.modules[module], cls.__name__, cls)
    held = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that its source is not found
            torch.save(network, held, _use_new_zipfile_serialization=False)
    finally:
        cls.__module__ = was
        for name, had in before.items():
            del sys.modules[name]
            if had is not None:
                sys.modules[name] = had
    return held.getvalue()


@checkpoint(expect="loads with --allow-pickle")
def whole_network_of_a_script(network: nn.Module, folder: Path) -> Any:
    return _of_another_module(network, "__main__")


@checkpoint(expect="loads with --allow-pickle")
def whole_network_of_a_module_that_is_gone(network: nn.Module, folder: Path) -> Any:
    return _of_another_module(network, "src_of_somebody.models.net")


@checkpoint(expect="loads with --allow-pickle", says="its weights were taken")
def torchscript(network: nn.Module, folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(network.eval(), torch.rand(2, 3, 8, 8)).save(str(folder / "w.pt"))
    return folder / "w.pt"


@checkpoint(expect="loads with --allow-pickle")
def plain_pickle(network: nn.Module, folder: Path) -> Any:
    return pickle.dumps({"model": {n: v.numpy() for n, v in state(network).items()}})


@checkpoint(expect="loads with --allow-pickle")
def torch_tar(network: nn.Module, folder: Path) -> Any:
    """The form of torch 0.1: numbers, tensors and what holds them, each a file of a tar."""
    storages, tensors, stored = io.BytesIO(), io.BytesIO(), {}
    named = state(network)
    for out in (storages, tensors):
        pickle.dump(len(named), out, protocol=2)
    for number, (name, value) in enumerate(named.items()):
        kind = torch.LongStorage if value.dtype == torch.int64 else torch.FloatStorage
        pickle.dump((number, "cpu", kind), storages, protocol=2)
        flat = value.contiguous().flatten()
        storages.write(struct.pack("<q", flat.numel()) + flat.numpy().tobytes())
        key = 1000 + number
        pickle.dump((key, number, torch.FloatTensor), tensors, protocol=2)
        strides = value.contiguous().stride()
        tensors.write(struct.pack("<ii", value.ndim, 0) + struct.pack(f"<{value.ndim}q", *value.shape))
        tensors.write(struct.pack(f"<{value.ndim}q", *strides) + struct.pack("<q", 0))
        stored[name] = key
    pickle.dump([], storages, protocol=2)
    held = io.BytesIO()
    pickler = _ByNumber(held)
    pickler.dump({name: _Numbered(key) for name, key in stored.items()})
    path = folder / "w.pth"
    with tarfile.open(path, "w") as archive:
        for inner, blob in (
            ("sys_info", pickle.dumps({"little_endian": True}, protocol=2)),
            ("pickle", held.getvalue()),
            ("tensors", tensors.getvalue()),
            ("storages", storages.getvalue()),
        ):
            info = tarfile.TarInfo(inner)
            info.size = len(blob)
            archive.addfile(info, io.BytesIO(blob))
    return path


@dataclass
class _Numbered:
    key: int


class _ByNumber(pickle.Pickler):
    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)

    def persistent_id(self, obj: Any) -> Any:
        return obj.key if isinstance(obj, _Numbered) else None


# ------------------------------------------------------------------------------------------- not for this network
@checkpoint(expect="loads with --replace-head")
def head_left_out(network: nn.Module, folder: Path) -> Any:
    return under("backbone.", without(state(network), "fc."))


@checkpoint(expect="loads with --replace-head")
def head_of_other_classes(network: nn.Module, folder: Path) -> Any:
    return state(network) | {"fc.weight": torch.rand(1000, 6), "fc.bias": torch.rand(1000)}


@checkpoint(expect="refused: stem.0.weight (6, 3, 3, 3), nearest stem.zero.weight (6, 3, 3, 3)")
def one_tensor_is_called_otherwise(network: nn.Module, folder: Path) -> Any:
    values = state(network)
    return {("stem.zero.weight" if n == "stem.0.weight" else n): v for n, v in values.items()}


@checkpoint(expect="refused: stem.0.weight is (9, 3, 3, 3) in the file and (6, 3, 3, 3) in the model")
def other_width(network: nn.Module, folder: Path) -> Any:
    return state(network) | {"stem.0.weight": torch.rand(9, 3, 3, 3)}


@checkpoint(expect="refused: no name in it is the model's")
def shapes_alone(network: nn.Module, folder: Path) -> Any:
    return {f"layer_{chr(97 + i)}": value for i, value in enumerate(state(network).values())}


@checkpoint(expect="refused: tensors without names")
def list_of_tensors(network: nn.Module, folder: Path) -> Any:
    return {"shadow_params": list(state(network).values()), "decay": 0.99}


@checkpoint(expect="refused: state of an optimizer")
def optimizer_alone(network: nn.Module, folder: Path) -> Any:
    optimizer = torch.optim.AdamW(network.parameters())
    sum(p.sum() for p in network.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    return optimizer.state_dict()


@checkpoint(expect="refused: holds no state dict")
def facts_alone(network: nn.Module, folder: Path) -> Any:
    return {"epoch": 3, "lr": 0.1}


@checkpoint(expect="refused: numbers in stem.0.weight that are not finite")
def diverged(network: nn.Module, folder: Path) -> Any:
    return state(network) | {"stem.0.weight": torch.full((6, 3, 3, 3), float("nan"))}


# --------------------------------------------------------------------------------------------------- other things
def _torch_bytes(network: nn.Module) -> bytes:
    held = io.BytesIO()
    torch.save(state(network), held)
    return held.getvalue()


OTHERS: list[tuple[str, str, str, Callable[[nn.Module], bytes]]] = [
    ("hdf5", "w.h5", "Keras", lambda n: b"\x89HDF\r\n\x1a\n" + bytes(64)),
    ("gzip_of_torch", "w.pth.gz", "packed with gzip. Unpack it", lambda n: gzip.compress(_torch_bytes(n))),
    ("bz2_of_torch", "w.pth", "packed with bzip2", lambda n: bz2.compress(_torch_bytes(n))),
    ("xz_of_torch", "w.pth", "packed with xz", lambda n: lzma.compress(_torch_bytes(n))),
    ("lfs_pointer", "w.pth", "git lfs pull", lambda n: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
    ("web_page", "w.pth", "a web page", lambda n: b"\n<!DOCTYPE html><html><body>Sign in</body></html>"),
    ("xml", "w.xml", "an XML text", lambda n: b"<?xml version='1.0'?><net/>"),
    ("json", "config.json", "a JSON text", lambda n: b'{"architectures": ["ResNet"]}'),
    ("error_as_json", "w.pth", "a JSON text", lambda n: b'{"error": "Access denied"}'),
    ("python_file", "net.py", "MODEL is the code", lambda n: b"import torch\n\nclass Net: pass\n"),
    ("empty", "w.pth", "is empty", lambda n: b""),
    ("cut_short", "w.pth", "cut short", lambda n: _torch_bytes(n)[:-900]),
    ("noise", "w.pth", "as no known kind does", lambda n: bytes(range(200, 256)) * 4),
    ("onnx", "w.onnx", "an ONNX file", lambda n: b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:" + bytes(20)),
    ("onnx_otherwise_called", "w.pth", "an ONNX file", lambda n: b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:" + bytes(20)),
    ("gguf", "w.gguf", "a GGUF file", lambda n: b"GGUF\x03\x00\x00\x00" + bytes(20)),
    ("npy", "w.npy", "one NumPy array", lambda n: b"\x93NUMPY\x01\x00" + bytes(60)),
    ("flax", "w.msgpack", "Flax", lambda n: b"\x81\xa6params\x81\xa6kernel\xc4\x02ab"),
    ("tflite", "w.tflite", "TensorFlow Lite", lambda n: b"\x1c\x00\x00\x00TFL3" + bytes(30)),
    ("tf_index", "model.ckpt.index", "TensorFlow checkpoint", lambda n: b"\x00\x00\x16\x08\x01" + bytes(30)),
    ("tf_data", "model.ckpt.data-00000-of-00001", "TensorFlow checkpoint", lambda n: b"\x3f\x80\x00\x00\x99" * 9),
    ("picture", "w.pth", "an image", lambda n: b"\x89PNG\r\n\x1a\n" + bytes(30)),
    ("huge_header", "w.safetensors", "a header of", lambda n: struct.pack("<Q", 10**12) + b'{"a":1}'),
    ("short_safetensors", "w.safetensors", "cut short", lambda n: struct.pack("<Q", 4000) + b'{"a":1}'),
]
for _name, _file, _text, _bytes in OTHERS:
    TABLE.append(
        Checkpoint(
            _name,
            lambda n, folder, file=_file, make=_bytes: _written(folder / file, make(n)),  # type: ignore[misc]
            f"refused: {_text}",
        )
    )


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _zipped(entries: dict[str, bytes], compress: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compress) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return held.getvalue()


@checkpoint(expect="refused: a zip that holds net/w.pth. Unpack it", file="w.zip")
def zip_of_torch(network: nn.Module, folder: Path) -> Any:
    return _zipped({"net/w.pth": _torch_bytes(network)})


@checkpoint(expect="refused: would unpack to")
def zip_bomb(network: nn.Module, folder: Path) -> Any:
    return _zipped({"archive/data.pkl": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)


@checkpoint(expect="refused: Keras 3", file="w.keras")
def keras_3(network: nn.Module, folder: Path) -> Any:
    return _zipped({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"x"})


@checkpoint(expect="refused: NumPy arrays", file="w.npz")
def npz(network: nn.Module, folder: Path) -> Any:
    arrays: Any = {n: v.numpy() for n, v in state(network).items()}
    np.savez(folder / "w.npz", **arrays)
    return folder / "w.npz"


@checkpoint(expect="refused: a tar archive that holds w.pth. Unpack it")
def tar_of_torch(network: nn.Module, folder: Path) -> Any:
    (folder / "w.pth").write_bytes(_torch_bytes(network))
    with tarfile.open(folder / "w.tar", "w") as archive:
        archive.add(folder / "w.pth", "w.pth")
    return folder / "w.tar"


@checkpoint(expect="refused: a TensorFlow SavedModel")
def saved_model(network: nn.Module, folder: Path) -> Any:
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    return folder / "saved"


@checkpoint(expect="refused: dcp_to_torch")
def distributed(network: nn.Module, folder: Path) -> Any:
    (folder / ".metadata").touch()
    (folder / "__0_0.distcp").touch()
    return folder


@checkpoint(expect="refused: Name the file: --init")
def folder_of_checkpoints(network: nn.Module, folder: Path) -> Any:
    torch.save(state(network), folder / "last.ckpt")
    return folder
