"""A YAML file -> the mapping that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from hardener.errors import HardenerError
from hardener.words import one_line


class _Strict(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML's own readers drop what stood below the first one."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                raise yaml.YAMLError(
                    f"{key.value!r} stands in line {lines[key.value]} and again in line {line}. Put what is below both "
                    "into one."
                )
            lines[key.value] = line
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds one mapping.

    Raises:
        HardenerError: not YAML, or no mapping.
    """
    try:
        fields = _Strict(path.read_text(encoding="utf-8")).get_single_data() or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise HardenerError(f"{path} is not YAML: {_told(error)}") from None
    if not isinstance(fields, dict):
        raise HardenerError(f"{path} must hold `key: value` lines; it holds a {type(fields).__name__}.")
    return fields


def _told(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Say in one line what is wrong and where."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return one_line(str(error))
    mark, problem = error.problem_mark, one_line(error.problem or str(error))
    tabs = " YAML takes no tabs around keys: write spaces" if "'\\t'" in problem else ""
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}.{tabs}"
