"""Ingest: a CVAT "COCO 1.0" export becomes a data set that can be trusted.

In:   EXPORT                        zip or folder; `data.export` of params.yaml where left out
Out:  OUT_DIR/annotations.json      the clean COCO of stages/common/coco.py
      OUT_DIR/images/<subset>/...   the pictures, each decoded once and found whole
      OUT_DIR/report.json           counts, box sizes, every repair and every warning

What cannot be trusted is refused, with all faults at once; then OUT_DIR stays as it was.

Run:  python -m stages.ingest [EXPORT] data/dataset
"""

from pathlib import Path

from stages.common.cli import run_stage
from stages.common.errors import Refusal
from stages.common.files import atomic_path, write_json
from stages.common.params import load_params
from stages.intake.annotations import read_annotations
from stages.intake.archive import open_export
from stages.intake.dataset import clean_coco, report
from stages.intake.findings import Findings
from stages.intake.layout import locate_pictures
from stages.intake.pictures import store_pictures
from stages.intake.review import review


def main(export: Path | None, out_dir: Path) -> None:
    """Checks and normalises a CVAT export."""
    export = export or Path(load_params().data.export)
    refuse_target(export, out_dir)
    findings = Findings()
    with open_export(export, findings) as source:
        labels, pictures = read_annotations(source, findings)
        members = locate_pictures(source, pictures, findings)
        review(labels, pictures, findings)
        findings.refuse_faults(export)
        with atomic_path(out_dir) as tmp:
            stored = store_pictures(source, pictures, members, tmp / "images", findings)
            findings.refuse_faults(export)
            coco = clean_coco(labels, pictures, stored)
            write_json(tmp / "annotations.json", coco)
            write_json(tmp / "report.json", report(coco, findings))
    findings.print_notes()
    print(f"{out_dir}: {len(coco['images'])} images, {len(coco['annotations'])} boxes")


def refuse_target(export: Path, out_dir: Path) -> None:
    """Refuses to replace what this stage has not written.

    Raises:
        Refusal: OUT_DIR is a file, a folder of something else, or holds the export.
    """
    if out_dir.resolve() in (export.resolve(), *export.resolve().parents):
        raise Refusal(f"{out_dir} holds the export {export}; name another folder for the data set")
    if out_dir.is_symlink() or (out_dir.exists() and not out_dir.is_dir()):
        raise Refusal(f"{out_dir} is a file or a link; name a folder for the data set")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "report.json").exists():
        raise Refusal(f"{out_dir} holds other files; name a new folder, or empty this one")


if __name__ == "__main__":
    run_stage(main)
