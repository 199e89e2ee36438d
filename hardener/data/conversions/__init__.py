"""Conversions: data sets that are not read as they are -> class folders. One file each; the first that knows a path
converts it."""

from __future__ import annotations

from hardener.catalog import Catalog, Entry

CONVERSIONS: Catalog = {
    "coco": Entry("hardener.data.conversions.coco:Coco", "COCO's list of boxes, instances_train2017.json"),
    "voc": Entry("hardener.data.conversions.voc:Voc", "Pascal VOC's XML files, in Annotations/ or beside the images"),
    "yolo": Entry("hardener.data.conversions.yolo:Yolo", "YOLO's text files of boxes, in labels/ or beside the images"),
    "tfrecord": Entry("hardener.data.conversions.tfrecord:TfRecord", "TFRecord files of tf.train.Example"),
    "lmdb": Entry("hardener.data.conversions.lmdb:Lmdb", "an LMDB of image files, or of Caffe's Datum"),
    "hdf5": Entry("hardener.data.conversions.hdf5:Hdf5", "HDF5 files of arrays of images and labels"),
    "arrays": Entry(
        "hardener.data.conversions.arrays:PlainArrays",
        "arrays of images and labels, in a MATLAB file or in NumPy files side by side",
    ),
    "pixel-table": Entry(
        "hardener.data.conversions.pixel_table:PixelTable", "a table of the pixels themselves, as Kaggle's digits are"
    ),
    "cifar-python": Entry("hardener.data.conversions.cifar_python:CifarPython", "CIFAR's Python version, of pickles"),
}
