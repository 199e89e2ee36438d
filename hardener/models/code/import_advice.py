"""What to do where a model file cannot be imported: what is missing, what is too old, what trains."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import importlib.util
import itertools
import platform
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hardener.errors import HardenerError
from hardener.models.code.files_read import unheard
from hardener.models.code.imports_read import ALIAS, imported_names, is_repository, stands_in
from hardener.models.code.source_code import called_name
from hardener.models.code.user_code import place_of

PACKAGE_NAMES = {
    "cv2": "opencv-python",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
    "pytorch_lightning": "pytorch-lightning",
    "efficientnet_pytorch": "efficientnet-pytorch",
    "pl_bolts": "lightning-bolts",
    "mmcv": "mmcv-lite",
    "tensorboardX": "tensorboardX",
    "bs4": "beautifulsoup4",
    "attr": "attrs",
    "dateutil": "python-dateutil",
    "ptflops": "ptflops",
    "torch_geometric": "torch-geometric",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "vit_pytorch": "vit-pytorch",
    "open_clip": "open-clip-torch",
    "clip": "openai-clip",
    "rotary_embedding_torch": "rotary-embedding-torch",
    "matplotlib": "matplotlib",
    "autoattack": "git+https://github.com/fra31/auto-attack",
    "pkg_resources": '"setuptools<81"',
    "tensorflow": "tensorflow",
    "keras": "keras",
}
"""What is imported -> what is installed, where the two differ or the difference is often asked for."""
_KNOWN = {
    "accelerate", "albumentations", "apex", "avalanche", "catalyst", "detectron2", "diffusers", "dgl", "easydict",
    "einops", "fairscale", "fastai", "fire", "foolbox", "functorch", "fvcore", "geffnet", "gin", "h5py", "hydra",
    "ignite", "imageio", "imgaug", "inplace_abn", "iopath", "joblib", "jsonargparse", "kornia", "lightning", "lmdb",
    "loguru", "mamba_ssm", "medmnist", "ml_collections", "mmcls", "mmdet", "mmengine", "mmpretrain", "mmseg", "monai",
    "natten", "nltk", "numba", "nvidia", "omegaconf", "pandas", "peft", "plotly", "prettytable", "pretrainedmodels",
    "psutil", "pydantic", "ray", "requests", "resnest", "robustbench", "safetensors", "scipy", "seaborn",
    "sentencepiece", "simplejson", "skorch", "spikingjelly", "sympy", "tabulate", "tensorboard", "tensorboard_logger",
    "termcolor", "thop", "timm", "tokenizers", "torchaudio", "torchattacks", "torchinfo", "torchmetrics", "torchnet",
    "torchstat", "torchsummary", "torchsummaryX", "torchtext", "torchtoolbox", "tqdm", "transformers", "triton",
    "visdom", "wandb", "xformers", "yacs",
}  # fmt: skip
"""Packages that model files import; also known is what the repository's own list of requirements names."""
_REQUIREMENTS = (
    "requirements*.txt",
    "requirements/*.txt",
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "*.yml",
    "*.yaml",
)
_OF_A_REPOSITORY = {
    "utils", "util", "models", "model", "layers", "layer", "modules", "module", "config", "configs", "lib", "libs",
    "src", "core", "common", "tools", "data", "dataset", "datasets", "networks", "network", "nets", "ops", "options",
    "backbone", "backbones", "blocks", "losses", "loss", "registry", "helpers", "functions", "archs", "basic", "base",
}  # fmt: skip
_GONE = {"torch.utils.serialization": "torch.load and torch.save do its work"}
"""What newer versions no longer have, and where its work is done now; see also `hardener.models.code.gone`."""
_MOST_REQUIREMENTS = 100_000  # bytes
_INSTALLED = {"site-packages", "dist-packages", ".venv", "venv", "env", "build"}
_OF_312 = re.compile(r"\s*(type\s+\w+\s*[=\[]|(async\s+)?def\s+\w+\[|class\s+\w+\[)")
_MAIN = 'put what only a script does below `if __name__ == "__main__":`, or the network into a file of its own'


def import_advice(error: BaseException | None, path: Path, folders: Sequence[Path]) -> str:
    """Return what to do against an error that a model file raised when it was imported, as the end of a message."""
    if isinstance(error, SyntaxError):
        where = f"{Path(error.filename or path).name}, line {error.lineno}"
        code = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        old = "print" in str(error) or "exec" in str(error) or "inconsistent use of tabs" in str(error)
        told = " It was written for Python 2: convert it to Python 3 first." if old or "except" in code else ""
        return f" ({where}{code}).{told or _newer(error)}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f". {_missing(error, path, folders)}"
    if isinstance(error, ImportError):
        nothing = "(unknown location)" in str(error)  # a folder without a file in it is a package to Python
        if nothing and (fetched := _submodule((error.name or "").removeprefix(ALIAS), folders)) is not None:
            return f". {fetched}"
        return next((f". Newer versions do not have it: {now}." for old, now in _GONE.items() if old in str(error)), "")
    if isinstance(error, FileNotFoundError) and error.filename and not Path(error.filename).is_absolute():
        lies = next((folder for folder in folders if (folder / error.filename).exists()), None)
        if lies is not None:
            return f". It lies in {lies}. Type this first: cd {shlex.quote(str(lies))}"
    return f". If that is no part of the network, {_MAIN}." if isinstance(error, OSError) else ""


def _newer(error: SyntaxError) -> str:
    """Say that a line is of Python 3.12: quotes within an f-string's own, `type A = int`, `def f[T](x: T)`."""
    if sys.version_info >= (3, 12) or not ("f-string" in str(error) or _OF_312.match(error.text or "")):
        return ""
    return f" Python 3.12 may read this line, and this is {platform.python_version()}: install hardener with that one."


def _missing(error: ModuleNotFoundError, path: Path, folders: Sequence[Path]) -> str:
    """Say where a module that was not found can come from."""
    name = (error.name or "").removeprefix(ALIAS)
    if name in _GONE:
        return f"Newer versions do not have it: {_GONE[name]}."
    top = name.partition(".")[0]
    lies = next(_places(top, folders), None)
    if lies is not None:
        return f"It lies in {lies}: pass --root {lies}, or move the model file."
    if (fetched := _submodule(name, folders)) is not None:
        return fetched
    file = _asked(name, error, path)
    holds = next((folder for folder in folders if stands_in(top, folder)), None)
    if holds is not None and top != name:
        return f"{holds} has no {file}, which is a part of the repository that the file comes from: put it there."
    below = _below(top, folders[-1])
    if below is not None:
        return f"It lies in {below}: put a copy of it beside {path.name}."
    if top != name and importlib.util.find_spec(top) is not None:
        return f"{_version(top)} has no {name}: the file was written for another version of {top}."
    if top in _OF_A_REPOSITORY:
        return (
            f"{top} is a part of the repository that the file comes from, and {file} is not here: put it beside the "
            f"model file, or pass --root DIR, a folder above that one which holds {top}."
        )
    if top in PACKAGE_NAMES or top in _KNOWN or _is_required(top, folders):
        return f"Install it: pip install {PACKAGE_NAMES.get(top, top)}"
    return (
        f"No {file} is here, and hardener knows no package {top}. Where it is a part of the repository that the file "
        "comes from, put it beside the model file; where it is a package, install that."
    )


def _submodule(name: str, folders: Sequence[Path]) -> str | None:
    """Return how a repository within the repository is fetched, where the module would lie in it; else None."""
    for folder in dict.fromkeys(folders):
        told = ""
        with contextlib.suppress(OSError, UnicodeDecodeError), unheard():
            told = (folder / ".gitmodules").read_text()
        for section in told.split("[submodule")[1:]:
            way, url = (re.search(rf"^\s*{key}\s*=\s*(\S+)", section, re.M) for key in ("path", "url"))
            if way is None or url is None:
                continue
            place = folder / way[1]
            if place.is_dir() and any(place.iterdir()):
                continue
            if not {*Path(way[1]).parts, Path(url[1]).stem}.isdisjoint(name.split(".")):
                fetch = ["git", "clone", url[1], str(place)]
                if (folder / ".git").exists():  # of the version that belongs to the repository
                    fetch = ["git", "-C", str(folder), "submodule", "update", "--init", way[1]]
                return (
                    f"It is a part of {url[1]}, which the repository brings as a submodule, and {place} is empty. "
                    f"Type this first: {shlex.join(fetch)}"
                )
    return None


def _asked(name: str, error: BaseException, path: Path) -> str:
    """Return the file that a missing module would be: ops/drop.py where `ops` is missed by `from ops.drop import x`."""
    place = place_of(error)
    names = [one for one in imported_names(path if place is None else place.file) if f"{one}.".startswith(f"{name}.")]
    return f"{max(names, key=len, default=name).replace('.', '/')}.py"


def _below(top: str, root: Path) -> Path | None:
    """Return where a repository holds a module, outside of the folders that were looked in; None where nowhere."""
    if not is_repository(root):
        return None  # a home folder, say, is not searched
    found = itertools.chain(root.glob(f"*/{top}.py"), root.glob(f"*/*/{top}.py"), root.glob(f"*/{top}/__init__.py"))
    place = next((path for path in found if not _INSTALLED & set(path.parts)), None)
    return place.parent if place is not None and place.name == "__init__.py" else place


def _is_required(top: str, folders: Sequence[Path]) -> bool:
    """Does the repository say that it needs a package of this name?"""
    word = re.compile(rf"(?<![\w.-]){re.escape(top).replace('_', '[-_]')}(?![\w-])", re.IGNORECASE)
    for path in (path for folder in folders for pattern in _REQUIREMENTS for path in folder.glob(pattern)):
        with contextlib.suppress(OSError, UnicodeDecodeError), unheard():
            if path.stat().st_size < _MOST_REQUIREMENTS and word.search(path.read_text()):
                return True
    return False


def _version(top: str) -> str:
    """Return an installed package with its version, where that is known: `timm 1.0.31`."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"{top} {importlib.metadata.version(PACKAGE_NAMES.get(top, top))}"
    return f"the {top} that is installed"


def _places(top: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield folders above the model file, outside of those that were looked in, that hold this module."""
    for folder in list(folders[-1].parents)[:3]:
        if (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file():
            yield folder


def trains_at_import(path: Path) -> str:
    """Say what a file does when it is imported, where it trains or fetches data, and in which line; else nothing."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return ""  # importing it says more
    functions = [one for one in tree.body if isinstance(one, ast.FunctionDef)]
    trained = {one.name: sign for one in functions if (sign := training_sign(one))}
    for _ in functions:  # and those that call them
        trained |= {f.name: sign for f in functions if f.name not in trained and (sign := _called(f, trained))}
    for statement in _run_at_import(tree.body):
        if sign := training_sign(statement) or _called(statement, trained):
            return f"{sign} ({path.name}, line {statement.lineno})"
    return ""


def script_refused(path: Path, sign: str) -> HardenerError:
    """Return the error of a file that trains when it is imported, and defines no network."""
    return HardenerError(
        f"{path} is a script: when it is imported, it {sign}. hardener imports the model file and does the training "
        f"itself: {_MAIN}."
    )


def training_sign(statement: ast.stmt) -> str:
    """Say what a statement does, or a function, where it trains or fetches data; else nothing."""
    return next((sign for node in _nodes_run(statement) if (sign := _sign(node))), "")


def _called(statement: ast.stmt, functions: Mapping[str, str]) -> str:
    """Say what a statement does by calling one of these functions of the file; else nothing."""
    called = (node.func for node in _nodes_run(statement) if isinstance(node, ast.Call))
    names = (function.id for function in called if isinstance(function, ast.Name))
    return next((functions[name] for name in names if name in functions), "")


def _run_at_import(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the simple statements and loops that run when a module is imported."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(statement, ast.If):
            if not asks_for_main(statement.test):
                yield from _run_at_import(statement.body)
            yield from _run_at_import(statement.orelse)
        elif isinstance(statement, ast.Try | ast.With):
            yield from _run_at_import(statement.body)
        else:
            yield statement


def asks_for_main(test: ast.expr) -> bool:
    """Does a condition ask whether the file is run as a program?"""
    return any(isinstance(node, ast.Name) and node.id == "__name__" for node in ast.walk(test))


def _nodes_run(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes of a statement that run with it, not those of functions in it; of a function, all of it."""
    pending: list[ast.AST] = [*statement.body] if isinstance(statement, ast.FunctionDef) else [statement]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)


def _sign(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    called = called_name(node)
    if called == "backward":
        return "trains a network"
    if called == "DataLoader":
        return "opens its data"
    if any(keyword.arg == "download" and getattr(keyword.value, "value", False) for keyword in node.keywords):
        return "downloads data"
    return ""
