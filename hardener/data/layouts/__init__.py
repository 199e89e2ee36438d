"""Layouts: files and folders that lie as one data set is handed out -> classes and splits, in a folder and in an
archive alike. One file each; the first that knows a tree reads it; a tree that none knows has class folders."""

from __future__ import annotations

from hardener.catalog import Catalog, Entry

LAYOUTS: Catalog = {
    "file-names": Entry("hardener.data.layouts.file_names:read", "files whose names tell their class, by --label-from"),
    "tiny-imagenet": Entry(
        "hardener.data.layouts.tiny_imagenet:read", "Tiny-ImageNet's train/, and val/ with its list"
    ),
    "imagenet": Entry(
        "hardener.data.layouts.imagenet:read", "ILSVRC's train/nXXXXXXXX/, and val/ with its file of ground truth"
    ),
    "published": Entry(
        "hardener.data.layouts.published:read",
        "Oxford Pets, Flowers-102, Stanford Cars and Dogs, FGVC-Aircraft and GTSRB, with their files of classes",
    ),
    "split-lists": Entry(
        "hardener.data.layouts.split_lists:read", "class folders, and lists such as train.txt and test.txt beside them"
    ),
    "sheets": Entry("hardener.data.layouts.sheets:read", "tables beside the images that they name, metadata.csv too"),
}
