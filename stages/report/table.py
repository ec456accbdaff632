"""The results table: one row per variant, the same on the terminal, in Markdown and in HTML."""

from dataclasses import astuple, dataclass

NAMES = {
    "torch": "PyTorch",
    "onnx": "ONNX Runtime",
    "ir": "OpenVINO FP16",
    "int8": "OpenVINO INT8",
}
HEADINGS = (
    "Variant", "AP", "AP50", "Drop", "Runs in", "AP then", "MB", "ms", "FPS", "Video", "Speed-up",
)  # fmt: skip
LEGEND = (
    "AP and AP50: COCO average precision on the val images, computed in float32. "
    "Drop: AP lost against PyTorch, in points of 0.01. "
    "Runs in: what this machine computes in when nobody asks otherwise; AP then: accuracy so. "
    "MB: size of the model file. ms: median latency of one frame at a time. "
    "FPS: throughput of inference alone. Video: FPS from an encoded video to drawn boxes. "
    "Speed-up: of FPS against PyTorch."
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
    end_to_end_fps: str
    speedup: str


def rows(accuracy: dict[str, dict], speed: dict) -> list[Row]:
    """The table's rows in the order of the pipeline.

    Args:
        accuracy: contents of metrics/accuracy by variant.
        speed: content of metrics/speed.json.
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
            f"{accuracy[key]['size_mb']:.1f}",
            f"{speed[key]['latency_ms_p50']:g}",
            f"{speed[key]['throughput_fps']:g}",
            f"{speed[key]['end_to_end_fps']:g}",
            f"{speed[key]['speedup_vs_torch']:g}x",
        )
        for key, name in NAMES.items()
    ]


def deployed(accuracy: dict[str, dict], speed: dict) -> list[tuple[str, float, float]]:
    """Name, FPS and AP of each variant as this machine runs it."""
    return [
        (key, speed[key]["throughput_fps"], accuracy[key]["as_deployed"]["AP"]) for key in NAMES
    ]


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
