"""Sources: what people bring -> classes and labelled images. One file each; the first that knows a path
reads it; a folder that no other knows is one of class folders."""

from __future__ import annotations

from hardener.catalog import Catalog, Entry

SOURCES: Catalog = {
    "image-folder": Entry(
        "hardener.data.sources.image_folder:ImageFolder",
        "a folder of class folders, DIR/cat/001.jpg, alone or below DIR/train, DIR/val and DIR/test",
    ),
    "svhn": Entry("hardener.data.sources.svhn:Svhn", "SVHN's train_32x32.mat and test_32x32.mat"),
    "foreign": Entry(
        "hardener.data.sources.foreign:Foreign", "what `hardener convert` takes: it is answered with the command"
    ),
    "hub": Entry(
        "hardener.data.sources.hub:Hub", "hf:ORG/NAME, a data set of the HuggingFace hub, from the cache or fetched"
    ),
    "webdataset": Entry("hardener.data.sources.webdataset:WebDataset", "WebDataset's tar files, alone or in a folder"),
    "parquet": Entry(
        "hardener.data.sources.parquet:Parquet", "parquet files of images or of their paths, as the hub holds them"
    ),
    "saved-dataset": Entry(
        "hardener.data.sources.saved_dataset:SavedDataset", "a folder that HuggingFace's save_to_disk wrote"
    ),
    "archive": Entry("hardener.data.sources.archive:Archive", "a zip or tar of such a folder, read in place"),
    "manifest": Entry(
        "hardener.data.sources.manifest:Manifest",
        "a table that names images and their classes: CSV, TSV, JSON lines, JSON, or a text file of paths and classes",
    ),
    "npz": Entry(
        "hardener.data.sources.npz:Npz", "a NumPy archive with train_images and train_labels, as MedMNIST's are"
    ),
    "idx": Entry("hardener.data.sources.idx:Idx", "a folder of IDX files, as MNIST's are, packed by gzip or not"),
    "cifar-binary": Entry("hardener.data.sources.cifar:Cifar", "a folder of CIFAR's binary version"),
}
