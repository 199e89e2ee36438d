"""Whatever the user's own code raises -> one error with its file, its line, what went in, and what to try.

No torch is imported here, so that the doors for errors may ask without it.
"""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hardener.errors import Failure, HardenerError
from hardener.models.code.imports_read import stands_in

_OWN = Path(__file__).resolve().parents[2]
_STDLIB = tuple(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib"))
_INSTALLED = {"site-packages", "dist-packages"}
_TYPED = ("<ipython-input", "<stdin>")
_MOST_ABOVE = 4  # folders
_MOST_CODE, _MOST_TEXT, _MOST_INPUTS, _MOST_LISTED = 80, 300, 3, 8
_NAMES = re.compile(r"(?<![\w.\"'])(?!assert\b)[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?![\w.(\"'])")
_ENDS = (
    ". It ends the program there: put what only a script does, such as reading arguments, below "
    '`if __name__ == "__main__":`.'
)
_FIXED = "a fixed number of images or of features stands there: write x.flatten(1), which keeps the batch as it is"
_SHAPES = re.compile(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x\d+\)")
_FLAT = (
    "the layer takes each image as one row of numbers: write x = x.flatten(1) first in forward, or put the network "
    "behind nn.Flatten() in a build_model(num_classes)"
)
_FIXED_BATCH = re.compile(r"\.(view|reshape)\(\(?\s*[0-9]+\s*,")
_KEY = re.compile(r"\b(\w+)\[[\"']")
_REQUIRED = re.compile(r"following arguments are required: (.+)")
_FETCHES = (
    r"urlopen error|HTTP Error|Name or service not known|Connection(Error| refused| reset)|Max retries"
    r"|(locate|find) the (requested )?files? (on the Hub|in the local cache)|outgoing traffic has been disabled"
)

ADVICE = (
    (
        r"(?<!__init__\(\) )missing \d+ required positional argument",
        "hardener calls the model with the images alone: give what else forward takes a default, such as y=None, and "
        "return the logits where it is None",
    ),
    (r"view size is not compatible", "write .flatten(1) or .reshape(…) in place of .view(…)"),
    (
        r"shape '\[.*\]' is invalid for input of size",
        _FIXED,
    ),
    (r"shapes cannot be multiplied|size mismatch", "the network is built for another size of images: try --image-size"),
    (
        r"Calculated padded input size|[Oo]utput size is too small|smaller than the kernel|non-zero size|too small",
        "the images are too small for the network: try a larger --image-size",
    ),
    (
        r"to have \d+ channels, but got (?![13] )\d+ channels",
        "the dimensions are in another order there: images go in as (batch, channels, height, width)",
    ),
    (
        r"expected input.* to have \d+ channels",
        "the network takes another number of channels: try --set data.channels=1 or --set data.channels=3",
    ),
    (r"more than 1 value per channel", "batch norm cannot train on one image: raise --batch-size to 2 or more"),
    (
        r"not compiled with CUDA|cuda\.\w+ not available|no NVIDIA driver|No CUDA|CUDA driver|no kernel image|"
        r"invalid device ordinal",
        "the code asks for a GPU that is not here: write .to(x.device) in place of .cuda(), and leave the device to "
        "--device",
    ),
    (
        r"on the same device|found at least two devices",
        "a tensor lies on another device: make it with device=x.device, or keep it with register_buffer",
    ),
    (
        r"leaf [Vv]ariable that requires grad|leaf Variable has been moved|view of a leaf",
        "the code changes its input in place, which an attack cannot follow: write x = x * a in place of x.mul_(a)",
    ),
    (
        r"modified by an inplace operation",
        "something that the gradient needs is changed in place: write x = x + a in place of x += a",
    ),
    (
        r"same dtype|expected scalar type|dtype|should be the same",
        "numbers of two kinds meet: make tensors with dtype=x.dtype, and leave .half() and .double() out",
    ),
    (
        r"couldn't connect to 'https://huggingface.co'",
        "HuggingFace's hub cannot be reached: where it can be, type hf download with the name that the line has, and "
        "copy ~/.cache/huggingface here; or build the network of its configuration, without from_pretrained",
    ),
    (
        _FETCHES,
        "it fetches weights from the net, which cannot be reached: switch that off there, as by pretrained=False or "
        "weights=None, and give weights by --init",
    ),
    (
        r"'float' object cannot be interpreted as an integer|slice indices must be integers|tuple of ints.* float",
        "a division gives a number with a fraction in Python 3: write // in place of /",
    ),
    (r"does not require grad|no grad_fn", "no gradient reaches the parameters: is there a torch.no_grad or a .detach?"),
)
"""What an error says -> what to try."""


@dataclass(frozen=True)
class Place:
    """A line of code, and the frame that was there when an error passed."""

    file: Path
    line: int
    frame: FrameType

    def __str__(self) -> str:
        return f"{self.file.name}, line {self.line}"

    @property
    def whole_code(self) -> str:
        """The line itself, where it can be read."""
        return linecache.getline(str(self.file), self.line).strip()

    @property
    def code(self) -> str:
        """The line itself, where it can be read and is short."""
        return self.whole_code if len(self.whole_code) <= _MOST_CODE else ""


@contextmanager
def user_code(who: str, *, when: str = "") -> Iterator[None]:
    """Turn what the user's code raises inside into one error: `WHO raises KIND{when}: its first line (file, line)`.

    Errors of hardener's own pass as they are, and so does Ctrl-C.

    Args:
        who: what runs: `net.py`, `build_model in net.py`.
        when: such as ` when it is imported`.
    Raises:
        HardenerError: with the user's error as its cause. Code that ends the program (`sys.exit`) is one too.
    """
    try:
        yield
    except (HardenerError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # the user's own code: it may raise anything
        place = place_of(error)
        advice = advice_for(error, place)
        more = (
            _ended(error) if isinstance(error, SystemExit) else f". {advice[0].upper()}{advice[1:]}." if advice else ""
        )
        raise HardenerError(f"{who} raises {named_error(error, when, place)}{more}") from error


def _ended(error: SystemExit) -> str:
    """Say what to do where code ends the program, as a parser does whose arguments are not given."""
    needed = _REQUIRED.search(str(error))
    if needed is None:
        return _ENDS
    names = needed[1].split(", ")
    options, others = [name for name in names if name[0] == "-"], [name for name in names if name[0] != "-"]
    given = [f'default="" in place of required=True for {", ".join(options)}'] if options else []
    given += [f'nargs="?", default="" for {", ".join(others)}'] if others else []
    return f". hardener imports the file without arguments: give it defaults there, {' and '.join(given)}."


def explained(error: BaseException) -> HardenerError | None:
    """Return the error to show where the user's code, or the network, raised this one; None where hardener did."""
    if "TorchDynamoException" in {kind.__name__ for kind in type(error).__mro__}:  # it passes through their lines too
        why = first_line(error).rstrip(".:")
        return Failure(f"torch cannot compile the network's gradient: {why}. Train without: --compile off")
    place = place_of(error) or _in_network(error)
    if place is None or isinstance(error, HardenerError | KeyboardInterrupt):
        return None
    if type(error).__name__ == "OutOfMemoryError":
        return None  # the door has its own words for that
    shown = HardenerError(f"the model's code raises {describe(error, place)}")
    shown.__cause__ = error
    return shown


@contextmanager
def explaining() -> Iterator[None]:
    """Let what the user's code raises inside leave as the error to show.

    Raises:
        HardenerError: as `explained` words it.
    """
    try:
        yield
    except Exception as error:
        shown = explained(error)
        if shown is None:
            raise
        raise shown from error


def describe(error: BaseException, place: Place | None = None, *, advise: bool = True) -> str:
    """Say what was raised, where, what went in there, and what to try: `KIND: its first line (file, line: code). …`."""
    place = place or place_of(error) or _in_network(error)
    told = f"{type(error).__name__}: {first_line(error)}".rstrip(".")
    if place is not None:
        told += f" ({place}{f': {place.code}' if place.code else ''})"
        inputs = ", ".join(filter(None, [_asserted(error, place), _inputs(place.frame)]))
        told += f". In {place.frame.f_code.co_name}: {inputs}" if inputs else ""
    advice = advice_for(error, place) if advise else ""
    return f"{told}. {advice[0].upper()}{advice[1:]}." if advice else f"{told}."


def named_error(error: BaseException, when: str = "", place: Place | None = None) -> str:
    """Say what was raised and where: `KIND{when}: its first line (file, line)`; of an error without words also the
    code, and what its names stood for."""
    place = place or place_of(error)
    told = f"{type(error).__name__}{when}: {first_line(error)}"
    if place is None:
        return told
    code = f": {place.whole_code}" if not str(error) and place.whole_code else ""
    values = "" if str(error) else _asserted(error, place)
    return f"{told} ({place}{code}{f', where {values}' if values else ''})"


def advice_for(error: BaseException, place: Place | None = None) -> str:
    """Return what to try against an error that some line of code raised, or nothing."""
    text, code = str(error), "" if place is None else place.whole_code
    if isinstance(error, RuntimeError) and _FIXED_BATCH.search(code):
        return _FIXED
    keyed = None if place is None or not isinstance(error, IndexError | TypeError) else _KEY.search(code)
    if place is not None and keyed is not None and _is_tensor(place.frame.f_locals.get(keyed[1])):
        return "hardener calls the model with a tensor of images, not with a dict: take the tensor itself"
    if place is not None and (told := _of_another_version(text, place) or _imported_late(error, place)):
        return told
    if (shapes := _SHAPES.search(text)) is not None:
        rows, width, wanted = map(int, shapes.groups())
        if width < wanted and rows * width % wanted == 0:  # two images of 28 x 28: 56 rows of 28, where 784 are taken
            return _FLAT
    return next((advice for pattern, advice in ADVICE if re.search(pattern, text)), "")


def _of_another_version(text: str, place: Place) -> str:
    """Say that an installed package's class or function takes no such argument, where that is what was raised."""
    unknown = re.match(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", text)
    owner = "" if unknown is None else getattr(place.frame.f_globals.get(unknown[1]), "__module__", "") or ""
    module = sys.modules.get(owner)
    if unknown is None or module is None or is_users(Path(getattr(module, "__file__", None) or "")):
        return ""
    package = owner.partition(".")[0]
    return f"the file was written for another version of {package}, whose {unknown[1]} took {unknown[2]}"


def _imported_late(error: BaseException, place: Place) -> str:
    """Say what to do where a function imports a file beside its own, which is found while that is imported alone."""
    top = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if not top or place.frame.f_code.co_name == "<module>":
        return ""
    if not any(stands_in(top, folder) for folder in list(place.file.parents)[:_MOST_ABOVE]):
        return ""
    return (
        f"move the import of {top} to the top of the file: it is found while {place.file.name} is imported, and "
        f"not when {place.frame.f_code.co_name} runs"
    )


def fetches(error: BaseException | None) -> bool:
    """Whether code failed because it fetches something, and the net cannot be reached."""
    return error is not None and re.search(_FETCHES, str(error)) is not None


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; of a syntax error without its place, which is told with the code."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (said.strip().splitlines() or ["(no message)"])[0]
    return line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]} …"


def place_of(error: BaseException) -> Place | None:
    """Return the innermost line of the user's own files that an error passed through after hardener's last."""
    return next((place for place in reversed(_after_own(error)[1]) if is_users(place.file)), None)


def _in_network(error: BaseException) -> Place | None:
    """Return the innermost line outside of torch, where the error passed through the network: of torchvision, say."""
    own, inside = _after_own(error)
    if own is None or own.file.name != "normalize.py":  # the one door
        return None
    return next((place for place in reversed(inside) if "torch" not in place.file.parts), own)


def _after_own(error: BaseException) -> tuple[Place | None, list[Place]]:
    """Return the last of hardener's own lines that an error passed through, and all lines after it."""
    last: Place | None = None
    inside: list[Place] = []
    trace = error.__traceback__
    while trace is not None:
        place = Place(Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno, trace.tb_frame)
        if place.file.is_relative_to(_OWN):
            last, inside = place, []
        else:
            inside.append(place)
        trace = trace.tb_next
    return last, inside


def is_users(file: Path) -> bool:
    """Whether a file is none of hardener, Python, or what is installed."""
    name = str(file)
    if name.startswith("<"):
        return name.startswith(_TYPED)
    if _INSTALLED & set(file.parts) or "torchinductor" in name or file.is_relative_to(_OWN):
        return False
    return not name.startswith(_STDLIB)


def _inputs(frame: FrameType) -> str:
    """Say which tensors a function was called with: their names, shapes and kinds of number."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount]
    tensors = [(name, frame.f_locals[name]) for name in names if _is_tensor(frame.f_locals.get(name))]
    return ", ".join(f"{name} is {shape_of(value)}" for name, value in tensors[:_MOST_INPUTS])


def _asserted(error: BaseException, place: Place) -> str:
    """Say what the names of a line stood for where its assertion failed: `depth is 28`."""
    if not isinstance(error, AssertionError):
        return ""
    values = {name: _shown(name, place.frame) for name in _NAMES.findall(place.whole_code.partition(",")[0])}
    return ", ".join(f"{name} is {value}" for name, value in values.items() if value)


def _shown(name: str, frame: FrameType) -> str:
    """Return a number, a word or a short list that a name stands for in a frame, as text; nothing of others."""
    first, *rest = name.split(".")
    value = frame.f_locals.get(first)
    for part in rest:  # of what is computed when it is asked for, nothing is run
        value = getattr(value, "__dict__", {}).get(part)
    if isinstance(value, bool | int | float | str) or (isinstance(value, list | tuple) and len(value) <= _MOST_LISTED):
        return repr(value)[:_MOST_CODE]
    return ""


def _is_tensor(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("shape", "dtype", "device")) and hasattr(value.shape, "__iter__")


def shape_of(value: Any) -> str:
    """Return a tensor's shape and kind of number: `(2, 3, 32, 32) float32`."""
    return f"({', '.join(str(size) for size in value.shape)}) {str(value.dtype).removeprefix('torch.')}"
