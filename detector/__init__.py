"""The deployed part: frames in, detections out. Needs numpy, opencv and openvino.

core/      letterbox, post-processing and detection in one frame, for any runtime
runtime/   model files in OpenVINO and ONNX Runtime
video/     the command `detect`: images, videos, cameras and streams
tracking/  objects over frames, lines and zones; needs the extra `track`
serve/     a page and a server, `detect --serve`; needs the extra `serve`
"""

import sys
from importlib import import_module

# OpenVINO's Python package would tell Intel of every import, through Google Analytics, unless the
# user opted out. Without this optional package it tells nobody.
sys.modules.setdefault("openvino_telemetry", None)

PUBLIC = {
    "Detector": "detector.runtime.detector",
    "Detections": "detector.core.frame_detector",
    "ModelError": "detector.core.backend",
}
__all__ = list(PUBLIC)


def __getattr__(name: str) -> object:
    """Import public names on first use: `detector.core` must load without OpenVINO, which a
    process that trains and forks should not hold."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)
