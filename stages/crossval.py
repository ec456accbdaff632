"""Cross-validation: what to expect on images that a model has not seen, from all labelled ones.

In:   data/folds/lists/<fold>/val.json   the images that each fold judges
      data/folds/<seed>-<fold>           what `fold_evaluate` found in them, with models that were
                                         trained on the other folds; nothing without folds
Out:  metrics/crossval.json   AP and AP50 of PyTorch, AP_int8 and drop_int8 (AP points) on all
                              images together; in `details` `accuracy` and `drop` of all variants,
                              as in metrics/accuracy and metrics/drop.json; {} without folds
      data/out_of_fold.json   the COCO of these images, with the `detections` of the first seed by
                              variant; {} without folds

Figures are means over `crossval.seeds`. Their intervals cover the choice of the images and of the
training, see stages/evaluation/out_of_fold.py.

Run:  python -m stages.crossval data/folds metrics/crossval.json data/out_of_fold.json
"""

from itertools import chain
from pathlib import Path

import numpy as np

from stages.common.coco import read_coco
from stages.common.coco_eval import accuracy, score
from stages.common.files import read_json, write_json
from stages.common.metrics import with_details
from stages.common.params import Crossval, load_params
from stages.common.run import run_stage
from stages.evaluation.bootstrap import packed, truth_id
from stages.evaluation.drops import INT8, REFERENCE, VARIANTS, drop, points
from stages.evaluation.out_of_fold import Uncertainty, pooled, sample, uncertainty

Rows = list[list[list[dict]]]  # of each seed and fold, rows of a COCO result file


def main(folds: Path, out: Path, out_of_fold: Path) -> None:
    """Judge all images, each by the models that were not trained on it."""
    params = load_params().crossval
    if not params.folds:
        write_json(out, {})
        write_json(out_of_fold, {})
        return
    vals = [read_coco(folds / "lists" / str(fold) / "val.json") for fold in params.folds]
    rows = {key: read_detections(folds, params, key) for key in VARIANTS}
    as_run = {key: read_detections(folds, params, f"{key}_deployed") for key in VARIANTS}
    result = judge(vals, rows, as_run)
    write_json(out, with_details(result, "AP", "AP50", "AP_int8", "drop_int8"))
    first = {key: list(chain(*of_seeds[0])) for key, of_seeds in rows.items()}
    write_json(out_of_fold, {**pooled(vals), "detections": first})
    print(summary(result))


def read_detections(folds: Path, params: Crossval, name: str) -> Rows:
    """Read what one variant found with each seed, in each fold."""
    return [
        [read_json(folds / f"{seed}-{fold}" / f"{name}.json") for fold in params.folds]
        for seed in params.seeds
    ]


def judge(vals: list[dict], rows: dict[str, Rows], as_run: dict[str, Rows]) -> dict:
    """Return the content of metrics/crossval.json, without `details` around most of it.

    Args:
        vals: the COCO of each fold.
        rows: detections by variant, in float32.
        as_run: the same, in the precision that this machine chooses.
    """
    coco = pooled(vals)
    clusters = len({image["cluster"] for image in coco["images"]})
    figures = {key: mean_accuracy(coco, of_key) for key, of_key in rows.items()}
    sampled = {key: sample(vals, of_key) for key, of_key in rows.items()}
    drops = {}
    for key, own in figures.items():
        own |= described(uncertainty(sampled[key], clusters), "AP_interval")
        own["resampled"] = packed(sampled[key].resampled.mean(axis=0))
        deployed = mean_accuracy(coco, as_run[key])
        own["as_deployed"] = {name: deployed[name] for name in ("AP", "AP50", "AP75")}
        if key != REFERENCE:
            found = uncertainty(sampled[REFERENCE] - sampled[key], clusters)
            drops[key] = drop(figures[REFERENCE], own, found.interval)
            drops[key]["training_sd"] = points(found.training_sd)
    return {
        **{name: figures[REFERENCE][name] for name in ("AP", "AP50")},
        "AP_int8": figures[INT8]["AP"],
        "drop_int8": drops[INT8]["AP"],
        "folds": len(vals),
        "seeds": len(sampled[REFERENCE].ap),
        "clusters": clusters,
        "truth": truth_id(coco),
        "accuracy": figures,
        "drop": drops,
        "AP_of_folds": np.round(sampled[REFERENCE].fold_ap, 4).tolist(),
    }


def mean_accuracy(coco: dict, rows: Rows) -> dict:
    """Return `accuracy` of all folds together, averaged over the seeds."""
    return mean([accuracy(coco, score(coco, list(chain(*of_seed)))) for of_seed in rows])


def mean(values: list) -> object:
    """Average numbers, also within dicts of the same keys, to 4 digits; None if one is None."""
    if isinstance(values[0], dict):
        return {key: mean([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], int):
        return values[0]  # counts, which are the same with every seed
    return None if None in values else round(float(np.mean(values)), 4)


def described(found: Uncertainty, name: str) -> dict:
    """Return an uncertainty as figures of a metrics file."""
    return {
        name: [round(end, 4) for end in found.interval],
        "training_sd": round(found.training_sd, 4),
        "training_share": round(found.training_share, 2),
    }


def summary(result: dict) -> str:
    """Describe the result in one line."""
    torch, lost = result["accuracy"][REFERENCE], result["drop"][INT8]
    low, high = torch["AP_interval"]
    return (
        f"{result['folds']} folds, {torch['images']} images, {torch['boxes']} boxes: "
        f"AP {result['AP']:.3f}, 95 % {low:.2f} to {high:.2f}, "
        f"{100 * torch['training_share']:.0f} % of its variance from training; INT8 lost "
        f"{lost['AP']:+.1f} points, 95 % {lost['interval'][0]:+.1f} to {lost['interval'][1]:+.1f}"
    )


if __name__ == "__main__":
    run_stage(main)
