"""Ingest: check a CVAT "COCO 1.0" export and write a clean COCO data set.

In:   EXPORT                        zip or folder; if left out, `data.export` of params.yaml, and
                                    `data.images` is the folder of --images
      --images FOLDER               originals, for images that the export does not hold
      params.yaml                   `ingest`: limits; the project's if there is none in the current
                                    folder
Out:  OUT_DIR/annotations.json      the clean COCO of stages/common/coco.py
      OUT_DIR/images/<subset>/...   the images, each decoded once and found whole
      OUT_DIR/report.json           counts, box sizes, every repair and every warning

Unsafe, damaged or ambiguous data is refused with all its faults at once; OUT_DIR stays as it was.

Run:  python -m stages.ingest [EXPORT] data/dataset [--images FOLDER]
"""

from pathlib import Path

from stages.admission.findings import Findings
from stages.admission.source import open_source
from stages.common.files import atomic_path
from stages.common.params import Params, load_params
from stages.common.run import UserError, run_stage
from stages.ingest.annotations import read_annotations
from stages.ingest.dataset import write_dataset
from stages.ingest.images import store_images
from stages.ingest.layout import find_export, find_images

PROJECT = Path(__file__).resolve().parents[2]


def main(export: Path | None, out_dir: Path, *, images: Path | None = None) -> None:
    """Check a CVAT export and write a clean data set."""
    params = params_for(export)
    if export is None:
        export, images = Path(params.data.export), images or Path(params.data.images)
    check_target(out_dir, export, images)
    limits, findings = params.ingest, Findings()
    with open_source(export, limits, findings) as opened:
        source = find_export(opened, findings)
        labels, listed = read_annotations(source, limits, findings)
        find_images(source, images, listed, limits, findings)
        findings.check_faults(export)
        with atomic_path(out_dir) as tmp:
            store_images(listed, tmp / "images", findings)
            findings.check_faults(export)
            coco = write_dataset(tmp, labels, listed, findings)
    findings.print_notes()
    print(f"{out_dir}: {len(coco['images'])} images, {len(coco['annotations'])} boxes")


def params_for(export: Path | None) -> Params:
    """Read params.yaml here, or the project's if there is none and the export is named."""
    here = Path("params.yaml")
    return load_params(here if export is None or here.exists() else PROJECT / "params.yaml")


def check_target(out_dir: Path, export: Path, images: Path | None) -> None:
    """Check that nothing is replaced that this stage has not written.

    Raises:
        UserError: OUT_DIR is a file, a folder of something else, or holds the input.
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
