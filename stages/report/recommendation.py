"""The recommendation: which variant to deploy on this machine, and why."""

from detector.core.cpu import saturates
from stages.report.table import NAMES


def recommendation(
    accuracy: dict[str, dict], speed: dict, drop: dict, max_drop: float | None
) -> list[str]:
    """Say which variant to deploy and why, what INT8 lost, and how certain that is.

    Nothing is recommended by speeds of a busy machine.

    Args:
        accuracy: contents of metrics/accuracy by variant.
        speed: content of metrics/speed.json.
        drop: content of metrics/drop.json.
        max_drop: `gate.max_drop`, AP points; None allows any loss.
    """
    return [
        *([] if speed["host"]["busy"] else by_speed(accuracy, speed, max_drop)),
        lost_in_int8(drop["int8"], max_drop),
    ]


def by_speed(accuracy: dict[str, dict], speed: dict, max_drop: float | None) -> list[str]:
    """Say which variant is the fastest that is accurate enough."""
    chosen = to_deploy(accuracy, speed, max_drop)
    within = "" if max_drop is None else f" at most {max_drop:.1f} AP points below PyTorch"
    sentences = [
        f"Deploy {NAMES[chosen]} on machines like this one: the fastest variant{within}, with "
        f"{speed[chosen]['throughput_fps']:g} FPS, {speedup(speed[chosen])} times PyTorch, "
        f"at AP {accuracy[chosen]['as_deployed']['AP']:.3f} against {accuracy['torch']['AP']:.3f}."
    ]
    if speed["int8"]["throughput_fps"] < speed["ir"]["throughput_fps"]:
        sentences.append(
            f"INT8 is not worth it here: {speed['int8']['throughput_fps']:g} FPS against "
            f"{speed['ir']['throughput_fps']:g} of FP16, which this processor computes in "
            f"{speed['ir']['precision']}. A larger model or another processor may decide otherwise."
        )
    if saturates(speed["host"]["isa"]):
        sentences.append(
            "This processor has no VNNI: sums in INT8 may saturate, which the figures as deployed "
            "include; with VNNI INT8 is faster and may be more accurate (docs/int8.md)."
        )
    if speed["ir"]["precision"] != "f32":
        sentences.append(
            f"In f32, as on processors without {speed['ir']['precision']}, FP16 reaches "
            f"{speed['ir_f32']['throughput_fps']:g} FPS."
        )
    return sentences


def lost_in_int8(drop: dict, max_drop: float | None) -> str:
    """Say what INT8 lost, and what the gate allows."""
    low, high = drop["interval"]
    allowed = "the gate is off" if max_drop is None else f"gate.max_drop allows {max_drop:g}"
    return (
        f"INT8 lost {drop['AP']:.1f} AP points, 95 % interval {low:.1f} to {high:.1f}; {allowed}."
    )


def other_answers(accuracy: dict[str, dict], drop: dict) -> list[str]:
    """Say how often INT8, and FP16 where it is not computed in f32, answer otherwise than PyTorch.

    Args:
        accuracy: contents of metrics/accuracy by variant.
        drop: content of metrics/drop.json; without a pool it has no `fidelity`.
    """
    if "fidelity" not in drop["int8"]:
        return []
    int8, counts = drop["int8"]["fidelity"], []
    for key in ("int8", "ir"):
        precision, figures = accuracy[key]["as_deployed"]["precision"], drop[key]["fidelity"]
        low, high = figures["interval"]
        if precision != "f32":
            verb = "" if counts else " reports other boxes than PyTorch"
            counts.append(
                f"{NAMES[key]} ({precision}){verb} in {figures['changed_per_1000']:.0f} of 1,000 "
                f"(95 % {low:.0f} to {high:.0f})"
            )
    sentences = [f"On {int8['frames']} frames without labels {', '.join(counts)}."]
    if int8["AP"] is not None:
        low, high = int8["AP_interval"]
        sentences.append(
            f"Measured against PyTorch's boxes there, INT8 has an AP of {int8['AP']:.3f} "
            f"({low:.3f} to {high:.3f})."
        )
    return sentences


def judged_by_val(accuracy: dict, trained_on: str) -> str:
    """Say which images the figures come from, and how uncertain AP is.

    Args:
        accuracy: of PyTorch.
        trained_on: `train.images`.
    """
    if trained_on == "all":
        return (
            "The model was trained on the val images too, so accuracy is not that on unseen "
            "images: run `make crossval`."
        )
    low, high = accuracy["AP_interval"]
    return (
        f"Accuracy comes from {accuracy['images']} val images with {accuracy['boxes']} boxes. 95 % "
        f"interval of PyTorch's AP: {low:.2f} to {high:.2f}."
    )


def judged_by_folds(crossval: dict, trained_on: str) -> str:
    """Say how many images the figures come from, how uncertain AP is, and whose figures they are.

    Args:
        crossval: content of metrics/crossval.json.
        trained_on: `train.images`.
    """
    torch = crossval["accuracy"]["torch"]
    low, high = torch["AP_interval"]
    model = (
        "The deployed model was trained on all of them in the same way"
        if trained_on == "all"
        else "The deployed model was trained on the train list"
    )
    return (
        f"Accuracy comes from {torch['images']} images with {torch['boxes']} boxes, each judged by "
        f"a model that was not trained on it ({crossval['folds']} folds). 95 % interval of "
        f"PyTorch's AP: {low:.2f} to {high:.2f}; {100 * torch['training_share']:.0f} % of its "
        f"variance comes from training. {model}."
    )


def exports_read(data: dict) -> list[str]:
    """Name the exports that the data come from, where there are several.

    Args:
        data: content of metrics/data.json.
    """
    counts = [
        f"{name} ({own['images']} images, {own['boxes']} boxes, {own['val']} of the images in val)"
        for name, own in data.get("exports", {}).items()
    ]
    several = len(counts) > 1
    return [f"The data come from {len(counts)} exports: {', '.join(counts)}."] if several else []


def missing_labels(data: dict) -> list[str]:
    """Name the labels that were not trained or not measured.

    Args:
        data: content of metrics/data.json.
    """
    sentences = []
    for split, consequence in (("train", "not learned"), ("val", "not measured")):
        labels = [label for label, boxes in data[split]["classes"].items() if not boxes]
        if labels:
            sentences.append(f"No box in {split} of {', '.join(labels)}: {consequence}.")
    return sentences


def speedup(figures: dict) -> str:
    """Format a speed-up with its 95 % interval, where it has one."""
    low, high = figures["speedup_interval"]
    interval = f" ({low:g} to {high:g})" if low < high else ""
    return f"{figures['speedup_vs_torch']:g}{interval}"


def to_deploy(accuracy: dict[str, dict], speed: dict, max_drop: float | None) -> str:
    """Return the fastest variant whose AP as deployed here is within `max_drop` of PyTorch's.

    metrics/drop.json compares in float32; this is the loss in the precision of this machine.
    """
    reference = accuracy["torch"]["AP"]
    lost = {key: round(100 * (reference - accuracy[key]["as_deployed"]["AP"]), 2) for key in NAMES}
    good_enough = [key for key in NAMES if max_drop is None or lost[key] <= max_drop]
    return max(good_enough, key=lambda key: speed[key]["throughput_fps"])
