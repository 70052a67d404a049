"""mvssl: self-supervised pretraining from several views of an image.

An image becomes views, views become embeddings, embeddings become one record, a head turns the
record into a loss. ``mvssl.information`` measures in nats what the embeddings of two views share.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mvssl.version import __version__

if TYPE_CHECKING:
    from mvssl.apis.export import export
    from mvssl.apis.extract import extract
    from mvssl.models.backbones import load_backbone

__all__ = ["__version__", "export", "extract", "load_backbone"]

_PLACES = {
    "export": "mvssl.apis.export",
    "extract": "mvssl.apis.extract",
    "load_backbone": "mvssl.models.backbones",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import mvssl.information` stays free of mmengine and timm.
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'mvssl' has no attribute {name!r}")
