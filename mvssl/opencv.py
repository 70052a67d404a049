"""OpenCV and mmcv, with a sentence on what to do where OpenCV cannot be loaded."""

from __future__ import annotations

from mvssl.errors import UserError

__all__ = ["cv2", "mmcv"]

try:
    import cv2
except ImportError as error:
    # The package with windows needs libraries that servers and containers often lack.
    raise UserError(
        f"OpenCV (cv2) cannot be loaded: {error}. Install the system's libraries for it (Debian, "
        "Ubuntu: apt-get install -y libgl1 libglib2.0-0), or the package without windows: "
        "pip uninstall opencv-python; pip install opencv-python-headless."
    ) from error

# After the above, since mmcv imports OpenCV itself and would fail first, without that sentence.
import mmcv
