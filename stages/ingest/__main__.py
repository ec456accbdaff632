"""Ingest: a CVAT "COCO 1.0" export becomes a data set that can be trusted.

In:   EXPORT                        zip or folder; `data.export` of params.yaml where left out,
                                    and then `data.images` is the folder of --images
      --images FOLDER               originals, for what the export does not hold
      params.yaml                   `ingest`: limits, `model.input_hw`; the project's where there is
                                    none here
Out:  OUT_DIR/annotations.json      the clean COCO of stages/common/coco.py
      OUT_DIR/images/<subset>/...   the pictures, each decoded once and found whole
      OUT_DIR/report.json           counts, box sizes, every repair and every warning

What cannot be trusted is refused, with all faults at once; then OUT_DIR stays as it was.

Run:  python -m stages.ingest.__main__ [EXPORT] data/dataset [--images FOLDER]
"""

from pathlib import Path

from stages.common.files import atomic_path, write_json
from stages.common.params import Params, load_params
from stages.common.run import UserError, run_stage
from stages.ingest.annotations import read_annotations
from stages.ingest.archive import open_export
from stages.ingest.dataset import clean_coco, report
from stages.ingest.findings import Findings
from stages.ingest.images import store_pictures
from stages.ingest.layout import locate_pictures
from stages.ingest.limits import limits_of
from stages.ingest.review import review

PROJECT = Path(__file__).resolve().parents[2]


def main(export: Path | None, out_dir: Path, *, images: Path | None = None) -> None:
    """Checks and normalises a CVAT export."""
    params = params_for(export)
    if export is None:
        export, images = Path(params.data.export), images or Path(params.data.images)
    refuse_target(out_dir, export, images)
    limits, findings = limits_of(params.ingest), Findings()
    with open_export(export, limits, findings) as source:
        labels, pictures = read_annotations(source, limits, findings)
        readers = locate_pictures(source, images, pictures, limits, findings)
        review(labels, pictures, findings)
        findings.refuse_faults(export)
        with atomic_path(out_dir) as tmp:
            stored = store_pictures(pictures, readers, tmp / "images", limits, findings)
            findings.refuse_faults(export)
            coco = clean_coco(labels, pictures, stored)
            write_json(tmp / "annotations.json", coco)
            write_json(tmp / "report.json", report(coco, params.model.input_hw, findings))
    findings.print_notes()
    print(f"{out_dir}: {len(coco['images'])} images, {len(coco['annotations'])} boxes")


def params_for(export: Path | None) -> Params:
    """Read params.yaml here, or the project's where there is none and the export is named."""
    here = Path("params.yaml")
    return load_params(here if export is None or here.exists() else PROJECT / "params.yaml")


def refuse_target(out_dir: Path, export: Path, images: Path | None) -> None:
    """Refuses to replace what this stage has not written.

    Raises:
        UserError: OUT_DIR is a file, a folder of something else, or holds what is read.
    """
    for given in filter(None, (export, images)):
        if out_dir.resolve() in (given.resolve(), *given.resolve().parents):
            raise UserError(f"{out_dir} holds {given}, which is read; name another folder for it")
    if out_dir.is_symlink() or (out_dir.exists() and not out_dir.is_dir()):
        raise UserError(f"{out_dir} is a file or a link; name a folder for the data set")
    if out_dir.is_dir() and any(out_dir.iterdir()) and not (out_dir / "report.json").exists():
        raise UserError(f"{out_dir} holds other files; name a new folder, or empty this one")


if __name__ == "__main__":
    run_stage(main)
