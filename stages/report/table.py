"""The results table: one row per variant, the same on the terminal, in Markdown and in HTML."""

from stages.common.files import as_markdown

NAMES = {
    "torch": "PyTorch",
    "onnx": "ONNX Runtime",
    "ir": "OpenVINO FP16",
    "int8": "OpenVINO INT8",
}
HEADINGS = (
    "Variant", "AP", "AP50", "Drop", "Precision", "AP deployed", "MB", "ms", "FPS", "Video",
    "Speed-up",
)  # fmt: skip
LEGEND = (
    "AP and AP50: COCO average precision on images that were not trained on, in float32. "
    "Drop: AP lost against PyTorch, in AP points (100 points are an AP of 1). "
    "Precision: what the model computes in on this machine by default. "
    "AP deployed: AP in that precision. "
    "MB: size of the model file. ms: median latency of a single frame. "
    "FPS: throughput of inference alone. Video: FPS from encoded video to drawn boxes. "
    "Speed-up: FPS relative to PyTorch."
)


def rows(accuracy: dict[str, dict], speed: dict, drop: dict) -> list[tuple[str, ...]]:
    """Format one row per variant, in the order of the pipeline and of HEADINGS.

    Args:
        accuracy: contents of metrics/accuracy by variant.
        speed: content of metrics/speed.json.
        drop: content of metrics/drop.json.
    """
    return [
        (
            name,
            f"{accuracy[key]['AP']:.3f}",
            f"{accuracy[key]['AP50']:.3f}",
            f"{drop[key]['AP']:+.1f}" if key in drop else "",
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
    """Return name, FPS and AP of each variant as this machine runs it."""
    return [
        (key, speed[key]["throughput_fps"], accuracy[key]["as_deployed"]["AP"]) for key in NAMES
    ]


def markdown(table: list[tuple[str, ...]], sentences: list[str], host: dict) -> str:
    """Return the whole report as Markdown."""
    lines = [
        "# Results",
        "",
        *(f"**{warning}**\n" for warning in busy_machine(host)),
        "| " + " | ".join(HEADINGS) + " |",
        "| --- " + "| ---: " * (len(HEADINGS) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in table),
        "",
        as_markdown(" ".join(sentences)),
        "",
        f"Measured on {as_markdown(measured_on(host))}.",
        "",
        LEGEND,
    ]
    return "\n".join(lines) + "\n"


def busy_machine(host: dict) -> list[str]:
    """Warn of speeds that were measured beside other programs; nothing if there were none."""
    if not host["busy"]:
        return []
    return [
        f"The machine was busy: {100 * host['cores_free']:.0f} % of its cores were free while "
        "speed was measured. Do not rely on ms, FPS and speed-up. Close other programs and run "
        "`dvc repro -sf benchmark`, then `dvc repro`."
    ]


def measured_on(host: dict) -> str:
    """Name the day, the machine and the versions that the figures belong to, in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in host["versions"].items())
    day = host.get("date", "an unknown day")  # the review reads metrics of older commits
    return f"{day} on {host['cpu']}, {host['cores']} cores, {' '.join(host['isa'])}, {versions}"
