"""Draw the floors of the house, top to bottom, from the order that tests/test_house.py holds imports to.

`python docs/_ext/floors.py` writes docs/images/floors.svg; a test compares the file with what this draws.
"""

from __future__ import annotations

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FIGURE = ROOT / "docs" / "images" / "floors.svg"
WIDTH, HEIGHT, GAP, LEFT, CHARACTER = 560, 40, 14, 16, 8.2


def floors() -> list[list[str]]:
    """Read the rooms of each floor, the highest first."""
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "FLOORS":
            return [sorted(rooms) for rooms in ast.literal_eval(node.value)]
    raise LookupError("tests/test_house.py has no FLOORS")


def drawing() -> str:
    """Return the figure as SVG: a band a floor, a box a room, and an arrow down beside them."""
    rows = floors()
    height = len(rows) * (HEIGHT + GAP) + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14">',
        "<title>The rooms of hardener, floor by floor; imports point down only</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for place, rooms in enumerate(rows):
        top = GAP + place * (HEIGHT + GAP)
        parts.append(f'<rect x="{LEFT}" y="{top}" width="{WIDTH - 96}" height="{HEIGHT}" rx="4" fill="#eef2f5"/>')
        left = LEFT + 8.0
        for room in rooms:
            width = CHARACTER * len(room) + 20
            parts.append(
                f'<rect x="{left:.1f}" y="{top + 6}" width="{width:.1f}" height="{HEIGHT - 12}" rx="4" '
                'fill="#ffffff" stroke="#0a7d91"/>'
                f'<text x="{left + width / 2:.1f}" y="{top + HEIGHT / 2 + 5}" text-anchor="middle" '
                f'fill="#222832">{escape(room)}</text>'
            )
            left += width + 8
    middle = WIDTH - 52
    parts += [
        f'<path d="M {middle} {GAP + 8} V {height - GAP - 10} m -7 -9 l 7 10 l 7 -10" fill="none" '
        'stroke="#0a7d91" stroke-width="2"/>',
        f'<text x="{middle + 22}" y="{height / 2}" text-anchor="middle" fill="#222832" '
        f'transform="rotate(90 {middle + 22} {height / 2})">imports</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FIGURE.write_text(drawing(), encoding="utf-8")
