"""JSON, as a file or by lines -> a table: a list of objects, an object by name, by class or by split, COCO's lists."""

from __future__ import annotations

import json
from typing import Any

from hardener.data.split_names import split_of
from hardener.data.tables.content import Table, as_text, lines_of, looks_like_image
from hardener.errors import HardenerError

OF_CATEGORIES = ["file_name", "category"]
"""The columns of COCO's lists: an image, and the class of what is on it."""


def lines_of_json(name: str, text: str) -> list[Any]:
    found = []
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError):
                raise HardenerError(
                    f"line {number} of {name} is no JSON. Each line is an object such as "
                    '{"path": "imgs/1.jpg", "label": "cat"}.'
                ) from None
    return found


def of_json(name: str, text: str) -> Table:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HardenerError(f"{name} is no JSON that can be read: {error}.") from None
    if isinstance(found, dict) and {"images", "annotations", "categories"} <= found.keys():
        return _of_categories(name, found)
    if isinstance(found, dict) and {"images", "annotations"} <= found.keys():
        raise HardenerError(
            f"{name} is a list of COCO's without categories, such as captions. Pass the one with classes: "
            "instances_train2017.json, or the folder that holds annotations/."
        )
    if isinstance(found, dict) and _is_divided_by_name(found):
        return of_objects(name, _by_split(name, found))
    if isinstance(found, dict) and isinstance(found.get("labels"), dict) and isinstance(found.get("classes"), list):
        return _of_labels(name, found["labels"], found["classes"])
    if isinstance(found, dict) and found and all(map(looks_like_image, found)):
        if all(isinstance(value, dict) for value in found.values()):
            return of_objects(name, [{"path": path, **value} for path, value in found.items()])
        return Table(name, {"path": list(found), "label": [as_text(value) for value in found.values()]})
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        own = "key" if any("name" in value for value in found.values()) else "name"
        return of_objects(name, [{own: key, **value} for key, value in found.items()])
    if isinstance(found, dict) and (listed := _of_lists(found)):
        return Table(name, {"path": [path for path, _ in listed], "label": [label for _, label in listed]})
    if isinstance(found, dict) and (items := _of_items(found) or _of_samples(found)):
        return of_objects(name, items)
    if isinstance(found, dict) and found and all(isinstance(value, list) for value in found.values()):
        listed_rows = len(found) == 1 and all(isinstance(row, dict) for value in found.values() for row in value)
        if len({len(value) for value in found.values()}) == 1 and not listed_rows:
            return Table(name, {key: [as_text(value) for value in column] for key, column in found.items()})
    if isinstance(found, list) and (rows := _of_tasks(found)):
        return of_objects(name, rows)
    return of_objects(name, only_list(found) or found)


def _of_items(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the images of Datumaro's JSON with their labels as rows; nothing for another object.

    An image without a label of its own, or with several, has an empty cell.
    """
    try:
        names = [label["name"] for label in found["categories"]["label"]["labels"]]
        rows = []
        for item in found["items"]:
            own = [one["label_id"] for one in item["annotations"] if one["type"] == "label"]
            path = item.get("image", {}).get("path") or item["id"]
            rows.append({"path": path, "label": names[own[0]] if len(own) == 1 else ""})
    except (KeyError, TypeError, IndexError, AttributeError):
        return []
    return rows if any(row["label"] for row in rows) else []


def _of_samples(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return FiftyOne's samples as rows, with the split that their tags tell; nothing for another object."""
    samples = found.get("samples")
    if not isinstance(samples, list) or not all(isinstance(one, dict) and "filepath" in one for one in samples):
        return []
    rows = []
    for one in samples:
        told = {key: own["label"] for key, own in one.items() if isinstance(own, dict) and "label" in own}
        tags = one.get("tags")
        splits = [tag for tag in tags if isinstance(tag, str) and split_of(tag)] if isinstance(tags, list) else []
        rows.append({"filepath": one["filepath"], **told, "split": splits[0] if len(splits) == 1 else ""})
    if not any(row["split"] for row in rows):
        rows = [{key: row[key] for key in row if key != "split"} for row in rows]
    return rows if any(len(row) > 1 for row in rows) else []


def _of_tasks(found: list[Any]) -> list[dict[str, Any]]:
    """Return Label Studio's tasks as rows; nothing for another list, or where no image has a choice.

    A question has one column, called label where it is the only one. Where answers contradict, the cell is empty.
    """
    if not all(isinstance(task, dict) and isinstance(task.get("annotations"), list) for task in found):
        return []
    rows: list[dict[str, Any]] = []
    asked: dict[str, None] = {}
    for task in found:
        told: dict[str, set[str]] = {}
        for result in (item for own in task["annotations"] if not own.get("was_cancelled") for item in own["result"]):
            choices = result.get("value", {}).get("choices")
            if isinstance(choices, list):
                told.setdefault(str(result.get("from_name", "label")), set()).update(map(as_text, choices))
        asked |= dict.fromkeys(told)
        answers = {question: own.pop() if len(own) == 1 else "" for question, own in told.items()}
        rows.append({**(task["data"] if isinstance(task.get("data"), dict) else {}), **answers})
    if len(asked) == 1:
        (question,) = asked
        rows = [{**{key: row[key] for key in row if key != question}, "label": row.get(question, "")} for row in rows]
    return rows if asked else []


def _of_labels(name: str, labels: dict[str, Any], names: list[Any]) -> Table:
    """Read {"classes": ["cat", "dog"], "labels": {"000001": 0}}, as FiftyOne writes it."""
    known = {number: as_text(own) for number, own in enumerate(names)}
    found = [
        known.get(value, as_text(value)) if isinstance(value, int) else as_text(value) for value in labels.values()
    ]
    return Table(name, {"name": list(labels), "label": found})


def only_list(found: object) -> list[Any] | None:
    """Return a list, or the one list of an object that is neither empty nor of numbers: {"samples": […], "size": 3}."""
    if isinstance(found, list):
        return found
    values = found.values() if isinstance(found, dict) else ()
    lists = [own for own in values if isinstance(own, list) and own and isinstance(own[0], dict | str)]
    return lists[0] if len(lists) == 1 else None


def _is_divided_by_name(found: dict[str, Any]) -> bool:
    """Tell whether an object lists what lies in train, val and test: most of its names are those of several splits."""
    named = [split for key, value in found.items() if isinstance(value, list | dict) and (split := split_of(key))]
    return bool(named) and (len(named) == len(found) or (len(set(named)) > 1 and 2 * len(named) > len(found)))


def _by_split(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the entries of each split as rows.

    Raises:
        HardenerError: one tells no class.
    """
    rows: list[dict[str, Any]] = []
    for split, entries in found.items():
        pairs = list(entries.items()) if isinstance(entries, dict) else entries
        for entry in pairs if isinstance(pairs, list) else []:
            if isinstance(entry, list | tuple) and len(entry) == 2 and looks_like_image(str(entry[0])):
                rows.append({"path": entry[0], "label": entry[1], "split": split})
            elif isinstance(entry, dict):
                rows.append({**entry, "split": split})
            else:
                raise HardenerError(
                    f"{name} lists images of {', '.join(list(found)[:3])}, and no class of {as_text(entry)[:50]}. "
                    'Write each as {"path": "imgs/1.jpg", "label": "cat"}; or, where they lie in class folders, pass '
                    "--data with the folder that holds these and the list."
                )
    return rows


def _of_lists(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return paths and classes of an object that lists the images of each class; nothing where it is another."""
    rows = [(path, key) for key, paths in found.items() if isinstance(paths, list) for path in paths]
    told = [isinstance(path, str) and (looks_like_image(path) or path.startswith(f"{key}/")) for path, key in rows]
    alike = (
        len({column.lower() for column in found} & {"path", "file", "filename", "file_name", "image", "images"}) == 0
    )
    return rows if rows and all(told) and alike and all(isinstance(paths, list) for paths in found.values()) else []


def _of_categories(name: str, found: dict[str, Any]) -> Table:
    """Read COCO's lists where they tell a category an image and no boxes, as iNaturalist's do."""
    try:
        kinds = {item["id"]: str(item["name"]) for item in found["categories"]}
        files = {item["id"]: str(item["file_name"]) for item in found["images"]}
        rows = [(files[item["image_id"]], kinds[item["category_id"]]) for item in found["annotations"]]
    except (KeyError, TypeError) as error:
        raise HardenerError(f"{name} is no list of COCO's that can be read: {type(error).__name__}: {error}.") from None
    return Table(name, dict(zip(OF_CATEGORIES, ([row[place] for row in rows] for place in (0, 1)), strict=True)))


def of_objects(name: str, found: object) -> Table:
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise HardenerError(
            f'{name} is no list of objects. A row an image is read, such as {{"path": "imgs/1.jpg", "label": "cat"}}.'
        )
    found = [_flat(item) for item in _accepted(found)]
    header = list(dict.fromkeys(key for item in found for key in item))
    return Table(name, {key: [as_text(item.get(key)) for item in found] for key in header})


def _accepted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return Prodigy's rows that were accepted, with the one option that was chosen as their label; others as they are.

    There `answer` says what became of a row, and is no class.
    """
    answers = {item.get("answer") for item in found}
    if not answers or not answers <= {"accept", "reject", "ignore"}:
        return found
    kept = [{key: item[key] for key in item if key != "answer"} for item in found if item["answer"] == "accept"]
    chosen = [item.pop("accept", None) for item in kept]
    for item, options in zip(kept, chosen, strict=True):
        if isinstance(options, list):
            item["label"] = options[0] if len(options) == 1 else ""
            item.pop("options", None)
    return kept


def _flat(item: dict[str, Any]) -> dict[str, Any]:
    """Return an object whose own objects are taken apart: {"image": {"path": "1.jpg"}} has the column image.path."""
    parts: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict) and value and not any(isinstance(inner, dict | list) for inner in value.values()):
            parts |= {f"{key}.{inner}": cell for inner, cell in value.items()}
        else:
            parts[key] = value
    return parts
