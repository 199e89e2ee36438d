"""A network that gives features and no classes -> the lines that put a layer behind it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from hardener.errors import HardenerError
from hardener.models.head import BUILD_IT, Answer, see_that_heads_can_be_replaced

_OF_SEVERAL = """    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = {call}
            self.fc = nn.Linear({outputs}, num_classes)
        def forward(self, images):
            return self.fc(self.features(images){found}.flatten(1))
    return Classifier()"""
_LITERAL = (int, float, str, bool, type(None))


def call_of(name: str, way: Mapping[str, Any], needed: Collection[str], count: str | None) -> str:
    """Return a call as it is written in code; an empty text where a value is none that can be.

    Args:
        needed: names of the arguments that have to be said.
        count: the one that is the number of classes.
    """
    said = {key: value for key, value in way.items() if key in needed}
    if not all(isinstance(value, _LITERAL) for value in said.values()):
        return ""
    parts = [f"{key}={'num_classes' if key == count else repr(value)}" for key, value in said.items()]
    return f"{name}({', '.join(parts)})"


def no_classes(network: nn.Module, answer: Answer, call: str, file: Path) -> str:
    """Say that no layer of a network's can be replaced, and what makes a classifier of it; nothing where one can.

    Args:
        call: the code that builds it, in its file; empty where that is not known.
    """
    try:
        see_that_heads_can_be_replaced(network, answer.outputs, answer.heads)
    except HardenerError as error:
        told = str(error)
    else:
        return ""
    makers = [network.get_submodule(name) for name in answer.heads]
    way = answer.way or ()
    if (
        not call
        or not all(isinstance(step, int) for step in way)
        or not all(type(one).__module__.startswith("torch.nn.") for one in makers)
    ):
        return told
    name = "make_network" if call.startswith("build_model") else "build_model"
    begin = f"def {name}(num_classes):\n    from torch import nn\n"
    lines = f"{begin}    return nn.Sequential({call}, nn.Linear({answer.outputs}, num_classes))"
    if way:
        found = "".join(f"[{step}]" for step in way)
        lines = begin + _OF_SEVERAL.format(call=call, outputs=answer.outputs, found=found)
    also = f"\n\nand pass --entry {name}." if name != "build_model" else ""
    return (
        f"{told.removesuffix(BUILD_IT)}If these are features, put this at the end of {file}, and train as before:"
        f"\n\n{lines}{also}"
    )
