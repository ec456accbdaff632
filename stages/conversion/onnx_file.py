"""ONNX files of this pipeline, recognized by a hash that they carry.

OpenVINO must never read an ONNX file from elsewhere: it follows paths in the file, and a crafted
one has crashed it.
"""

import hashlib
from pathlib import Path

import onnx

from stages.common.run import UserError

SEAL = "sha256"  # the metadata entry with the hash of everything else in the file


def seal(proto: onnx.ModelProto) -> None:
    """Add the hash of a model to its metadata."""
    proto.metadata_props.add(key=SEAL, value=digest(proto))


def digest(proto: onnx.ModelProto) -> str:
    """Return the hash of a model without its seal."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.metadata_props[:]
    bare.metadata_props.extend(entry for entry in proto.metadata_props if entry.key != SEAL)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def check_onnx(path: Path) -> None:
    """Raise UserError for any file but one that `export` wrote, unchanged since."""
    try:
        proto = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; run `dvc repro export`") from error
    except Exception as error:
        raise UserError(f"{path} is not an ONNX model; run `dvc repro export`") from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer):
        raise UserError(f"{path} keeps weights in other files; run `dvc repro export`")
    if foreign := {node.domain for node in proto.graph.node} - {"", "ai.onnx"}:
        raise UserError(f"{path} has operators of {sorted(foreign)}; run `dvc repro export`")
    seals = [entry.value for entry in proto.metadata_props if entry.key == SEAL]
    if seals != [digest(proto)]:
        raise UserError(
            f"{path} was not written by this pipeline, or was changed since; run `dvc repro export`"
        )
