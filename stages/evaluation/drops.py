"""The AP that a variant lost against another one, in AP points."""

REFERENCE, FLOAT, INT8 = "torch", ("onnx", "ir"), "int8"
VARIANTS = (REFERENCE, *FLOAT, INT8)


def drop(before: dict, after: dict, interval: tuple[float, float]) -> dict:
    """Return how many AP points a variant lies below another one; negative: above.

    Args:
        before, after: figures of both, see `stages.common.coco_eval.accuracy`.
        interval: the 95 % interval of the difference of AP, -1 to 1.
    """
    return {
        "AP": points(before["AP"] - after["AP"]),
        "AP50": points(before["AP50"] - after["AP50"]),
        "interval": [points(end) for end in interval],
        "per_class": {
            label: points(figures["AP"] - after["per_class"][label]["AP"])
            for label, figures in before["per_class"].items()
            if figures["AP"] is not None
        },
    }


def points(share: float) -> float:
    """Return AP points with two digits, without a negative zero."""
    return round(100 * share, 2) + 0.0
