from __future__ import annotations

from pathlib import Path

import pytest

from hardener.config.files import write_text, written_whole


def test_a_file_appears_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_text(target, "first")
    with pytest.raises(RuntimeError), written_whole(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert target.read_text() == "first"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_whole_or_stays_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for text in ("first", "second"):
        with written_whole(target) as beside:
            beside.mkdir()
            (beside / text).write_text(text)
        assert [path.name for path in target.iterdir()] == [text]
    with pytest.raises(RuntimeError), written_whole(target) as beside:
        beside.mkdir()
        (beside / "third").write_text("half")
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["second"]
    assert list(tmp_path.iterdir()) == [target]
