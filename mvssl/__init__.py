"""mvssl: self-supervised pretraining from several views of an image.

An image becomes views, views become embeddings, embeddings become one record, a head turns the
record into a loss. ``mvssl.information`` measures in nats what the embeddings of two views share.
"""

from typing import TYPE_CHECKING, Any

from mvssl.version import __version__

if TYPE_CHECKING:
    from mvssl.models.backbones import load_backbone

__all__ = ["__version__", "load_backbone"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import mvssl.information` stays free of mmengine and timm.
    if name == "load_backbone":
        from mvssl.models.backbones import load_backbone

        return load_backbone
    raise AttributeError(f"module 'mvssl' has no attribute {name!r}")
