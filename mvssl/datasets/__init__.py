"""Data sets."""

from mvssl.datasets.alike import images_differ
from mvssl.datasets.arrays import ArrayImages, TorchvisionImages
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.digits import Digits
from mvssl.datasets.folder import ImageFolder
from mvssl.datasets.hugging_face import HuggingFaceImages
from mvssl.datasets.image_list import ImageList
from mvssl.datasets.shards import TarShards

__all__ = [
    "ArrayImages",
    "Digits",
    "HuggingFaceImages",
    "ImageDataset",
    "ImageFolder",
    "ImageList",
    "TarShards",
    "TorchvisionImages",
    "images_differ",
]
