"""The runtimes behind one interface: a letterboxed frame goes in, boxes and scores come out.

A backend has `labels`, `input_hw` and `precision`; `infer` for one frame at a time; `new_request`
for frames that overlap, `in_flight` of which keep all cores busy; and `close`.
"""

from pathlib import Path

from detector.errors import ModelError


def load_backend(
    path: Path,
    precision: str | None = None,
    throughput: bool = False,
    cache_dir: Path | None = None,
):
    """Loads a model by its suffix: .onnx in ONNX Runtime; .xml, or its folder, in OpenVINO.

    Args:
        path: the model.
        precision, throughput, cache_dir: see `OpenVinoBackend`; ONNX Runtime has one precision
            and no cache.

    Raises:
        ModelError: unknown suffix, missing file or runtime, or not a detector of this project.
    """
    if not path.exists():
        raise ModelError(f"{path} does not exist; expected a .xml or .onnx model")
    if path.suffix == ".xml" or path.is_dir():
        from detector.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(path, precision, throughput, cache_dir)
    if path.suffix != ".onnx":
        raise ModelError(f"{path} has an unknown suffix; expected a .xml or .onnx model")
    try:
        from detector.onnx_backend import OnnxBackend
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{path} needs ONNX Runtime, which is not installed: pip install onnxruntime, or use "
            "the .xml model"
        ) from error
    return OnnxBackend(path, throughput)
