"""Views: what is drawn of an image, and the two engines that make it."""

from mvssl.views.device_views import DeviceViews
from mvssl.views.draws import ViewDraw, draw
from mvssl.views.host_views import HostViews
from mvssl.views.preprocessor import MultiViewPreprocessor
from mvssl.views.sets import VIEW_SETS, View, build_views

__all__ = [
    "VIEW_SETS",
    "DeviceViews",
    "HostViews",
    "MultiViewPreprocessor",
    "View",
    "ViewDraw",
    "build_views",
    "draw",
]
