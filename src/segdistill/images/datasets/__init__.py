"""Benchmark data sets, read from existing folders in their usual layouts.

A new data set is one module with a :class:`Dataset` and one :func:`register_dataset` call here.

Example:
    >>> get_dataset("cocostuff3").classes
    ('sky', 'plant', 'ground')
"""

from segdistill.images.datasets.base import Dataset, LabelledImage, Stock, map_labels
from segdistill.images.datasets.cityscapes import CITYSCAPES27
from segdistill.images.datasets.cocostuff import COCOSTUFF3, COCOSTUFF15, COCOSTUFF27
from segdistill.images.datasets.directory import CAMVID11, DIRECTORY
from segdistill.images.datasets.potsdam import POTSDAM3, POTSDAM_RAW
from segdistill.images.datasets.registry import dataset_names, get_dataset, register_dataset
from segdistill.images.datasets.voc import VOC21

__all__ = [
    "Dataset",
    "LabelledImage",
    "Stock",
    "dataset_names",
    "get_dataset",
    "map_labels",
    "register_dataset",
]

for _dataset in (
    COCOSTUFF27,
    COCOSTUFF15,
    COCOSTUFF3,
    CITYSCAPES27,
    POTSDAM3,
    POTSDAM_RAW,
    VOC21,
    CAMVID11,
    DIRECTORY,
):
    register_dataset(_dataset)
