"""Data sets."""

from mvssl.datasets.alike import images_differ
from mvssl.datasets.base import ImageDataset
from mvssl.datasets.digits import Digits
from mvssl.datasets.folder import ImageFolder

__all__ = ["Digits", "ImageDataset", "ImageFolder", "images_differ"]
