"""The pages that are made from the code: command line, recipe, records, catalogs and Python interface.

They are written as Markdown below docs/reference/_generated before Sphinx reads its sources, so that a page of the
reference is one `include` and can be looked at on its own: `python docs/_ext/reference.py`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import hardener
from hardener.catalog import Entry

ROOT = Path(__file__).resolve().parents[2]
GENERATED = ROOT / "docs" / "reference" / "_generated"

ROOMS = {
    "attacks": "Attacks",
    "methods": "Methods of training",
    "vicinity": "Vicinities",
    "augmentation": "Augmentations",
    "losses": "Losses",
    "geometry": "Norms",
    "threats": "Threat models without a norm",
    "measures": "Measures",
    "statistics": "Statistics",
    "runtime": "Devices and processes",
    "client": "Client of the service",
}
"""The rooms whose public functions the reference describes, and their titles."""

RECORDS = {
    "evaluation": (
        "hardener.config.evaluation_record:Evaluation",
        "What `hardener eval --json FILE` writes, and what lies in a run's folder `eval/`.",
    ),
    "run": ("hardener.config.run_folder:RunRecord", "A run's `run.json`."),
    "bundle": ("hardener.config.bundle:Bundle", "A bundle's `bundle.json`."),
    "dossier": ("hardener.config.dossier_record:Dossier", "What `hardener dossier` writes beside its page."),
    "prediction": ("hardener.config.answer:Prediction", "What `POST /predict` answers."),
    "report": ("hardener.config.answer:Report", "The field `report` of an answer, where it was asked for."),
}
"""What stands on disk or comes over the wire: where its model is, and what it is."""


def write_all() -> None:
    """Write every generated page whose text has changed."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    pages = {
        "commands.md": commands_page(),
        "recipe.md": recipe_page(),
        "catalogs.md": catalogs_page(),
        "recipes.md": recipes_page(),
        "python.md": python_page(),
    }
    pages |= {f"{name}.md": schema_page(target, line) for name, (target, line) in RECORDS.items()}
    for name, text in pages.items():
        path = GENERATED / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table; a cell may hold anything but line breaks."""

    def row(cells: list[str]) -> str:
        return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"

    return "\n".join([row(heads), row(["---"] * len(heads)), *map(row, rows)])


# --- the command line


def commands_page() -> str:
    """Describe each command as its `--help` does."""
    import typer

    from hardener.cli.app import app

    group: Any = typer.main.get_command(app)
    shared = [[shown_option(option), meaning(option)] for option in group.params if not option.hidden]
    parts = ["## Before any command", "", table(["option", "meaning"], shared), ""]
    for name, command in group.commands.items():
        parts += [f"## hardener {name}", "", paragraphs(command.help or ""), ""]
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
        usage = " ".join(["hardener", name, "[OPTIONS]", *(shown_name(argument) for argument in arguments)])
        parts += ["```text", usage, "```", ""]
        if arguments:
            parts += [table(["argument", "meaning"], [[f"`{shown_name(a)}`", a.help or ""] for a in arguments]), ""]
        rows = [[shown_option(option), meaning(option)] for option in options if not option.hidden]
        if rows:
            parts += [table(["option", "meaning"], rows), ""]
        examples = re.findall(r"^\s*(hardener .*?)\s*$", command.epilog or "", re.M)
        if examples:
            parts += ["```text", *examples, "```", ""]
    return "\n".join(parts)


def paragraphs(text: str) -> str:
    """Keep a help text's paragraphs and its indented examples; Rich's marks go."""
    text = re.sub(r"\[/?(?:bold|dim|green|cyan|yellow|red|italic)?\]", "", text.replace("\b", ""))
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        if all(line.startswith(("  ", "hardener ", "$ ")) for line in lines):
            blocks.append("\n".join(["```text", *(line.strip() for line in lines), "```"]))
        else:
            blocks.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(blocks)


def shown_name(argument: Any) -> str:
    """Return what stands for an argument in a usage line."""
    return str(argument.metavar or argument.name.upper())


def shown_option(option: Any) -> str:
    """Return an option's names, and what it takes."""
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    return names if option.is_flag or not option.metavar else f"{names} `{option.metavar}`"


def meaning(option: Any) -> str:
    """Return what an option does, with the default that its help does not name."""
    text = paragraphs(option.help or "")
    default = option.default
    if option.required:
        return f"{text} Required."
    if (
        default is None
        or isinstance(default, (bool, tuple, list))
        or callable(default)
        or "default" in text
        or option.is_flag
    ):
        return text
    return f"{text} Default: `{getattr(default, 'value', default)}`."


# --- schemas


def recipe_page() -> str:
    """Describe the recipe, with the sections that augmentations, vicinities and methods bring."""
    from hardener.config.recipe import load_recipe
    from hardener.config.section import SectionEntry, key_of

    parts = [
        schema_page("hardener.config.schema:Recipe", "").replace("see below", f"`{load_recipe('natural').method}`")
    ]
    rooms = (
        ("augmentation", "augmentation", "augment."),
        ("vicinity", "vicinity", "vicinity."),
        ("methods", "method", ""),
    )
    for room, kind, place in rooms:
        catalog = next(entries for name, _, entries in catalogs() if name == f"hardener.{room}")
        for name, entry in catalog.items():
            if isinstance(entry, SectionEntry) and entry.settings is not None:
                schema = entry.load_settings().model_json_schema()
                parts += [f"## {place}{key_of(name, entry)}", "", f"Of the {kind} `{name}`.", ""]
                parts += [first_text(schema.get("description", "")), "", fields(schema), ""]
    return "\n".join(parts)


def schema_page(target: str, line: str) -> str:
    """Describe a pydantic model and all that it holds, a table each."""
    model: type[BaseModel] = Entry(target, line).load()
    schema = model.model_json_schema(by_alias=True, mode="validation")
    inner = schema.get("$defs", {})
    parts = [line, "", first_text(schema.get("description", "")), "", fields(schema), ""]
    for name in sorted(inner, key=lambda name: list(referenced(schema, inner)).index(name)):
        if "properties" in inner[name]:
            parts += [f"## {name}", "", first_text(inner[name].get("description", "")), "", fields(inner[name]), ""]
    return "\n".join(parts)


def referenced(schema: Any, inner: Mapping[str, Any], seen: set[str] | None = None) -> Iterator[str]:
    """Yield the models that a schema names, in the order in which a reader meets them."""
    seen = set() if seen is None else seen
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                name = value.rpartition("/")[2]
                if name not in seen:
                    seen.add(name)
                    yield name
                    yield from referenced(inner[name], inner, seen)
            elif key != "$defs":
                yield from referenced(value, inner, seen)
    elif isinstance(schema, list):
        for value in schema:
            yield from referenced(value, inner, seen)


def first_text(docstring: str) -> str:
    """Return a docstring as Markdown: its paragraphs, and what it says of attributes as a list."""
    blocks = []
    for block in re.split(r"\n\s*\n", docstring.strip()):
        head, _, rest = block.partition("\n")
        if head.strip() in {"Attributes:", "Note:"}:
            items = re.sub(r"\n\s{6,}", " ", rest)
            blocks.append("\n".join(f"- {item.strip()}" for item in items.splitlines()))
        else:
            blocks.append(" ".join(block.split()))
    return "\n\n".join(blocks)


def fields(schema: Mapping[str, Any]) -> str:
    """Lay out a model's fields: name, type, default."""
    required = set(schema.get("required", ()))
    rows = []
    for name, field in schema.get("properties", {}).items():
        default = "required" if name in required else shown_default(field)
        rows.append([f"`{name}`", type_of(field), default])
    return table(["field", "takes", "default"], rows) if rows else ""


def shown_default(field: Mapping[str, Any]) -> str:
    """Return a field's default as its file would say it."""
    if "default" not in field:
        return "see below"
    default = field["default"]
    if isinstance(default, dict):
        return "its own defaults" if default else "`{}`"
    if isinstance(default, float) and not default.is_integer() and abs(default * 255 - round(default * 255)) < 1e-9:
        return f"`{round(default * 255)}/255`"
    return (
        {None: "`null`", True: "`true`", False: "`false`"}.get(default, f"`{default}`")
        if _plain(default)
        else (f"`{default}`")
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def type_of(field: Mapping[str, Any]) -> str:
    """Say in words what a field takes, with its range."""
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            return " or ".join(dict.fromkeys(type_of(each) for each in field[key]))
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    kind = field.get("type")
    if kind == "array":
        if "prefixItems" in field:
            return "(" + ", ".join(type_of(each) for each in field["prefixItems"]) + ")"
        return f"list of {type_of(field.get('items', {}))}"
    if kind == "object":
        values = field.get("additionalProperties")
        return f"names to {type_of(values)}" if isinstance(values, dict) and values else "an object"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    words = {"number": "number", "integer": "integer", "string": "text", "boolean": "true or false", "null": "null"}
    return " ".join([words.get(str(kind), "any value"), ", ".join(limits)]).strip()


# --- catalogs and recipes


def catalogs() -> Iterator[tuple[str, str, Mapping[str, Entry]]]:
    """Yield each catalog of the package: its room, its name, and its entries."""
    seen: list[Mapping[str, Entry]] = []
    for info in pkgutil.walk_packages(hardener.__path__, "hardener."):
        if not info.ispkg or info.name.split(".")[1] in {"cli", "serving", "recipes", "client"}:
            continue
        for value_name, value in vars(importlib.import_module(info.name)).items():
            holds_entries = isinstance(value, Mapping) and any(isinstance(each, Entry) for each in value.values())
            if value_name.isupper() and holds_entries and value not in seen:
                seen.append(value)
                yield info.name, value_name, value


def catalogs_page() -> str:
    """List what there is to choose from, with the facts that its entry states."""
    parts = []
    for room, name, catalog in catalogs():
        parts += [f"## {name.capitalize()}", "", f"`{room}.{name}`", ""]
        facts: list[str] = []
        for entry in catalog.values():
            facts += [f.name for f in dataclasses.fields(entry) if f.name not in {"target", "line", *facts}]
        shown = [fact for fact in facts if tells(fact, catalog)]
        rows = [
            [f"`{key}`", code_safe(entry.line), *(shown_fact(getattr(entry, fact, None)) for fact in shown)]
            for key, entry in catalog.items()
        ]
        parts += [table(["name", "what it is", *(fact.replace("_", " ") for fact in shown)], rows), ""]
    return "\n".join(parts)


def tells(fact: str, catalog: Mapping[str, Entry]) -> bool:
    """Tell whether a fact tells things apart, in words of a few letters, and holds for more than a few of them."""
    values = [getattr(entry, fact, None) for entry in catalog.values()]
    plain = all(not callable(value) and ":" not in str(value) and len(str(value)) < 60 for value in values)
    shown = [shown_fact(value) for value in values]
    return plain and len(set(shown)) > 1 and sum(text != "–" for text in shown) * 4 >= len(shown)


def shown_fact(value: Any) -> str:
    """Return an entry's fact for a table."""
    if isinstance(value, bool):
        return "yes" if value else "–"
    if isinstance(value, (tuple, list, set, frozenset)):
        return ", ".join(str(each) for each in value) or "–"
    return "–" if value is None or value == "" else code_safe(str(value))


def code_safe(text: str) -> str:
    """Escape what Markdown would read as emphasis or a tag."""
    return re.sub(r"([*_<>\[\]])", r"\\\1", text)


def recipes_page() -> str:
    """Show each recipe's file."""
    from hardener.config.recipe import recipe_files, recipe_header

    rows, parts = [], []
    for name, path in recipe_files().items():
        rows.append([f"[{name}](#{name})", code_safe(recipe_header(path).splitlines()[0])])
        parts += [f"### {name}", "", "```yaml", path.read_text(encoding="utf-8").rstrip(), "```", ""]
    return "\n".join([table(["recipe", "what it is"], rows), "", *parts])


# --- the Python interface


def python_page() -> str:
    """Hand the public modules to autodoc, room by room; the first door comes first."""
    parts = ["## The front door", ""]
    names = sorted(getattr(hardener, "__all__", ()))
    names = [name for name in names if not name.startswith("_")]
    if names:
        parts += ["```{eval-rst}", ".. module:: hardener", ""]
        for name in names:
            kind = "autoclass" if isinstance(getattr(hardener, name), type) else "autofunction"
            parts += [f".. {kind}:: hardener.{name}", ""]
        parts += ["```", ""]
    for room, title in ROOMS.items():
        package = importlib.import_module(f"hardener.{room}")
        modules = [f"hardener.{room}"] if own_functions(package) else []
        modules += [f"hardener.{room}.{m.name}" for m in pkgutil.iter_modules(package.__path__) if m.name[0] != "_"]
        parts += [f"## {title}", "", (package.__doc__ or "").strip().replace("\n", " "), ""]
        for module in modules:
            parts += [f"### {module}", "", "```{eval-rst}", f".. automodule:: {module}", "```", ""]
    return "\n".join(parts)


def own_functions(package: Any) -> bool:
    """Tell whether a package's `__init__` holds a public function of its own."""
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef) and node.name[0] != "_" for node in tree.body)


# --- docstrings


def as_restructured_text(lines: list[str]) -> None:
    """Turn, in place, a docstring that is plain text into reStructuredText that napoleon reads without a fault."""
    paragraphs: list[str] = []
    for line in lines:
        opening = re.match(r"(Note|Source|Sources|Units): ", line)
        if opening or re.fullmatch(r"[A-Z][a-z]+:", line):
            paragraphs.append("")
        if opening:
            line = f"**{line.replace(':', ':**', 1)}"
        inside = bool(paragraphs) and paragraphs[-1].startswith("**") and line.startswith("    ")
        if inside:
            paragraphs[-1] += " " + line.strip()
        elif not opening and paragraphs and paragraphs[-1].startswith("**"):
            paragraphs += ["", line]
        else:
            paragraphs.append(line)
    parts = re.split(r"(`[^`]*`|\*\*\w+:\*\*)", "\n".join(paragraphs))
    for place, part in enumerate(parts):
        if place % 2 == 0:
            parts[place] = escaped(part)
        elif part.startswith("`"):
            glued = re.match(r"[^\s'\")\]}>\-/:.,;!?]", parts[place + 1])
            parts[place] = f"`{part}`" + ("\\ " if glued else "")
    lines[:] = "".join(parts).split("\n")


def escaped(text: str) -> str:
    """Escape what reStructuredText takes for emphasis, a substitution or a reference."""
    text = re.sub(r"([*|\\])", r"\\\1", text)
    return re.sub(r"(?<=\w)_(?=\W|$)", r"\\_", text)


def keep_percent_signs(app: Any, page: str, source: list[str]) -> None:
    """Keep a percent sign in the line of its number."""
    source[0] = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", source[0])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", lambda app: write_all())
    app.connect("source-read", keep_percent_signs)
    app.connect(
        "autodoc-process-docstring",
        lambda app, what, name, obj, options, lines: as_restructured_text(lines),
        priority=100,
    )
    return {"parallel_read_safe": False}


if __name__ == "__main__":
    write_all()
