"""Bundle: a model with all that a stranger needs to run it, in one zip.

In:   models/int8 or models/ir    the model, and its card if it has one
      requirements/openvino.txt   versions and hashes of the packages that it runs on
      detector, pyproject.toml, requirements, LICENSE   what the wheel is made of
Out:  models/detector-int8.zip    one folder; its README.md says how to use what is in it

The texts of the folder are stages/bundle/templates, rendered to the same places. Nothing of the
data is packed: pictures of an export are somebody's. Nothing of the machine either, so that no
other one needs to run this again.

Run:  python -m stages.bundle models/int8 requirements/openvino.txt models/detector-int8.zip
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import jinja2

from detector.core.backend import ModelError
from detector.core.boxes import anchor_count
from detector.core.frame_detector import CONFIDENCE
from detector.runtime.model_file import IR_FILE, confidences
from detector.runtime.openvino_backend import OpenVinoBackend
from stages.bundle.archive import zip_folder
from stages.bundle.frames_ir import SERVED, is_int8, save_frames_irs
from stages.bundle.wheel import PROJECT, build_wheel, locked_versions, runtime_lock, sha256
from stages.common.files import as_markdown, size_mb, write_bytes, write_text
from stages.common.metrics import describe_operating_point
from stages.common.run import run_stage

TEMPLATES = Path(__file__).parent / "templates"


def main(model: Path, lock: Path, out: Path) -> None:
    """Pack a model with its runtime, an example, and what other servers need of it."""
    packages = runtime_lock(lock)
    facts = {**facts_of(model), "lock": packages, "packages": locked_versions(packages)}
    with TemporaryDirectory() as scratch:
        folder = Path(scratch, out.stem)
        shutil.copytree(model, folder / "model")
        save_frames_irs(model / IR_FILE, facts["input_hw"], facts["side"], folder)
        wheel = build_wheel(folder, rendered("README.md", facts))
        facts |= {"wheel": wheel.name, "wheel_sha256": sha256(wheel)}
        shutil.copy(PROJECT / "LICENSE", folder)
        write_templates(folder, facts)
        write_bytes(out, zip_folder(folder))
    print(f"{out}: {size_mb(out)} MB, {facts['precision']}, {wheel.name}")


def facts_of(model: Path) -> dict:
    """Return what the texts say of a model.

    Raises:
        ModelError: it cannot be read or is not a detector of this project.
    """
    backend = OpenVinoBackend(model, "f32")
    point, labels, input_hw = backend.operating_point, backend.labels, backend.input_hw
    own = confidences(point, labels) if point else [CONFIDENCE] * len(labels)
    files = [model / IR_FILE, (model / IR_FILE).with_suffix(".bin")]
    return {
        "precision": "INT8" if is_int8(model / IR_FILE) else "FP16",
        "labels": labels,
        "confidences": dict(zip(labels, own, strict=True)),
        "operating_point": point,
        "found": describe_operating_point(point) if point else "",
        "input_hw": input_hw,
        "anchors": anchor_count(input_hw),
        "side": min(input_hw),
        "served": SERVED,
        "files": [(path.name, size_mb(path), sha256(path)) for path in files],
    }


def write_templates(folder: Path, facts: dict) -> None:
    """Render every template into the folder; what is there already, like a model's card, stays."""
    for template in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        name = template.relative_to(TEMPLATES)
        if not (folder / name).exists():
            write_text(folder / name, rendered(name.as_posix(), facts))


def rendered(name: str, facts: dict) -> str:
    """Render a template; the filter `markdown` is for labels, `tojson` for JSON and YAML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["markdown"] = as_markdown
    return environment.get_template(name).render(facts)


if __name__ == "__main__":
    run_stage(main, ModelError)
