"""Sources: what people bring -> classes and labelled images. One file each; the first that knows a path reads it."""

from __future__ import annotations

from hardener.catalog import Catalog, Entry

SOURCES: Catalog = {
    "image-folder": Entry(
        "hardener.data.sources.image_folder:ImageFolder",
        "a folder of class folders, DIR/cat/001.jpg, alone or below DIR/train, DIR/val and DIR/test",
    ),
}
