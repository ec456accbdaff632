"""Ingest: check a CVAT "COCO 1.0" export and write a clean COCO data set.

In:   EXPORT                        zip or folder, or a folder with several of them; if left out,
                                    `data.export` of params.yaml, and `data.images` is the folder
                                    of --images
      --images FOLDER               originals, for images that the export does not hold
      params.yaml                   `ingest`: limits, `data.on_conflict`; the project's if there is
                                    none in the current folder
Out:  OUT_DIR/annotations.json      the clean COCO of stages/common/coco.py
      OUT_DIR/images/<subset>/...   the images, each decoded once and found whole; of several
                                    exports, images/<export>/<subset>/...
      OUT_DIR/report.json           counts, box sizes, every repair and every warning

Unsafe, damaged or ambiguous data is refused with all its faults at once; OUT_DIR stays as it was.

Run:  python -m stages.ingest [EXPORT] data/dataset [--images FOLDER]
"""

from contextlib import ExitStack
from pathlib import Path

from stages.admission.findings import Findings
from stages.admission.source import open_source
from stages.common.files import atomic_path
from stages.common.params import Ingest, Params, load_params
from stages.common.run import UserError, run_stage
from stages.ingest.annotations import read_annotations
from stages.ingest.boxes import Image
from stages.ingest.dataset import write_dataset
from stages.ingest.exports import exports_in, merge_images, merge_labels
from stages.ingest.images import store_images
from stages.ingest.layout import annotation_files, find_export, find_images

PROJECT = Path(__file__).resolve().parents[2]


def main(export: Path | None, out_dir: Path, *, images: Path | None = None) -> None:
    """Check a CVAT export and write a clean data set."""
    params = params_for(export)
    if export is None:
        export, images = Path(params.data.export), images or Path(params.data.images)
    check_target(out_dir, export, images)
    limits, findings = params.ingest, Findings()
    with ExitStack() as opened:
        labels, listed = read_exports(export, images, limits, findings, opened)
        with atomic_path(out_dir) as tmp:
            store_images(listed, tmp / "images", findings)
            findings.check_faults(export)
            kept = merge_images(listed, params.data.on_conflict == "newest", findings)
            findings.check_faults(export)
            delete(tmp / "images", listed, kept)
            coco = write_dataset(tmp, labels, kept, findings)
    findings.print_notes()
    print(f"{out_dir}: {len(coco['images'])} images, {len(coco['annotations'])} boxes")


def read_exports(
    export: Path, images: Path | None, limits: Ingest, findings: Findings, opened: ExitStack
) -> tuple[list[str], list[Image]]:
    """Read the JSON files of an export, or of several, and find the files of their images.

    Args:
        export: an export, or a folder of several.
        images: the folder of originals, if there is one.
        limits: what is admitted.
        findings: takes faults, repairs and warnings.
        opened: keeps the exports open, from which the images are read later.

    Returns:
        Label names, sorted; images in the order of the exports.

    Raises:
        UserError: with all faults; or there is no box.
    """
    labels_of, listed = {}, []
    for name, path in exports_in(export, limits, findings).items():
        files = opened.enter_context(open_source(path, limits, findings))
        source = find_export(files, findings)
        labels_of[name], found = read_annotations(source, limits, findings, name)
        find_images(source, images, found, limits, findings)
        listed += found
    labels = merge_labels(labels_of, findings)
    if not findings.faults and not any(image.boxes for image in listed):
        jsons = sorted(annotation_files(source.files))
        missing = "no usable box" if listed else "no images"
        findings.fault(", ".join(jsons), f"{missing} in the whole export; label some frames")
    findings.check_faults(export)
    return labels, listed


def delete(folder: Path, stored: list[Image], kept: list[Image]) -> None:
    """Delete the files of images that are stored and not kept."""
    for name in {image.file_name for image in stored} - {image.file_name for image in kept}:
        (folder / name).unlink()


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
