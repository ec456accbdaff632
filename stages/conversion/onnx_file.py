"""ONNX files of this pipeline, recognised by a hash that they carry.

OpenVINO must never read an ONNX file that comes from elsewhere: a path that stands in one is
followed, and a crafted one has crashed it.
"""

import hashlib
from pathlib import Path

import onnx

from stages.common.run import UserError

SEAL = "sha256"  # the metadata entry with the hash of everything else in the file


def seal(proto: onnx.ModelProto) -> None:
    """Adds the hash of a model to its metadata."""
    found = digest(proto)
    proto.metadata_props.add(key=SEAL, value=found)


def digest(proto: onnx.ModelProto) -> str:
    """The hash of a model without its seal."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    kept = [entry for entry in proto.metadata_props if entry.key != SEAL]
    del bare.metadata_props[:]
    bare.metadata_props.extend(kept)
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def refuse_unsealed(path: Path) -> None:
    """Lets only a file pass that `export` wrote.

    Raises:
        UserError: it is no ONNX model, keeps weights in other files, has operators that are not
            ONNX's own, or was not written by `export`, or was changed since.
    """
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
