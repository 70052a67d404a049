"""What is said where OpenCV cannot be loaded."""

from __future__ import annotations

import sys

import pytest

from mvssl.errors import UserError


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "mvssl.opencv", raising=False)
    with pytest.raises(UserError, match=r"cv2.*libgl1.*headless"):
        import mvssl.opencv  # noqa: F401
