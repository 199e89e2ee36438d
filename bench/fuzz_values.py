"""Odd values, and damage, for the cases of `fuzz_groups.py`."""

from __future__ import annotations

import copy
import datetime
import math
import random
from typing import Any

Draw = random.Random

NUMBERS: list[Any] = [
    math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, 0, -0.0, -1, 1, 2, 10**30, -(10**30), 2**63, 2**31, 0.5, 1e-9,
    True, False, None, "", "nan", "inf", "1e999", "-1e999", "1e-400", "0x10", "1_000", "8/255", "8/0", "1/3/5", "/",
    "½", "٣", "１２", [], [1], [1, 2], [[1]], {}, {"a": 1}, datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1),
    b"x", "on", "off", "yes", "~", "auto", "none", "all", "\x00", "\ud800", "a" * 5000, "*", "&a",
    "!!python/object:os.system",
]  # fmt: skip


def damaged(draw: Draw, data: bytes) -> bytes:
    """Return bytes of which some are cut, moved, zeroed, flipped or replaced."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 8])):
        place, kind = draw.randrange(len(changed) + 1), draw.randrange(7)
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place : place + draw.choice([1, 4, 64, 4096])] = b""
        elif kind == 2:
            changed[place:place] = bytes(draw.getrandbits(8) for _ in range(draw.choice([1, 8, 100])))
        elif kind == 3:
            length = min(draw.choice([1, 8, 4096]), len(changed) - place)
            changed[place : place + length] = bytes(length)
        elif kind == 4 and len(changed) > place:
            changed[place] ^= 1 << draw.randrange(8)
        elif kind == 5:
            changed = bytearray(
                draw.choice([b"", b"\0" * len(changed), b"null", b"[]", b"\xff\xfe", changed + changed])
            )
        else:
            changed[place : place + 20] = changed[:20]
    return bytes(changed)


def put_somewhere(draw: Draw, value: Any, values: list[Any] | None = None) -> None:
    """Put an odd value in a random place of nested dicts and lists, or take something away."""
    while True:
        places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not places:
            return
        place = draw.choice(places)
        if isinstance(value[place], dict | list) and value[place] and draw.random() < 0.8:
            value = value[place]
            continue
        if draw.random() < 0.2:
            del value[place]
        elif isinstance(value, dict) and draw.random() < 0.1:
            value[draw.choice(["x", "", "données", "schema"])] = copy.copy(value[place])
        else:
            value[place] = draw.choice(values or [item for item in NUMBERS if not isinstance(item, bytes)])
        return


def text(draw: Draw) -> str:
    """Return a short or a long text of characters that names had better not hold."""
    odd = "\n\t\x00\x1b\u202e\u200d\ud800\udce9\u2028é猫🐈"
    alphabet = [*"aB7-./\\ *~$'\"%[]=:e+x_", *odd]
    return "".join(draw.choice(alphabet) for _ in range(draw.choice([0, 1, 2, 3, 8, 99, 120, 300])))
