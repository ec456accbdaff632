"""The subsets of the export that are kept as train, val or test."""

import re
from collections import Counter

import numpy as np

from stages.common.params import Split
from stages.common.run import UserError

SPLITS = ("train", "val", "test")
# In the order of SPLITS; a number may follow.
SUBSET_NAMES = ("train(ing)?", "val(id(ation)?)?", "test(ing)?")


def splits_of_subsets(subsets: list[str], given: dict[str, str] | None = None) -> np.ndarray:
    """Return the split of each image by the name of its subset: int [images], -1 if it is drawn.

    Args:
        subsets: of each image.
        given: `split.subsets`, which goes before the names that are understood.
    """
    patterns = [re.compile(rf"{name}\W*\d*", re.IGNORECASE) for name in SUBSET_NAMES]
    named = {s: [i for i, p in enumerate(patterns) if p.fullmatch(s)] for s in set(subsets)}
    named |= {subset: [SPLITS.index(split)] for subset, split in (given or {}).items()}
    fixed = np.array([[*named[subset], -1][0] for subset in subsets])
    if not (fixed == SPLITS.index("val")).any():
        fixed[fixed == SPLITS.index("train")] = -1  # val is drawn from the train subset
    return fixed


def check_subsets(images: list[dict], params: Split) -> None:
    """Check that the subsets leave something to train on, and that `split.subsets` names them.

    Raises:
        UserError: with the subsets that were found and how to map them.
    """
    subsets = [image["subset"] for image in images]
    if unknown := sorted(params.subsets.keys() - set(subsets)):
        raise UserError(
            f"split.subsets names {', '.join(map(repr, unknown))}, and the data set has the "
            f"subsets {listed(subsets)}; correct the names"
        )
    if not params.use_subsets:
        return
    fixed = splits_of_subsets(subsets, params.subsets)
    if (fixed > 0).all():
        raise UserError(
            f"nothing is left to train on: the subsets are {listed(subsets)}, and all are kept as "
            "val or test; set split.use_subsets to false to draw train and val from them, or say "
            f"what each is, for example split.subsets: {{{subsets[0]!r}: train}}, or export the "
            "whole project"
        )


def drawn_subsets(images: list[dict], params: Split) -> str | None:
    """Return a warning if subsets whose names are not understood are drawn at random."""
    subsets = [image["subset"] for image in images]
    if not params.use_subsets:
        return None
    fixed = splits_of_subsets(subsets, params.subsets).tolist()
    understood = re.compile("|".join(("default", *(rf"{n}\W*\d*" for n in SUBSET_NAMES))), re.I)
    drawn = [s for s, split in zip(subsets, fixed, strict=True)
             if split < 0 and not understood.fullmatch(s) and s not in params.subsets]  # fmt: skip
    if not drawn:
        return None
    return (
        f"the subsets {listed(drawn)} are drawn at random into train and val; if one is meant as a "
        f"split, say so: split.subsets: {{{drawn[0]!r}: val}}"
    )


def listed(subsets: list[str]) -> str:
    """Name subsets and the number of their images, the largest first."""
    return ", ".join(f"{name!r} ({count} images)" for name, count in Counter(subsets).most_common())
