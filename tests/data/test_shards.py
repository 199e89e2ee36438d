"""Shards: parquet files, HuggingFace's saved data sets, WebDataset's tar files, data sets of the hub."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import pytest
from oracles import write_image_folder

from hardener.config.reading import AS_FOUND, Reading
from hardener.data.data_set import DataSet, read_data_set, read_held_out, read_source
from hardener.data.image_files import ImageFiles
from hardener.errors import HardenerError

CLASSES = ["cat", "dog", "emu"]
Rows = list[tuple[Path, str]]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders below train and test: what every form is to give again."""
    root = tmp_path_factory.mktemp("images")
    for seed, split in enumerate(("train", "test")):
        write_image_folder(root / split, dict.fromkeys(CLASSES, 7), seed=seed)
    return root


def rows_of(images: Path, split: str) -> Rows:
    return [(path, path.parent.name) for path in sorted((images / split).rglob("*.png"))]


def features(names: list[str] | None) -> dict[bytes, bytes]:
    label = {"_type": "Value", "dtype": "string"} if names is None else {"names": names, "_type": "ClassLabel"}
    return {b"huggingface": json.dumps({"info": {"features": {"img": {"_type": "Image"}, "label": label}}}).encode()}


def hub_table(rows: Rows, names: list[str] | None = CLASSES) -> pa.Table:
    """Return rows as the hub holds them: an image is a struct of bytes and path."""
    cells = [{"bytes": path.read_bytes(), "path": path.name} for path, _ in rows]
    labels = [label if names is None else names.index(label) for _, label in rows]
    found = pa.table({"img": pa.array(cells), "label": pa.array(labels)})
    return found.replace_schema_metadata(features(names))


def same(folder: DataSet, images: Path) -> None:
    """Compare with the class folders: the classes, and each image's bytes and class."""
    plain = read_data_set(images)
    assert folder.classes == plain.classes
    assert folder.test is not None
    assert plain.test is not None
    for ours, theirs in ((folder.test, plain.test), (folder.train, plain.train), (folder.validation, plain.validation)):
        assert len(ours) == len(theirs)
    assert held(folder.test) == held(plain.test)
    parts = [(held(kind.train) | held(kind.validation)) for kind in (folder, plain)]
    assert parts[0] == parts[1]


def held(files: ImageFiles) -> dict[bytes, int]:
    return {files.open(place): label for place, label in enumerate(files.labels)}


def parquet_shards(images: Path, root: Path) -> Path:
    (root / "data").mkdir(parents=True)
    (root / "README.md").write_text("---\nlicense: mit\n---\n")
    train, test = rows_of(images, "train"), rows_of(images, "test")
    for place, some in enumerate((train[:10], train[10:])):
        name = f"train-{place:05}-of-00002.parquet"
        pyarrow.parquet.write_table(hub_table(some), root / "data" / name, row_group_size=4)
    pyarrow.parquet.write_table(hub_table(test), root / "data" / "test-00000-of-00001-a1b2.parquet")
    pyarrow.parquet.write_table(hub_table(test), root / "data" / "unsupervised-00000-of-00001.parquet")
    return root


def converted(images: Path, root: Path) -> Path:
    for split in ("train", "test"):
        (root / "default" / split).mkdir(parents=True)
        pyarrow.parquet.write_table(hub_table(rows_of(images, split)), root / "default" / split / "0000.parquet")
    return root


def saved(images: Path, root: Path) -> Path:
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        found = hub_table(rows_of(images, split))
        with pyarrow.ipc.new_stream(str(root / split / "data-00000-of-00001.arrow"), found.schema) as file:
            file.write_table(found, max_chunksize=5)
        (root / split / "dataset_info.json").write_text("{}")
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
        (root / split / "state.json").write_text(json.dumps(state))
    (root / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    return root


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def tars(label: Callable[[str], tuple[str, bytes]], folder: str = "", packed: str = "") -> Callable[[Path, Path], Path]:
    def write(images: Path, root: Path) -> Path:
        root.mkdir()
        for split in ("train", "test"):
            rows = rows_of(images, split)
            for place, some in enumerate((rows[:9], rows[9:])):
                name = root / f"{split}-{place:06}.tar{'.gz' if packed else ''}"
                with tarfile.open(name, "w:gz" if packed else "w") as archive:
                    for number, (path, kind) in enumerate(some):
                        ending, data = label(kind)
                        add(archive, f"{folder}{place}{number:05}.png", path.read_bytes())
                        add(archive, f"{folder}{place}{number:05}.{ending}", data)
        return root

    return write


def with_names(images: Path, root: Path) -> Path:
    tars(lambda kind: ("cls", str(CLASSES.index(kind)).encode()))(images, root)
    (root / "classnames.txt").write_text("\n".join(CLASSES) + "\n")
    return root


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    "parquet": parquet_shards,
    "converted": converted,
    "save_to_disk": saved,
    "tar": tars(lambda kind: ("cls", kind.encode())),
    "tar, json": tars(lambda kind: ("json", json.dumps({"label": kind, "caption": "a, b"}).encode())),
    "tar, folders": tars(lambda kind: ("cls", kind.encode()), folder="a/b/"),
    "tar, packed": tars(lambda kind: ("cls", kind.encode()), packed="gz"),
    "tar, names": with_names,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_shards_give_what_the_folder_gives(form: Callable[[Path, Path], Path], images: Path, tmp_path: Path) -> None:
    root = form(images, tmp_path / "d")
    folder = read_data_set(root)
    same(folder, images)
    assert folder.drawn == ("validation",)
    assert read_held_out(root, known=tuple(CLASSES)).split == "test"
    files = folder.train
    alone = [files.open(place) for place in range(len(files))]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(files.open, [*range(len(files))] * 5)) == alone * 5
    before = files.store.stamps(files.root, files.paths[:1])
    shard = next(path for path in sorted(root.rglob("*")) if path.is_file() and "train" in str(path.relative_to(root)))
    shard.write_bytes(shard.read_bytes() + b"\0" * 512)
    assert files.store.stamps(files.root, files.paths[:1]) != before


def test_one_parquet_file_is_split_by_a_column_or_drawn(images: Path, tmp_path: Path) -> None:
    rows = rows_of(images, "train") + rows_of(images, "test")
    found = hub_table(rows, None)
    pyarrow.parquet.write_table(found, tmp_path / "a.parquet")
    assert read_data_set(tmp_path / "a.parquet").drawn == ("validation", "test")
    splits = pa.array([path.parents[1].name for path, _ in rows])
    pyarrow.parquet.write_table(found.append_column("split", splits), tmp_path / "b.parquet")
    same(read_data_set(tmp_path / "b.parquet"), images)


def test_plain_bytes_and_paths_in_parquet_are_read(images: Path, tmp_path: Path) -> None:
    rows = rows_of(images, "train")
    bare = pa.table({"picture": [path.read_bytes() for path, _ in rows], "y": [label for _, label in rows]})
    pyarrow.parquet.write_table(bare, tmp_path / "bytes.parquet")
    paths = {"path": [str(path.relative_to(images)) for path, _ in rows], "species": [label for _, label in rows]}
    pyarrow.parquet.write_table(pa.table(paths), images / "paths.parquet")
    structs = pa.table({"image": [{"bytes": None, "path": path} for path in paths["path"]], "label": paths["species"]})
    pyarrow.parquet.write_table(structs, images / "structs.parquet")
    try:
        for path in (tmp_path / "bytes.parquet", images / "paths.parquet", images / "structs.parquet"):
            folder = read_data_set(path)
            everything = {key: value for files in folder.splits.values() for key, value in held(files).items()}
            assert everything == {path.read_bytes(): CLASSES.index(label) for path, label in rows}
    finally:
        for name in ("paths", "structs"):
            (images / f"{name}.parquet").unlink()


def test_the_order_of_the_classes_is_the_schemas_and_a_class_untold_is_left_out(images: Path, tmp_path: Path) -> None:
    names = ["emu", "unused", "dog", "cat"]
    found = hub_table(rows_of(images, "train"), names)
    column = pa.array([-1, *found["label"].to_pylist()[1:]])
    metadata = found.schema.metadata
    found = found.set_column(1, "label", column).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(found, tmp_path / "a.parquet")
    brought = read_source(tmp_path / "a.parquet", AS_FOUND)
    assert brought.classes == ("emu", "dog", "cat")
    assert [(fact.reason, fact.count) for fact in brought.left_out] == [("rows without a class", 1)]


def broken(data: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "a.parquet").write_bytes(data)
        return folder / "a.parquet"

    return write


def table_at(folder: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pa.table(columns), folder / "a.parquet")
    return folder / "a.parquet"


def configurations(folder: Path) -> Path:
    for name in ("one", "two"):
        (folder / name).mkdir()
        table_at(folder / name, image=[b"x"], label=["a"])
    return folder


def no_classes(folder: Path) -> Path:
    with tarfile.open(folder / "a.tar", "w") as archive:
        add(archive, "0.png", b"x")
        add(archive, "0.json", b'{"caption": "a cat"}')
        add(archive, "1.png", b"x")
        add(archive, "1.json", b'{"caption": "another"}')
    return folder / "a.tar"


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "torn": (broken(b"PAR1" + b"x" * 50), "a.parquet is no parquet file that can be read"),
    "empty": (broken(b""), "a.parquet is no parquet file that can be read"),
    "no rows": (lambda f: table_at(f, image=pa.array([], pa.binary()), label=pa.array([], pa.string())), "has no rows"),
    "no class": (lambda f: table_at(f, image=[b"x", b"y"], note=["a", "b"], more=[0.5, 0.6]), "--label-column"),
    "two images": (lambda f: table_at(f, a=[b"x"], b=[b"y"], label=["c"]), "several columns of images: a, b. Name one"),
    "several": (configurations, "holds several data sets, in one, two. Pass one: --data .*/two"),
    "tar without classes": (no_classes, "none is known to hold classes. Name it: --label-column"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_shards_that_cannot_be_read_are_refused_with_the_way(
    make: Callable[[Path], Path], says: str, tmp_path: Path
) -> None:
    with pytest.raises(HardenerError, match=says):
        read_data_set(make(tmp_path))


def test_a_row_without_an_image_is_one_that_cannot_be_read(images: Path, tmp_path: Path) -> None:
    rows = rows_of(images, "train")
    cells: list[bytes | None] = [path.read_bytes() for path, _ in rows]
    cells[3] = None
    files = read_source(table_at(tmp_path, image=cells, label=[label for _, label in rows]), AS_FOUND)
    (group,) = files.splits.values()
    with pytest.raises(OSError, match="holds no image"):
        group.labelled(tuple(CLASSES)).open(3)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table_at(tmp_path, image=[b"x"], label=["a"])
    for name in [name for name in sys.modules if name.startswith("pyarrow")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without(), *sys.meta_path])
    with pytest.raises(HardenerError, match="read by pyarrow. Install it: pip install 'hardener\\[parquet\\]'"):
        read_source(path, AS_FOUND)


class _Without:
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.fixture
def cache(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache as its library keeps it: files once, and links to them in a snapshot."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repository = tmp_path / "hub" / "datasets--someone--pets"
    snapshot = repository / "snapshots" / ("a" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "blobs").mkdir()
    source = parquet_shards(images, tmp_path / "source")
    for number, path in enumerate(sorted(source.rglob("*.parquet"))):
        link = snapshot / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        path.rename(repository / "blobs" / f"{number}")
        link.symlink_to(repository / "blobs" / f"{number}")
    return snapshot


@pytest.mark.parametrize("name", ["someone/pets", "datasets/someone/pets", "someone/pets@main", "someone/pets/data"])
def test_a_data_set_of_the_hub_is_read_from_the_cache(name: str, cache: Path, images: Path) -> None:
    folder = read_data_set(Path(f"hf:{name}"))
    same(folder, images)
    assert folder.brought.kind == "parquet"


def test_a_table_in_the_hubs_cache_may_name_what_its_links_lead_to(cache: Path, images: Path) -> None:
    for path in cache.rglob("*.parquet"):
        path.unlink()
    lines = ["file_name,label"]
    for number, (path, label) in enumerate(rows_of(images, "train")):
        blob = cache.parents[1] / "blobs" / f"image{number}"
        blob.write_bytes(path.read_bytes())
        (cache / f"{number}.png").symlink_to(blob)
        lines.append(f"{number}.png,{label}")
    (cache / "metadata.csv").write_text("\n".join(lines))
    assert sum(map(len, read_data_set(Path("hf:someone/pets")).splits.values())) == 21


@pytest.mark.parametrize("name", ["hf:someone/nothing", "hf:a b", "hf:someone/pets/nowhere"])
def test_what_the_hub_does_not_have_is_refused_with_the_way(name: str, cache: Path) -> None:
    says = {"hf:a b": "Write hf:ORG/NAME", "hf:someone/nothing": "hf download someone/nothing --repo-type dataset"}
    with pytest.raises(HardenerError, match=says.get(name, "has no folder nowhere")):
        read_data_set(Path(name))


def test_columns_of_shards_are_chosen_by_the_user(images: Path, tmp_path: Path) -> None:
    rows = rows_of(images, "train")
    cells = [path.read_bytes() for path, _ in rows]
    path = table_at(tmp_path, left=cells, right=cells[::-1], label=["x"] * len(rows), bird=[label for _, label in rows])
    folder = read_data_set(path, reading=Reading(path_column="left", label_column="bird"))
    assert folder.classes == tuple(CLASSES)
    assert set(held(folder.train)) <= set(cells)


def extra_parquet(images: Path, root: Path) -> Path:
    parquet_shards(images, root)
    pyarrow.parquet.write_table(hub_table(rows_of(images, "test")), root / "data" / "extra-00000-of-00001.parquet")
    return root


def extra_converted(images: Path, root: Path) -> Path:
    converted(images, root)
    (root / "default" / "extra").mkdir()
    pyarrow.parquet.write_table(hub_table(rows_of(images, "test")), root / "default" / "extra" / "0000.parquet")
    return root


def extra_tar(images: Path, root: Path) -> Path:
    tars(lambda kind: ("cls", kind.encode()))(images, root)
    (root / "test-000000.tar").rename(root / "extra000.tar")
    return root


@pytest.mark.parametrize(
    ("form", "way"),
    [
        (extra_parquet, "--ignore 'extra-*-of-*.parquet'"),
        (extra_converted, "--ignore default/extra"),
        (extra_tar, "--ignore 'extra*.tar'"),
    ],
)
def test_a_shard_of_no_known_split_beside_those_of_splits_is_refused_with_the_way(
    form: Callable[[Path, Path], Path], way: str, images: Path, tmp_path: Path
) -> None:
    root = form(images, tmp_path / "d")
    with pytest.raises(HardenerError, match="has files of splits .* beside others .*extra.* such as train-") as caught:
        read_data_set(root)
    assert f"or pass {way} to leave them out" in str(caught.value)
    reading = Reading(ignore=(way.split(" ")[1].strip("'"),))
    folder = read_data_set(root, reading=reading)
    assert {Path(path).parts[0] for path in folder.sources.values() if "extra" in path} == set()
    assert folder.test is not None
    assert sum(map(len, folder.splits.values())) == (33 if form is extra_tar else 42)
    with pytest.raises(HardenerError, match="--ignore passes over all of them"):
        read_data_set(root, reading=Reading(ignore=("*.tar", "*.parquet")))


def test_shards_without_classes_by_their_name_are_left_out_and_said(images: Path, tmp_path: Path) -> None:
    doubts = read_data_set(parquet_shards(images, tmp_path / "d")).brought.doubts
    assert [doubt for doubt in doubts if "unsupervised-00000-of-00001.parquet: the name says" in doubt]


def test_shards_that_tell_no_split_are_read_whatever_their_number(images: Path, tmp_path: Path) -> None:
    rows = rows_of(images, "train")
    for place, some in enumerate((rows[:10], rows[10:])):
        pyarrow.parquet.write_table(hub_table(some), tmp_path / f"data-{place:05}-of-00002.parquet")
    assert sum(map(len, read_data_set(tmp_path).splits.values())) == len(rows)
