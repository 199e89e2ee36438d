"""The command that is running, as it can be typed again with further options."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from typer.core import TyperCommand

_running: ContextVar[Any] = ContextVar("running", default=None)
_REPEATED = {"--set", "--model-arg"}


class Command(TyperCommand):
    """A command that can be asked for while it runs."""

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        before = _running.set(ctx)
        try:
            return super().invoke(ctx)
        finally:
            _running.reset(before)


def retyped(options: str, *, but: str = "") -> str:
    """Return the running command with further options; those of its own that they replace are left out.

    So is a name that is taken by now. What goes on with a run takes no further options: they are for a new one like it.

    Args:
        but: the parameter of the command that is left out too.
    Returns:
        The command, or nothing where none is running.
    """
    context = _running.get()
    if context is None:
        return ""
    further = shlex.split(options)
    if resumed := context.params.get("resume"):
        from hardener.config.run_folder import find_run
        from hardener.config.train_command import train_command

        run = find_run(resumed, context.params["runs"])
        return f"{train_command(run, run.read_record())} {shlex.join(further)}"
    return shlex.join(["hardener", str(context.info_name), *_given(context, further, {but, _taken(context)}), *further])


def _taken(context: Any) -> str:
    """Return the parameter that names what is begun, where there is something of that name by now."""
    name, runs = context.params.get("name"), context.params.get("runs")
    return "name" if name and runs and os.path.lexists(runs / name) else ""


def _given(context: Any, further: list[str], but: set[str]) -> Iterator[str]:
    """Yield what was typed: arguments first, and the options that `further` does not replace."""
    settings = {_key(further[place : place + 2]) for place, word in enumerate(further) if word.startswith("--")}
    for parameter in sorted(context.command.params, key=lambda one: str(one.param_type_name)):
        source = context.get_parameter_source(parameter.name)
        if source is None or source.name != "COMMANDLINE" or parameter.name in but:
            continue
        value = context.params[parameter.name]
        values = list(value) if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            yield from map(str, values)
        elif isinstance(value, bool):
            option = parameter.opts[0] if value else parameter.secondary_opts[0]
            yield from [option] if (option, "") not in settings else []
        else:
            pairs = [[parameter.opts[0], str(one)] for one in values]
            yield from (word for pair in pairs if _key(pair) not in settings for word in pair)


def _key(pair: list[str]) -> tuple[str, str]:
    """Return what an option sets: of those that are given several times, the name before the `=`."""
    option, value = pair[0], pair[1] if len(pair) > 1 else ""
    return option, value.partition("=")[0] if option in _REPEATED else ""
