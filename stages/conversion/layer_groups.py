"""Groups of convolutions in YOLOX, found by the names that `export` gives them."""

import re

GROUPS = {
    "predictions": r"head\.(cls|reg|obj)_preds\.",
    "stem": r"backbone\.backbone\.stem\b",
    "first_block": r"backbone\.backbone\.dark2\.0\b",
    "depthwise": r"\.dconv\b",
}


def layer_name(name: str) -> str:
    """Remove what OpenVINO and the exporter add to the name of a convolution."""
    return name.split("/")[0].removesuffix(".conv")


def in_groups(name: str, groups: tuple[str, ...]) -> bool:
    """Return whether a convolution of this name is in any of the groups."""
    return any(re.search(GROUPS[group], name) for group in groups)
