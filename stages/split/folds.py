"""The folds of a cross-validation: every train or val image is a val image of exactly one fold."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.common.coco import subset
from stages.common.groups import cluster, group_keys
from stages.common.params import Split
from stages.common.run import UserError
from stages.split.calibration_order import calibration_list
from stages.split.groups import amounts_of, export_by_export, position, sides_of, split_groups
from stages.split.still_camera import leave_out_neighbors

TOLERANCE = 0.05  # by which a fold's share of the images, and of each class's boxes, may be off


def fold_lists(
    coco: dict,
    hashes: np.ndarray,
    still: np.ndarray,
    splits: np.ndarray,
    folds: int,
    params: Split,
) -> dict[str, dict]:
    """Return the train, val and calibration list of each fold, by `<fold>/<list>`.

    Images that share a group or are near duplicates stay in one fold. In the lists they have the
    same `cluster`, by which intervals are computed.

    Args:
        coco: the whole data set.
        hashes: difference hashes of each image, uint64 [images, words].
        still: True for images of a camera that does not move.
        splits: int [images]; only train (0) and val (1) images are in the folds.
        folds: number of folds; none for 0.
        params: how images are grouped, and the seed.

    Raises:
        UserError: a fold has no box in one of its lists.
    """
    rows = np.flatnonzero((splits == 0) | (splits == 1))
    images, hashes = [coco["images"][row] for row in rows], hashes[rows]
    keys = group_keys(images, hashes, params.group_by, params.block)
    clusters = joined(keys, cluster(hashes))
    images = [{**image, "cluster": int(c)} for image, c in zip(images, clusters, strict=True)]
    judged, lists = subset(coco, images), {}
    fold_of = assign_folds(judged, hashes, folds, params) if folds else None
    for fold in range(folds):
        # At the seams of a still camera, images of train are left out, so that all are judged.
        sides = leave_out_neighbors(
            images, still[rows], (fold_of != fold).astype(int), params.block
        )
        val, train = (
            subset(judged, [images[i] for i in np.flatnonzero(sides == side)]) for side in (0, 1)
        )
        check_boxes(fold, folds, train, val)
        found = {"train": train, "val": val}
        found["calibration"] = calibration_list(train, judged, keys, params.seed)
        lists |= {f"{fold}/{name}": content for name, content in found.items()}
    return lists


def assign_folds(coco: dict, hashes: np.ndarray, folds: int, params: Split) -> np.ndarray:
    """Return the fold of each image, int [images]: by a hash of its cluster, then balanced."""

    def draw(rows: np.ndarray, settled: np.ndarray) -> np.ndarray:
        images = [coco["images"][row] for row in rows]
        keys = group_keys(images, hashes[rows], params.group_by, params.block)
        clusters = joined(keys, cluster(hashes[rows]))
        first, members = np.unique(clusters, return_inverse=True)
        positions = [position(images[row]["sha256"], params.seed) for row in first.tolist()]
        amounts = amounts_of(subset(coco, images), members, len(first))
        before, shares = sides_of(members, settled, len(first)), np.full(folds, 1 / folds)
        return split_groups(np.array(positions), amounts, shares, before, TOLERANCE)[members]

    return export_by_export(coco["images"], draw)


def check_boxes(fold: int, folds: int, train: dict, val: dict) -> None:
    if not val["annotations"] or not train["annotations"]:
        raise UserError(
            f"crossval.folds names {folds} folds, and fold {fold} has {len(val['images'])} images "
            f"with {len(val['annotations'])} boxes to judge by and {len(train['annotations'])} to "
            "learn from; name fewer folds, or label more frames in more groups"
        )


def joined(keys: list[str], labels: np.ndarray) -> np.ndarray:
    """Join what either of two partitions joins: int [images], the first index of each part."""
    _, by_key = np.unique(keys, return_inverse=True)
    rows, n = np.arange(len(keys)), len(keys)
    edges = np.concatenate([labels, n + by_key])
    graph = coo_array((np.ones(2 * n), (np.tile(rows, 2), edges)), shape=(2 * n, 2 * n))
    _, part = connected_components(graph, directed=False)
    _, first, inverse = np.unique(part[:n], return_index=True, return_inverse=True)
    return first[inverse]
