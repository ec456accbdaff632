"""OpenVINO's graph nodes and the operations that make them, wherever its release has them."""

try:
    from openvino import Node, opset13
except ImportError:  # openvino 2024, which openvino-dev belongs to
    from openvino.runtime import Node, opset13

__all__ = ["Node", "opset13"]
