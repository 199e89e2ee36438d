"""Odd and damaged input, thousands of cases: each is taken, or refused in words. A traceback, a hang, or a pickle that
runs its code is a fault.

    python bench/fuzz.py --cases 5000 --seed 1

Prints a table of the groups of `fuzz_groups.py`, then each fault with the seed that makes it again:
`python bench/fuzz.py --group GROUP --only NUMBER`. Ends with exit code 1 where there is a fault.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from fuzz_groups import GROUPS, Home

from hardener.errors import HardenerError

LONGEST_S = 60  # of a case; most take a millisecond
TRAINING_S = 300  # of the first of a group, which may have to train a run, and of whole commands, which may be `train`
Ending = Literal["taken", "refused", "broken", "hung", "unpickled"]


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `told` is the refusal, or where it broke."""

    group: str
    number: int
    ending: Ending
    told: str = ""


class _Hung(BaseException):
    """Not an Exception, so that no handler of the code under test takes it for one of its own."""


def run(cases: int, seed: int, folder: Path, groups: Sequence[str] = (), only: int | None = None) -> Iterator[Outcome]:
    """Run cases of each group, in shares of their own; the same seed and number make the same case.

    Args:
        folder: for files.
        groups: of GROUPS; all of them by default.
        only: one case of each, by its number.
    """
    home = Home(folder)
    chosen = groups or tuple(GROUPS)
    whole = sum(GROUPS[name][1] for name in chosen)
    for name in chosen:
        count = max(1, round(cases * GROUPS[name][1] / whole))
        for number in range(count) if only is None else [only]:
            yield _case(name, number, seed, home)


def _case(name: str, number: int, seed: int, home: Home) -> Outcome:
    draw = random.Random(f"{seed}/{name}/{number}")
    longest = TRAINING_S if number == 0 or name == "commands" else LONGEST_S
    try:
        with _limited(longest), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            GROUPS[name][0](draw, home)
    except HardenerError as error:
        ending, told = ("refused", str(error)) if str(error).strip() else ("broken", "an error without a word")
    except _Hung:
        ending, told = "hung", f"longer than {longest} s"
    except Exception:
        ending, told = "broken", traceback.format_exc()
    else:
        ending, told = "taken", ""
    if home.has_run:
        home.forget()
        ending, told = "unpickled", "the code inside a pickle was run"
    return Outcome(name, number, ending, told)  # type: ignore[arg-type]


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise _Hung

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--group", action="append", choices=list(GROUPS), default=[])
    parser.add_argument("--only", type=int)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = list(run(asked.cases, asked.seed, Path(folder), asked.group, asked.only))
    print("| group | cases | taken | refused | faults |\n| --- | ---: | ---: | ---: | ---: |")
    for name in dict.fromkeys(item.group for item in outcomes):
        print(_row(name, [item for item in outcomes if item.group == name]))
    print(_row("all", outcomes))
    faults = [item for item in outcomes if item.ending not in {"taken", "refused"}]
    for item in faults:
        print(f"\n{item.group} {item.number}: {item.ending}\n{item.told}")
    sys.exit(bool(faults))


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    endings = [item.ending for item in outcomes]
    taken, refused = endings.count("taken"), endings.count("refused")
    return f"| {name} | {len(endings)} | {taken} | {refused} | {len(endings) - taken - refused} |"


if __name__ == "__main__":
    main()
