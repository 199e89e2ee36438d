"""A model file, with the folders that its imports are looked for in -> its module, and the files that it is made of."""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import torch

from hardener.errors import HardenerError
from hardener.models.code.definitions import DefinitionsLoader, defines_network, runs_in_definitions
from hardener.models.code.gone import gone_names
from hardener.models.code.import_advice import import_advice, script_refused, trains_at_import
from hardener.models.code.imports_read import (
    ALIAS,
    NEVER_TWICE,
    fewer_folders,
    folders_added,
    own_package,
    reach_of,
    uppermost,
)
from hardener.models.code.older_timm import older_blocks, run_as_written
from hardener.models.code.printed import few_lines, parsers_without_usage, some_terminal
from hardener.models.code.script_settings import set_as_parsed
from hardener.models.code.stand_ins import MOST as MOST_STAND_INS
from hardener.models.code.stand_ins import StandIns, derives_from_missing
from hardener.models.code.user_code import named_error, user_code


@dataclass(frozen=True)
class ModelFile:
    """A model file and the folders, nearest first, that its imports are looked for in.

    Attributes:
        path: as the user wrote it; of a package the `__init__.py`.
        folders: its own folder, and those above it up to the root; resolved.
    """

    path: Path
    folders: tuple[Path, ...]

    @property
    def own(self) -> Path:
        """The file, resolved."""
        return self.path.resolve()

    @property
    def is_package(self) -> bool:
        """Is it a package's own file?"""
        return self.path.name == "__init__.py"

    @property
    def name(self) -> str:
        """What the network is called."""
        return self.own.parent.name if self.is_package else self.path.stem


@dataclass
class Imported:
    """A model file that is imported, for as long as it is; `left_out`: why its definitions alone were; `absent`: the
    packages that it imports, that are not installed, and that nothing is lost without; `parsed`: names that its main
    part would set by the command line, and that are as that is without arguments; `older`: its classes that run as in
    an older timm; `stand_ins`: for modules that are not to be had."""

    file: ModelFile
    module: ModuleType
    loaded_before: set[str] = field(repr=False)
    left_out: str = ""
    absent: list[str] = field(default_factory=list)
    parsed: list[str] = field(default_factory=list)
    older: list[str] = field(default_factory=list)
    stand_ins: StandIns | None = None

    def see_that_it_is_whole(self) -> None:
        """See that nothing which was built asked for a module that is missing.

        Raises:
            HardenerError: it did.
        """
        if self.stand_ins is not None and self.stand_ins.asked:
            raise self.stand_ins.error

    def modules(self) -> list[ModuleType]:
        """Return the modules of the user's own that are loaded: the model file and what it imports from around it."""
        fresh = [sys.modules[key] for key in sorted(set(sys.modules) - self.loaded_before)]
        return [self.module, *(m for m in fresh if m is not self.module and self.owns(m))]

    def owns(self, module: ModuleType | None) -> bool:
        """Is this a module of the user's own?"""
        file = getattr(module, "__file__", None)
        if module is self.module or not file:
            return module is self.module
        path = Path(file).resolve()
        return path.is_relative_to(self.file.folders[-1]) and "site-packages" not in path.parts

    def sources(self) -> tuple[Path, ...]:
        """Return the model file and the files that were imported from around it."""
        files = {Path(str(m.__file__)).resolve() for m in self.modules() if getattr(m, "__file__", None)}
        return (self.file.path, *sorted(files - {self.file.own}))

    def root(self) -> Path:
        """Return the folder that the imports so far begin at: copied from there, the files import one another again."""
        bases = [self.file.own.parent]
        for module in self.modules():
            if getattr(module, "__file__", None) and module.__name__ in sys.modules:
                path = Path(str(module.__file__)).resolve()
                folder = path.parent if path.name == "__init__.py" else path
                base = folder.parents[module.__name__.count(".")]
                last = module.__name__.removeprefix(ALIAS).split(".")[-1]
                bases += [base] if last == folder.stem else []
        above = [base for base in bases if self.file.own.is_relative_to(base)]
        return min(above, key=lambda base: len(base.parts))


def find_model_file(path: Path, root: Path | None = None) -> ModelFile:
    """Find the folders that a model file's imports are looked for in.

    Args:
        path: a Python file, or a folder with `__init__.py`.
        root: the uppermost of them. By default the repository's, or what the file's own imports need.
    Raises:
        HardenerError: `root` is no folder above the file.
    """
    path = path / "__init__.py" if path.is_dir() else path
    own = path.resolve()
    if root is not None:
        if not own.is_relative_to(root.resolve()) or not root.is_dir():
            raise HardenerError(
                f"--root {root} is no folder above {path}. Name one that its imports begin at; what lies "
                "elsewhere, copy beside the model file."
            )
        top = root.resolve()
    else:
        top = uppermost(own)
    above = [folder for folder in own.parents if folder.is_relative_to(top)]
    return ModelFile(path, tuple(above[1:] if path.name == "__init__.py" and len(above) > 1 else above))


@contextlib.contextmanager
def imported(file: ModelFile) -> Iterator[Imported]:
    """Import a model file; afterwards forget it and what it imported from around it, so that two model files with
    helpers of the same name do not meet.

    Meanwhile the command line is the file's own, without arguments, and what it prints goes to stderr. What it sets of
    torch holds as long. Of a file that trains, fetches data, raises or ends the program then, and that defines a
    network, the definitions alone are imported.

    Raises:
        HardenerError: the file cannot be read as Python, or it does one of these and defines no network.
    """
    sign = trains_at_import(file.path)
    if sign and (file.is_package or not defines_network(file.path)):
        raise script_refused(file.path, sign)
    users = {top for top in {name.partition(".")[0] for name in list(sys.modules)} if _is_users(top, file)}
    shadowed = {name: sys.modules[name] for name in list(sys.modules) if name.partition(".")[0] in users}
    for key in shadowed:
        del sys.modules[key]
    before, path_before, argv = set(sys.modules), list(sys.path), sys.argv
    sys.path[:0] = [*map(str, file.folders), *folders_added(file.own, file.folders)]
    sys.argv = [str(file.path)]
    try:
        with (
            few_lines(sys.stderr),
            some_terminal(),
            parsers_without_usage(),
            _torch_as_it_is(),
            gone_names(file.own) as absent,
            older_blocks(file.own),
        ):
            found = _run_with_stand_ins(file, before, sign)
            found.absent, found.parsed = absent, set_as_parsed(found.module)
            found.older = run_as_written(found.modules())
            try:
                yield found
                found.see_that_it_is_whole()  # what was tried counts too: another would be taken without a word
            except HardenerError:
                found.see_that_it_is_whole()
                raise
            finally:
                if found.stand_ins is not None:
                    found.stand_ins.leave()
    finally:
        _forget(file, before)  # first: a folder without __init__.py knows its place by sys.path
        sys.path[:], sys.argv = path_before, argv
        sys.modules.update(shadowed)
        importlib.invalidate_caches()


@contextlib.contextmanager
def _torch_as_it_is() -> Iterator[None]:
    """Take back what a file sets for all of torch: kinds of number, the device, and whether gradients are kept."""
    number, device, keeps = torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()
    try:
        yield
    finally:
        torch.set_default_dtype(number)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(keeps)


def _run_with_stand_ins(file: ModelFile, before: set[str], sign: str) -> Imported:
    """Import the file; where a module is missing, with what stands in for it, unless that is called or derived from."""
    try:
        return _run(file, before, sign)
    except HardenerError as error:
        stand_ins, fault = StandIns(error), error
    try:
        while len(stand_ins.names) < MOST_STAND_INS:
            cause = fault.__cause__
            name = cause.name if isinstance(cause, ModuleNotFoundError) else None
            if not name or name in stand_ins.names or stand_ins.asked or name in sys.stdlib_module_names:
                break
            _forget(file, before)
            stand_ins.stand_in_for(name)
            try:
                found = _run(file, before, sign)
            except HardenerError as further:
                fault = further
                continue
            if any(derives_from_missing(one) for module in found.modules() for one in vars(module).values()):
                break
            found.stand_ins = stand_ins
            return found
    except BaseException:
        stand_ins.leave()
        raise
    stand_ins.leave()
    raise stand_ins.error


def _run(file: ModelFile, before: set[str], sign: str) -> Imported:
    """Import the file, or its definitions where the rest of it trains, as `sign` says, or fails."""
    if sign:
        return Imported(file, _tried(file, before, definitions=True), before, f"it {sign}")
    try:
        return Imported(file, _tried(file, before), before)
    except HardenerError as error:
        cause = error.__cause__
        line = _failing_line(cause, file)
        if (
            cause is None
            or line is None
            or file.is_package
            or not defines_network(file.own)
            or runs_in_definitions(file.own, line)
        ):
            raise
        _forget(file, before)
        with contextlib.suppress(HardenerError):
            return Imported(file, _tried(file, before, definitions=True), before, f"it raises {named_error(cause)}")
        raise


def _failing_line(error: BaseException | None, file: ModelFile) -> int | None:
    """Return the line of the model file itself that was being imported when an error was raised."""
    trace = None if error is None else error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if code.co_name == "<module>" and Path(code.co_filename) == file.own:
            return trace.tb_lineno
        trace = trace.tb_next
    return None


def _tried(file: ModelFile, before: set[str], *, definitions: bool = False) -> ModuleType:
    """Import the file, its imports from the nearest folder; where that fails, from one farther up.

    A file `models/models.py` says `from models.layers import` of the folder, not of itself.
    """
    try:
        with user_code(str(file.path), when=" when it is imported"):
            try:
                return _import(file, before, definitions=definitions)
            except ImportError as error:
                first = error
            others = [path for path in sys.path if Path(path) not in file.folders]
            for folders in fewer_folders(first, file.folders):
                _forget(file, before)
                sys.path[:] = [*map(str, folders), *others]
                with contextlib.suppress(ImportError):
                    return _import(file, before, definitions=definitions)
            raise first
    except HardenerError as error:
        more = import_advice(error.__cause__, file.path, file.folders)
        raise HardenerError(f"{error}{more}") from error.__cause__


def _import(file: ModelFile, before: set[str], *, definitions: bool) -> ModuleType:
    """Import by the name in its package where the file imports from there, and else alone."""
    relative, own = reach_of(file.own), own_package(file.own)
    if relative or own or file.is_package:
        return _in_package(file, relative, before, own=own if own >= relative else 0, definitions=definitions)
    name, stem = f"hardener_user_model_{re.sub(r'[^a-zA-Z0-9_]', '_', file.path.stem)}", file.path.stem
    free = stem not in {*sys.modules, *sys.stdlib_module_names, *NEVER_TWICE}
    also = stem if free and not any((folder / stem).is_dir() for folder in file.folders) else ""
    return _load(name, file.own, definitions=definitions, also=also)  # what it imports may import it in turn


def _load(name: str, path: Path, *, definitions: bool = False, also: str = "") -> ModuleType:
    """Import this file under this name, and one more: by the name alone another, or a library, might be found."""
    inner = [str(path.parent)] if path.name == "__init__.py" else None
    loader = DefinitionsLoader(name, str(path)) if definitions else None
    spec = importlib.util.spec_from_file_location(name, path, loader=loader, submodule_search_locations=inner)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    if also:
        sys.modules[also] = module
    spec.loader.exec_module(module)
    return module


def _in_package(file: ModelFile, reach: int, before: set[str], *, own: int, definitions: bool) -> ModuleType:
    """Import by name, as Python does. Where a package above the file fails, it is passed over: what fails there may be
    nothing that the file needs. `own`: how far up the package is that it imports by its name; none above counts."""
    folder = file.own.parent
    packages = [folder]
    while len(packages) < max(reach, own, 1) or (not own and (packages[-1].parent / "__init__.py").is_file()):
        packages.append(packages[-1].parent)
    packages.reverse()
    names = [package.name.replace(".", "_") for package in packages]
    names[0] = _free(names[0], before)
    base = str(packages[0].parent)
    if base not in sys.path:
        sys.path.insert(0, base)
    try:
        init = packages[0] / "__init__.py"
        _load(names[0], init) if init.is_file() else _stand_in(names[0], packages[0])
        return _inside(names, file, definitions=definitions)
    except Exception:
        if file.is_package:
            raise
        first = sys.exc_info()[1]
    _forget(file, before)
    for depth, package in enumerate(packages, start=1):
        _stand_in(".".join(names[:depth]), package)
    try:
        return _inside(names, file, definitions=definitions)
    except ImportError as second:
        assert first is not None, "the first import failed"
        raise (second if isinstance(first, ModuleNotFoundError) and first.name == second.name else first) from None


def _inside(names: Sequence[str], file: ModelFile, *, definitions: bool) -> ModuleType:
    """Import a file of a package, or the package itself, whose uppermost part is loaded."""
    inner = ".".join(names)
    if file.is_package or not (definitions or "." in file.path.stem):
        return importlib.import_module(inner if file.is_package else f"{inner}.{file.path.stem}")
    importlib.import_module(inner)
    return _load(f"{inner}.{file.path.stem.replace('.', '_')}", file.own, definitions=definitions)


def _free(top: str, before: set[str]) -> str:
    """Return a package's name, or another one where an installed library bears it and is loaded: `torch`, say."""
    taken = top in sys.stdlib_module_names or top in NEVER_TWICE or top in before
    return f"{ALIAS}{top}" if taken else top


def _stand_in(name: str, folder: Path) -> None:
    """Put an empty package in the place of one, in which its files are found."""
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    sys.modules[name] = importlib.util.module_from_spec(spec)


def _forget(file: ModelFile, before: set[str]) -> None:
    """Drop what was loaded since from around the file, and the stand-ins of packages."""
    for key in [key for key in set(sys.modules) - before if _lies_below(sys.modules[key], file.folders[-1])]:
        del sys.modules[key]


def _lies_below(module: ModuleType, folder: Path) -> bool:
    loaded_from = getattr(module, "__file__", None)
    try:
        places = [loaded_from] if loaded_from else list(getattr(module, "__path__", []))
    except KeyError:  # a folder without __init__.py whose package failed: it asks for that one's place
        return True
    inside = [Path(place).resolve() for place in places]
    return any(path.is_relative_to(folder) and "site-packages" not in path.parts for path in inside)


def _is_users(top: str, file: ModelFile) -> bool:
    """Would the import of this top name find the user's own file, were it not loaded already?"""
    if top in sys.stdlib_module_names or top in NEVER_TWICE or top in {"__main__", "conftest"}:
        return False
    own = [p for f in file.folders for p in (f / f"{top}.py", f / top / "__init__.py") if p.is_file()]
    loaded_from = getattr(sys.modules.get(top), "__file__", None)
    return bool(own) and loaded_from is not None
