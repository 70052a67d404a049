from __future__ import annotations

from collections.abc import Iterator

import pytest

from mvssl.registry import VIEW_OPS
from tests.views.darken import Darken


@pytest.fixture
def darken() -> Iterator[None]:
    """``Darken`` stands in the registry, and its short name is known."""
    VIEW_OPS.register_module(module=Darken)
    yield
    VIEW_OPS.module_dict.pop("Darken")
