"""`hardener inspect DIR` on a folder with one of each fault: all are found, named once, and the advice mends them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.cli.inspect_table import pair
from hardener.config.inspection_record import Alike, DataInspection, ImageName
from hardener.config.reading import Reading
from hardener.config.recipe import load_recipe
from hardener.errors import HardenerError
from hardener.progress import Silent
from hardener.terminal import out
from hardener.training.inspect_data import InspectionRequest, inspect_data
from hardener.training.prepare import prepare
from hardener.training.request import TrainRequest

RANDOM = np.random.default_rng(0)


def photo(random: np.random.Generator, size: tuple[int, int] = (40, 48)) -> Image.Image:
    """Smooth shapes, as photographs have them: noise alone would be another image once it is scaled."""
    small = Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    return small.resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("messy") / "imgs"
    random = np.random.default_rng(1)
    for split, count in (("train", 14), ("test", 6)):
        for name in ("cat", "dog", "rare one"):
            (root / split / name).mkdir(parents=True)
            few = 2 if name == "rare one" and split == "train" else count
            for place in range(few):
                photo(random).save(root / split / name / f"{place:02}.png")
    train, test = root / "train", root / "test"
    shutil.copy(test / "cat" / "00.png", train / "cat" / "copy.png")
    Image.open(test / "dog" / "01.png").resize((36, 30)).save(train / "dog" / "resaved.jpg", quality=90)
    photo(random).save(train / "cat" / "both.png")
    shutil.copy(train / "cat" / "both.png", train / "dog" / "both.png")
    (train / "dog" / "broken.png").write_bytes((train / "dog" / "03.png").read_bytes()[:400])
    (train / "dog" / "empty.jpg").write_bytes(b"")
    Image.new("RGBA", (48, 40), (9, 9, 9, 0)).save(train / "cat" / "clear.png")
    Image.new("RGB", (48, 40), (90, 9, 9)).save(train / "cat" / "flat.png")
    photo(random, (8, 9)).save(train / "cat" / "tiny.png")
    photo(random, (40, 200)).save(train / "cat" / "long.png")
    (train / "cat" / "notes.txt").write_text("a text")
    return root


def look(root: Path, *sets: str, **asked: object) -> DataInspection:
    fields = {"reading": None, "validation_root": None, **asked}
    return inspect_data(InspectionRequest(root, load_recipe("sprout", sets), **fields), Silent())[0]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(messy: Path) -> DataInspection:
    return look(messy, "data.val_fraction=0.2")


def files(images: tuple[ImageName, ...]) -> set[str]:
    return {image.file for image in images}


def test_counts_are_those_of_the_folder(found: DataInspection, messy: Path) -> None:
    everywhere = [path for path in messy.rglob("*") if path.suffix in {".png", ".jpg"}]
    assert found.total == len(everywhere) == sum(item.total for item in found.classes)
    assert found.drawn == ("validation",)
    assert found.bytes == sum(path.stat().st_size for path in everywhere)
    rare = next(item for item in found.classes if item.name == "rare one")
    assert rare.images == {"train": 1, "validation": 1, "test": 6}
    readable = found.total - len(found.bad)
    for bins in (found.short_sides, found.long_sides, found.ratios, found.brightness):
        assert sum(item.count for item in bins) == readable
    assert sum(size.images for size in found.headers.sizes) == found.total - 1  # the header of `broken` is whole
    assert (found.headers.sizes[0].height, found.headers.sizes[0].width) == (40, 48)
    assert found.headers.formats.keys() == {"PNG", "JPEG"}
    assert found.headers.transparent == 1
    assert [str(item) for item in found.left_out] == ["1 other file (train/cat/notes.txt)"]


def test_leaks_conflicts_and_near_copies_are_found_and_nothing_else(found: DataInspection) -> None:
    exact = {frozenset(files(group.images)) for group in found.alike if group.likeness == "same file"}
    assert exact == {
        frozenset({"test/cat/00.png", "train/cat/copy.png"}),
        frozenset({"train/cat/both.png", "train/dog/both.png"}),
    }
    near = [group for group in found.alike if group.likeness == "nearly the same"]
    assert [files(group.images) for group in near] == [{"test/dog/01.png", "train/dog/resaved.jpg"}]
    assert near[0].leak
    assert not near[0].conflict
    assert [files(group.images) for group in found.conflicts] == [{"train/cat/both.png", "train/dog/both.png"}]


def test_bad_and_odd_ones_are_named_with_their_reason(found: DataInspection) -> None:
    assert {remark.image.file for remark in found.bad} == {"train/dog/broken.png", "train/dog/empty.jpg"}
    odd = {remark.image.file.rpartition("/")[2]: remark.reason for remark in found.odd}
    assert odd.keys() == {"clear.png", "flat.png", "tiny.png", "long.png"}
    assert "alpha channel" in odd["clear.png"]
    assert odd["tiny.png"] == "only 8x9; the usual short side is 40"


def test_channel_statistics_are_those_of_the_input(messy: Path) -> None:
    from hardener.data.data_set import read_data_set
    from hardener.data.loader import ImageShape, load_images

    found = look(messy, "data.image_size=20", reading=Reading(ignore=("broken.png", "empty.jpg")))
    data = read_data_set(messy, reading=Reading(ignore=("broken.png", "empty.jpg")))
    images = load_images(data.train, ImageShape(20, 20, 3))
    assert [channel.mean for channel in found.channels] == pytest.approx(images.mean)
    assert [channel.std for channel in found.channels] == pytest.approx(images.std)
    for channel in found.channels:
        assert sum(channel.histogram) == pytest.approx(1)


def following(found: DataInspection, word: str) -> Iterator[list[str]]:
    """The commands of the pieces of advice that hold a word."""
    return (shlex.split(piece.command) for piece in found.advice if word in piece.text)


def ignored(command: list[str]) -> tuple[str, ...]:
    return tuple(value for option, value in pairwise(command) if option == "--ignore")


def test_to_follow_the_advice_mends_what_it_is_about(found: DataInspection, messy: Path) -> None:
    assert [piece.grave for piece in found.advice] == sorted((p.grave for p in found.advice), reverse=True)
    (leak,) = following(found, "2 images lie in more than one split, 1 of them nearly")
    assert leak[-1] == "--dedupe"
    (conflict,) = following(found, "image lies in more than one class")
    (bad,) = following(found, "cannot be read")
    assert bad[-1] == "--skip-bad-images"
    mended = look(messy, reading=Reading(ignore=ignored(conflict)))
    assert (mended.conflicts, mended.total) == ((), found.total - 2)
    (flat,) = following(found, "with alpha")
    assert flat[-2:] == ["--set", "data.background=black"]
    assert found.advice[-1].command == f"hardener train MODEL --data {messy}"


@pytest.mark.parametrize("form", ["folder", "table", "another root"])
def test_an_image_with_a_pattern_in_its_name_is_left_out_as_advised(form: str, tmp_path: Path) -> None:
    rows = []
    for place in range(20):
        name = f"{'ab'[place % 2]}/{place:02}.png"
        (tmp_path / "imgs" / name).parent.mkdir(parents=True, exist_ok=True)
        photo(np.random.default_rng(place)).save(tmp_path / "imgs" / name)
        rows.append(f"{name},{name[0]}")
    shutil.copy(tmp_path / "imgs" / "a" / "00.png", tmp_path / "imgs" / "b" / "copy [1].png")
    shutil.copy(tmp_path / "imgs" / "a" / "00.png", tmp_path / "imgs" / "a" / "000.png")
    table = tmp_path / ("lists" if form == "another root" else "imgs") / "t.csv"
    table.parent.mkdir(exist_ok=True)
    asked = {"images_root": str(tmp_path / "imgs")} if form == "another root" else {}
    if form != "folder":
        table.write_text("\n".join(["path,label", *rows, "copy [1].png,b", "a/000.png,a"]))
    root = tmp_path / "imgs" if form == "folder" else table
    sets = ("data.val_fraction=0.05", "data.test_fraction=0.05")
    found = look(root, *sets, reading=Reading(**asked))
    (way,) = following(found, "image lies in more than one class")
    mended = look(root, *sets, reading=Reading(ignore=ignored(way), **asked))
    assert (mended.conflicts, mended.total) == ((), 19)


def test_of_a_group_in_several_classes_two_classes_are_shown() -> None:
    images = [ImageName(split="train", label=name[0], file=name) for name in ("a/1.png", "a/2.png", "b/1.png")]
    group = Alike(likeness="same file", images=tuple(images), leak=False, conflict=True)
    assert [image.file for image in pair(group)] == ["a/1.png", "b/1.png"]


def test_every_command_of_the_advice_is_one_that_the_command_line_takes(found: DataInspection) -> None:
    import typer

    command = typer.main.get_command(app)
    for piece in found.advice:
        _, name, *words = shlex.split(piece.command)
        sub = command.commands[name]  # type: ignore[attr-defined]
        sub.make_context(name, list(words))


def grays(root: Path, levels: np.ndarray, ending: str) -> Path:
    for place, image in enumerate(levels):
        folder = root / "ab"[place % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{place:02}.{ending}")
    return root


def test_float_images_are_looked_at_by_what_is_measured_and_the_range_is_asked_for(tmp_path: Path) -> None:
    root = grays(tmp_path / "f", (RANDOM.random((30, 9, 9)) * 4 - 2).astype(np.float32), "tif")
    found = look(root)
    assert found.levels is not None
    (command,) = following(found, "float pixels")
    low, high = (float(end) for end in command[-1].split(","))
    assert (low, high) == pytest.approx((found.levels.low, found.levels.high), rel=1e-6)
    assert (command[-2], found.input.range) == ("--range", (found.levels.low, found.levels.high))
    assert found.channels[0].high == 1.0
    assert not list(following(look(root, f"data.range={command[-1]}"), "float pixels"))


def test_float_beside_sixteen_bits_is_told_and_no_range_of_both_is_advised(tmp_path: Path) -> None:
    root = grays(tmp_path / "m", RANDOM.random((10, 9, 9)).astype(np.float32), "tif")
    grays(root, RANDOM.integers(50, 60_000, (12, 9, 9)).astype(np.uint16), "png")
    (command,) = following(look(root), "several kinds")
    assert command[-2:] == ["--ignore", "*.tif*"]
    assert not list(following(look(root, reading=Reading(ignore=("*.tif*",))), "several kinds"))


def test_sixteen_bits_are_looked_at_as_training_scales_them(tmp_path: Path) -> None:
    root = grays(tmp_path / "d", RANDOM.integers(50, 4000, (30, 9, 9)).astype(np.uint16), "png")
    found = look(root)
    assert found.levels is not None
    assert (found.headers.depths, found.input.channels) == ({"16 bit": 30}, 1)
    assert found.channels[0].std > 0.25
    assert list(following(found, "become 0 to 255"))


def test_gray_images_that_are_stored_in_colour_are_told(tmp_path: Path) -> None:
    for name in "ab":
        for place in range(12):
            (tmp_path / "g" / name).mkdir(parents=True, exist_ok=True)
            gray = Image.fromarray(RANDOM.integers(0, 256, (9, 9), dtype=np.uint8))
            gray.convert("RGB").save(tmp_path / "g" / name / f"{place}.png")
    (command,) = following(look(tmp_path / "g"), "show none")
    assert command[-1] == "data.channels=1"
    assert look(tmp_path / "g", "data.channels=1").input.channels == 1


def test_large_and_small_images_are_told_with_a_size(tmp_path: Path) -> None:
    for name in "ab":
        for place in range(8):
            (tmp_path / "s" / name).mkdir(parents=True, exist_ok=True)
            photo(RANDOM, (20 + 4 * place, 30)).save(tmp_path / "s" / name / f"{place}.png")
    (command,) = following(look(tmp_path / "s"), "short side of")
    assert command[-2] == "--image-size"
    assert 20 <= int(command[-1]) <= 40


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def page(messy: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path, Path]:
    folder = tmp_path_factory.mktemp("page")
    wide, out.width = out.width, 80
    try:
        told = invoke("inspect", messy, "--html", folder / "p.html", "--json", folder / "p.json", "--image-size", "40")
    finally:
        out.width = wide
    return told, folder / "p.html", folder / "p.json"


def test_the_terminal_shows_it_in_eighty_columns(page: tuple[Result, Path, Path], messy: Path) -> None:
    told = page[0]
    assert told.exit_code == 0, told.output
    lines = [line for line in told.stdout.splitlines() if "hardener " not in line and str(messy) not in line]
    assert max(map(len, lines)) <= 80
    for word in ("rare one", "in several splits", "in several classes", "cannot be read", "unlike the rest"):
        assert word in told.stdout


def test_the_page_is_one_file_with_a_sheet_of_each_class(page: tuple[Result, Path, Path], messy: Path) -> None:
    text = page[1].read_text()
    assert re.findall(r'(?:src|href)="(?!data:)', text) == []
    assert "<script" not in text
    assert text.count('class="sheet"') == 3
    assert text.count("data:image/webp;base64,") == 3 * 2 + 3 + 4
    for piece in ("train/cat/copy.png", "train/dog/broken.png", "in several classes", "Unlike the rest"):
        assert piece in text


def test_the_json_holds_all_of_it(page: tuple[Result, Path, Path], messy: Path) -> None:
    record = DataInspection.model_validate_json(page[2].read_bytes())
    assert record.schema_name == "hardener/data-inspection/1"
    told = invoke("inspect", messy, "--json", "-", "--image-size", "40")
    assert told.exit_code == 0
    other = DataInspection.model_validate(json.loads(told.stdout))
    assert other.model_copy(update={"created_at": record.created_at}) == record


def test_the_advice_keeps_the_options_that_were_given(page: tuple[Result, Path, Path], messy: Path) -> None:
    record = DataInspection.model_validate_json(page[2].read_bytes())
    assert record.advice[-1].command == f"hardener train MODEL --data {messy} --image-size 40"
    asked = ("--recipe", "pgd-at", "--image-size", "30x40", "--range", "0,9", "--set", "data.fit=letterbox")
    told = invoke("inspect", messy, "--json", "-", *asked)
    record = DataInspection.model_validate_json(told.stdout)
    assert record.advice[-1].command == f"hardener train MODEL --data {messy} {shlex.join(asked)}"
    assert (record.input.height, record.input.fit) == (30, "letterbox")


def test_a_page_escapes_what_names_hold(tmp_path: Path) -> None:
    for name in ("<b>bold", "plain"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for place in range(4):
            photo(RANDOM).save(tmp_path / "x" / name / f"{place}.png")
    assert invoke("inspect", tmp_path / "x", "--html", tmp_path / "x.html").exit_code == 0
    text = (tmp_path / "x.html").read_text()
    assert "&lt;b&gt;bold" in text
    assert "<b>bold" not in text


def test_control_characters_of_names_are_shown_and_do_nothing(tmp_path: Path) -> None:
    for name in ("\x1b[31mred", "line\nfeed", "plain"):
        (tmp_path / "x" / name).mkdir(parents=True)
        for place in range(3):
            photo(RANDOM, (16, 16)).save(tmp_path / "x" / name / f"{place}\x1b[0m.png")
    told = invoke("inspect", tmp_path / "x", "--html", tmp_path / "x.html", "--json", tmp_path / "x.json")
    assert told.exit_code == 0, told.output
    rows = {line.split()[0]: line.split()[1:4] for line in told.output.splitlines() if re.search(r" 1 +1 +1 ", line)}
    assert rows == {name: ["1", "1", "1"] for name in ("\\x1b[31mred", "line\\nfeed", "plain")}
    starts = {line.index("█") for line in told.output.splitlines() if re.search(r" 1 +1 +1 ", line)}
    assert len(starts) == 1, "the rows stand under one another"
    for text in (told.output, (tmp_path / "x.html").read_text(), (tmp_path / "x.json").read_text()):
        assert "\x1b" not in text
    assert "\\x1b[31mred" in (tmp_path / "x.html").read_text()
    assert "line\nfeed" in json.loads((tmp_path / "x.json").read_text())["found"]["splits"]["train"]["classes"]


def test_an_interruption_leaves_nothing_half_written(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*marked: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hardener.data.look.print_of", stop)
    told = invoke("inspect", messy, "--html", tmp_path / "p.html", "--json", tmp_path / "p.json")
    assert told.exit_code == 130
    assert list(tmp_path.iterdir()) == []


def test_what_training_would_refuse_is_refused_in_its_words(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(HardenerError) as refused:
        look(tmp_path)
    told = invoke("inspect", tmp_path)
    assert told.exit_code == 2
    assert str(refused.value)[:40] in told.stderr


def test_it_says_of_the_data_what_train_puts_on_record(messy: Path, model_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe("natural", ["data.image_size=40"])
    asked = TrainRequest(str(model_file), messy, recipe, skip_bad_images=True, device="cpu", out=tmp_path)
    found = inspect_data(InspectionRequest(messy, recipe), Silent())[0]
    assert found.found == prepare(asked, Silent()).looked.found
    assert found.found.repeated[0].contradicting == 1


@pytest.mark.parametrize("kind", ["zip", "npz"])
def test_an_archive_and_arrays_are_inspected_as_a_folder_is(kind: str, messy: Path, tmp_path: Path) -> None:
    source, shown = tmp_path / f"d.{kind}", "train/cat/copy.png"
    if kind == "zip":
        shutil.make_archive(str(tmp_path / "d"), "zip", messy)
    else:
        images = np.random.default_rng(2).integers(0, 256, (24, 12, 12), dtype=np.uint8)
        np.savez(
            source,
            train_images=images,
            train_labels=np.arange(24) % 2,
            test_images=images[:4],
            test_labels=np.arange(4) % 2,
        )
        shown = "train_images/000000"
    page = tmp_path / "d.html"
    told = invoke("inspect", source, "--html", page, "--json", tmp_path / "d.json")
    assert told.exit_code == 0, told.output
    record = DataInspection.model_validate_json((tmp_path / "d.json").read_bytes())
    assert record.found.kind == ("archive" if kind == "zip" else "npz")
    assert any(shown in files(group.images) for group in record.leaks)
    assert f"hardener train MODEL --data {source} --dedupe" in told.stdout
    assert shown in page.read_text()


def test_the_advice_reads_the_data_as_inspect_was_asked_to(tmp_path: Path) -> None:
    for split, count in (("all of it", 20), ("val", 4)):
        (tmp_path / split).mkdir()
        for place in range(count):
            photo(RANDOM).save(tmp_path / split / f"{('cat', 'dog')[place % 2]}.{place}.png")
    words = [
        str(tmp_path / "all of it"),
        "--val",
        str(tmp_path / "val"),
        "--label-from",
        "{label}.{#}.png",
        "--seed",
        "3",
    ]
    asked = CliRunner().invoke(app, ["inspect", *words, "--ignore", "*.gif"])
    assert asked.exit_code == 0, asked.output
    pictures = asked.stdout.replace("\n", " ").partition("pictures: ")[2]
    found = _inspected([*words, "--ignore", "*.gif"])
    advice = found.advice[-1].command
    assert shlex.split(advice)[:4] == ["hardener", "train", "MODEL", "--data"]
    for command in (shlex.split(advice)[4:], shlex.split(pictures)[2:-2]):
        assert _inspected(command).model_copy(update={"created_at": found.created_at}) == found


def _inspected(words: list[str]) -> DataInspection:
    done = CliRunner().invoke(app, ["inspect", *words, "--json", "-"])
    assert done.exit_code == 0, done.output
    return DataInspection.model_validate_json(done.stdout)
