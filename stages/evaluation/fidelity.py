"""The share of frames without labels in which a variant answers otherwise than PyTorch.

PyTorch's detections stand for the truth: those that the deployed model would report.
"""

import base64

import numpy as np
from scipy import stats

from stages.common.coco_eval import score
from stages.evaluation.bootstrap import interval, resampled_ap, truth_id
from stages.evaluation.matching import by_image, match


def fidelity(pool: dict, reference: list[dict], rows: list[dict], confidences: list[float]) -> dict:
    """Compare the detections of a variant with PyTorch's.

    Args:
        pool: the COCO of the frames, without boxes; at least one frame.
        reference, rows: what PyTorch and the variant found, rows of COCO result files.
        confidences: of each class, 0..1; the deployed model reports detections from there.

    Returns:
        frames: their number.
        changed_per_1000: frames in which one of both reports a box that the other does not, with
            the 95 % `interval` of their share (Wilson, 1927), which takes frames as independent.
        AP: of the variant, if what PyTorch reports is the truth, with its AP_interval; None where
            it reports nothing.
        pool: hash of the frames.
        changed: of each frame, 1 for another answer; see `packed_bits`.
    """
    frames = [image["id"] for image in pool["images"]]
    ours, others = (by_image(found, confidences) for found in (reference, rows))
    changed = np.array([is_changed(ours[frame], others[frame]) for frame in frames])
    share = stats.binomtest(int(changed.sum()), len(frames)).proportion_ci(method="wilson")
    found = {
        "frames": len(frames),
        "changed_per_1000": per_1000(changed.mean()),
        "interval": [per_1000(share.low), per_1000(share.high)],
        "AP": None,
        "AP_interval": None,
        "pool": truth_id(pool),
        "changed": packed_bits(changed),
    }
    boxes = [row for frame in frames for row in ours[frame]]
    if not boxes:
        return found
    evaluation = score({**pool, "annotations": as_truth(boxes)}, rows)
    ends = interval(resampled_ap(evaluation), len(frames))
    found["AP"] = round(float(evaluation.stats[0]), 4)
    found["AP_interval"] = [round(end, 4) for end in ends]
    return found


def is_changed(rows: list[dict], others: list[dict]) -> bool:
    """Return True if a box of one list has no counterpart in the other one."""
    return len(rows) != len(others) or any(index is None for index, _ in match(rows, others))


def as_truth(rows: list[dict]) -> list[dict]:
    """Return detections as annotations."""
    return [
        {
            "id": number,
            **{key: row[key] for key in ("image_id", "category_id", "bbox")},
            "area": row["bbox"][2] * row["bbox"][3],
            "iscrowd": 0,
        }
        for number, row in enumerate(rows, 1)
    ]


def per_1000(share: float) -> float:
    return round(1000 * float(share), 1)


def packed_bits(values: np.ndarray) -> str:
    """Encode bool [n] for a metrics file: base64 of eight to a byte."""
    return base64.b64encode(np.packbits(values).tobytes()).decode()


def unpacked_bits(text: str, count: int) -> np.ndarray:
    """Decode what `packed_bits` wrote: bool [count]."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))[:count].astype(bool)
