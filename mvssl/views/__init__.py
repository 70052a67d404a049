"""Views: what is drawn of an image, and the two engines that make it."""

import mvssl.views.sets  # noqa: F401
from mvssl.views.build import build_views
from mvssl.views.device_views import DeviceViews
from mvssl.views.host_views import HostViews
from mvssl.views.multi_view_preprocessor import MultiViewPreprocessor
from mvssl.views.ops import Drawn, Image, Operation, RandomOperation
from mvssl.views.preprocessor import Preprocessor, ViewTransform
from mvssl.views.view import View

__all__ = [
    "DeviceViews",
    "Drawn",
    "HostViews",
    "Image",
    "MultiViewPreprocessor",
    "Operation",
    "Preprocessor",
    "RandomOperation",
    "View",
    "ViewTransform",
    "build_views",
]
