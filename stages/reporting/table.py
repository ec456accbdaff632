"""The results table: one row per variant, the same on the terminal, in Markdown and in HTML."""

from dataclasses import astuple, dataclass

from stages.common.bootstrap import FEW_IMAGES

NAMES = {
    "torch": "PyTorch",
    "onnx": "ONNX Runtime",
    "ir": "OpenVINO FP16",
    "int8": "OpenVINO INT8",
}
HEADINGS = (
    "Variant", "AP", "AP50", "Drop", "Runs in", "AP then", "MB", "ms", "FPS", "Speed-up",
)  # fmt: skip
LEGEND = (
    "AP and AP50: COCO average precision on the val images, computed in float32. "
    "Drop: AP lost against PyTorch, in points of 0.01. "
    "Runs in: what this machine computes in when nobody asks otherwise; AP then: accuracy so. "
    "MB: size of the model file. ms: median latency of one frame at a time. "
    "FPS: throughput of inference alone. Speed-up: against PyTorch."
)


@dataclass(frozen=True)
class Row:
    """One variant's results, formatted."""

    variant: str
    ap: str
    ap50: str
    drop: str
    precision: str
    ap_deployed: str
    size_mb: str
    latency_ms: str
    fps: str
    speedup: str


def rows(accuracy: dict[str, dict], speed: dict, sizes_mb: dict[str, float]) -> list[Row]:
    """The table's rows in the order of the pipeline.

    Args:
        accuracy: contents of metrics/accuracy by variant.
        speed: content of metrics/speed.json.
        sizes_mb: size of each variant's model in MB.
    """
    reference = accuracy["torch"]["AP"]
    return [
        Row(
            name,
            f"{accuracy[key]['AP']:.3f}",
            f"{accuracy[key]['AP50']:.3f}",
            f"{100 * (reference - accuracy[key]['AP']):+.1f}" if key != "torch" else "",
            speed[key]["precision"],
            f"{accuracy[key]['as_deployed']['AP']:.3f}",
            f"{sizes_mb[key]:.1f}",
            f"{speed[key]['latency_ms_p50']:g}",
            f"{speed[key]['throughput_fps']:g}",
            f"{speed[key]['speedup_vs_torch']:g}x",
        )
        for key, name in NAMES.items()
    ]


def verdict(accuracy: dict[str, dict], speed: dict) -> list[str]:
    """What the figures say, in sentences that a person can act on."""
    fastest = max(NAMES, key=lambda key: speed[key]["throughput_fps"])
    said = [
        f"Fastest on this machine: {NAMES[fastest]} with {speed[fastest]['throughput_fps']:g} FPS, "
        f"{speed[fastest]['speedup_vs_torch']:g} times PyTorch, at AP "
        f"{accuracy[fastest]['as_deployed']['AP']:.3f} against {accuracy['torch']['AP']:.3f}."
    ]
    if fastest != "int8":
        said.append(
            f"INT8 is not worth it here: {speed['int8']['throughput_fps']:g} FPS. A larger model, "
            "or a processor that does not compute in bfloat16, may decide otherwise."
        )
    images, boxes = accuracy["torch"]["images"], accuracy["torch"]["boxes"]
    if images < FEW_IMAGES:
        low, high = accuracy["torch"]["AP_interval"]
        said.append(
            f"Accuracy comes from {images} val images with {boxes} boxes. 95 % interval of "
            f"PyTorch's AP: {low:.2f} to {high:.2f}."
        )
    return said


def markdown(table: list[Row], sentences: list[str], host: dict) -> str:
    """The whole report as Markdown."""
    lines = [
        "# Results",
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "| --- " + "| ---: " * (len(HEADINGS) - 1) + "|",
        *("| " + " | ".join(astuple(row)) + " |" for row in table),
        "",
        " ".join(sentences),
        "",
        f"Measured on {machine(host)}.",
        "",
        LEGEND,
    ]
    return "\n".join(lines) + "\n"


def machine(host: dict) -> str:
    """The machine and the versions that the figures belong to, in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    return f"{host['cpu']}, {host['cores']} cores, {' '.join(host['isa'])}, {versions}"
