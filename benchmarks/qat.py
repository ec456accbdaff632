"""Whether fine-tuning with quantizers beats quantizing afterwards, on one trained model.

    python -m benchmarks.qat WEIGHTS DATASET TRAIN VAL [--epochs 100] [--lr 0.000024]

WEIGHTS is what `train` writes, the lists are those of `split`. Four models are judged on VAL: the
float one; INT8 by the default recipe; the float one trained on for as long as the next, then the
same recipe, since more training alone may help; and the float one with quantizers after the same
recipe, trained on with them in place (NNCF's PyTorch quantizers, which learn their ranges). NNCF
compiles these quantizers at first, so this needs a C++ compiler.
"""

import argparse
import copy
import logging
import math
import tempfile
import warnings
from pathlib import Path

import nncf
import openvino as ov
import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval
from yolox.models.network_blocks import BaseConv

from detector.openvino_backend import OpenVinoBackend
from stages.common.bootstrap import paired_interval
from stages.common.coco import read_coco
from stages.common.ir_file import describe, save_ir
from stages.common.params import Evaluate, Params, Train, load_params
from stages.common.score import score
from stages.common.weights import Weights, load_weights
from stages.common.yolox_model import Decoded, eval_model, with_one_stem
from stages.evaluate import detections_of
from stages.export import to_onnx
from stages.quantizing.calibration import Blobs
from stages.quantizing.recipe import fix_input_range, quantize
from stages.training.samples import Frames, sample_loader

# Parts of the names that NNCF gives to operations, by role of params.yaml.
KEPT = {"predictions": r".*_preds/.*", "depthwise": r".*/dconv/.*"}


def main() -> None:
    """Compare fine-tuning with quantizers and quantization after training."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.qat", description=main.__doc__)
    for name in ("weights", "dataset", "train", "val"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.000024, help="that at which training ended")
    arguments = parser.parse_args()
    nncf.set_log_level(logging.ERROR)
    warnings.simplefilter("ignore")  # PyTorch's deprecations, which NNCF and OpenVINO call
    params, weights = load_params(), load_weights(arguments.weights)
    train, images_dir = read_coco(arguments.train, boxes_needed=True), arguments.dataset / "images"
    paths = [images_dir / image["file_name"] for image in train["images"]]
    blobs = Blobs(paths[: params.quantize.calibration_images], weights.input_hw)
    frames = Frames(train, images_dir, weights.input_hw, params.train.cache_gb)
    model = folded(with_one_stem(eval_model(weights)))

    tuned, aware = copy.deepcopy(model), with_quantizers(model, blobs, params)
    for candidate in (tuned, aware):
        fine_tune(candidate, frames, params.train, arguments.epochs, arguments.lr)
    models = {
        "float": converted(model, weights),
        "default": quantize(converted(model, weights), blobs, params.quantize),
        "trained on, then default": quantize(converted(tuned, weights), blobs, params.quantize),
        "trained on with quantizers": traced(aware, weights),
    }
    print_table(models, weights, arguments.val, images_dir)


def folded(model: torch.nn.Module) -> torch.nn.Module:
    """The model with its batch norms in its convolutions, as `export` writes it."""
    for module in model.modules():
        if isinstance(module, BaseConv):
            module.conv = fuse_conv_bn_eval(module.conv, module.bn)
            module.bn = torch.nn.Identity()
    return model


def with_quantizers(model: torch.nn.Module, blobs: Blobs, params: Params) -> torch.nn.Module:
    """A copy with quantizers where the default recipe puts them, calibrated as it is."""
    patterns = [KEPT[role] for role in params.quantize.keep_float]
    return nncf.quantize(
        copy.deepcopy(model),
        nncf.Dataset([torch.from_numpy(blob) for blob in blobs]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(blobs),
        ignored_scope=nncf.IgnoredScope(patterns=patterns, validate=False),
    )


def fine_tune(
    model: torch.nn.Module, frames: Frames, params: Train, epochs: int, lr: float
) -> None:
    """Trains on with the augmentation of params.yaml at a rate that falls to zero as a cosine."""
    params = params.model_copy(update={"max_epoch": epochs})
    torch.manual_seed(params.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=0.0)
    loader = sample_loader(frames, params, 0, 1, 0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(loader))
    model.train()
    for images, targets, _ in loader:
        loss = model(images, targets)["total_loss"]
        if not math.isfinite(loss):
            raise SystemExit(f"the loss is {loss}; lower --lr")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.eval()


def converted(model: torch.nn.Module, weights: Weights) -> ov.Model:
    """As an OpenVINO model by way of ONNX, as the pipeline does."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(to_onnx(Decoded(model, weights.input_hw), weights).SerializeToString())
        file.flush()
        return ov.convert_model(file.name)


def traced(model: torch.nn.Module, weights: Weights) -> ov.Model:
    """A model with NNCF's quantizers as an OpenVINO model."""
    example = torch.zeros(1, 3, *weights.input_hw)
    decoded = Decoded(model, weights.input_hw).eval()
    return ov.convert_model(decoded, input=list(example.shape), example_input=example)


def print_table(models: dict[str, ov.Model], weights: Weights, val: Path, images_dir: Path) -> None:
    """AP of each model, and what it lost against the first and gained over the second."""
    coco, judged = read_coco(val, boxes_needed=True), {}
    for name, model in models.items():
        fix_input_range(model)
        describe(model, weights.labels)
        with tempfile.TemporaryDirectory() as scratch:
            save_ir(model, folder := Path(scratch, "ir"))
            backend = OpenVinoBackend(folder, "f32")
            judged[name] = score(coco, detections_of(backend, coco, images_dir, Evaluate()))
    print("| model | AP | lost against float | gained over default |")
    print("| --- | ---: | ---: | ---: |")
    for name, evaluation in judged.items():
        lost = points(judged["float"], evaluation)
        gained = points(evaluation, judged["default"])
        print(f"| {name} | {evaluation.stats[0]:.4f} | {lost} | {gained} |")


def points(better: object, worse: object) -> str:
    """A difference in points of AP with its 95 % interval."""
    low, high = (100 * value for value in paired_interval(better, worse))
    return f"{100 * (better.stats[0] - worse.stats[0]):+.2f} ({low:+.2f} to {high:+.2f})"


if __name__ == "__main__":
    main()
