"""Convolutions by their part in YOLOX, found by the names that `export` gives them."""

import re

ROLES = {
    "predictions": r"head\.(cls|reg|obj)_preds\.",
    "stem": r"backbone\.backbone\.stem\b",
    "first_block": r"backbone\.backbone\.dark2\.0\b",
    "depthwise": r"\.dconv\b",
}


def layer_name(name: str) -> str:
    """A convolution's name without what OpenVINO and the exporter add to it."""
    return name.split("/")[0].removesuffix(".conv")


def has_role(name: str, roles: tuple[str, ...]) -> bool:
    """Whether a convolution of this name has one of the roles."""
    return any(re.search(ROLES[role], name) for role in roles)
