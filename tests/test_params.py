"""Parameters: what passes, and what the refusal of the rest says."""

import re
from copy import deepcopy

import pytest
import yaml
from conftest import PARAMS, ROOT
from yolox.config import YoloxConfig

from stages.common.params import ARCHITECTURES, load_params
from stages.common.run import UserError


def changed(tmp_path, section: str, key: str, value: object):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content.setdefault(section, {})[key] = value
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("section", PARAMS.model_dump())
def test_every_parameter_has_its_value_in_the_file_and_nowhere_else(tmp_path, section):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    values = content[section] if isinstance(content[section], dict) else {}
    for gone in [*([section, key] for key in values), [section]]:
        left = deepcopy(content)
        del (left if len(gone) == 1 else left[section])[gone[-1]]
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(left))
        with pytest.raises(UserError, match=rf"{re.escape('.'.join(gone))}: missing; add it"):
            load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("section", "key", "value", "read"),
    [
        ("train", "basic_lr_per_img", "1e-05", 1e-5),  # as DVC writes small numbers
        ("train", "degrees", 10, 10.0),
        ("train", "precision", 32, "32"),
        ("train", "devices", 2, 2),
        ("model", "input_hw", [384, 640], (384, 640)),
        ("model", "name", "yolox-s", "yolox-s"),
    ],
)
def test_accepted(tmp_path, section, key, value, read):
    params = load_params(changed(tmp_path, section, key, value))
    assert getattr(getattr(params, section), key) == read


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        ("train", "epochs", 3, "train.epochs: unknown parameter"),
        ("trian", "max_epoch", 3, "trian: unknown parameter"),
        ("train", "max_epoch", "many", "train.max_epoch: 'many'"),
        ("train", "max_epoch", 1.5, "train.max_epoch: 1.5"),
        ("train", "max_epoch", 0, "train.max_epoch: 0"),
        ("train", "ema", "yes", "train.ema: 'yes'"),
        ("train", "basic_lr_per_img", float("nan"), "train.basic_lr_per_img: nan"),
        ("train", "mosaic_scale", [0.5], "train.mosaic_scale"),
        ("model", "input_hw", [100, 320], "multiple of 32"),
        ("model", "name", "yolox-huge", "'yolox-nano', 'yolox-tiny'"),
        ("split", "ratio", 1.0, "split.ratio: 1.0"),
        ("data", "export", None, "data.export: None"),
    ],
)
def test_refused(tmp_path, section, key, value, said):
    path = changed(tmp_path, section, key, value)
    with pytest.raises(UserError) as refusal:
        load_params(path)
    assert said in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[1]", "a: [", "\tx"])
def test_what_is_no_parameter_file_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(UserError):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_are_those_of_yolox(name):
    config = YoloxConfig.get_named_config(name)
    given = PARAMS.model.model_copy(update={"name": name}).architecture()
    assert given == {k: getattr(config, k) for k in ("depth", "width", "depthwise", "act")}


def test_single_values_override_the_name():
    changes = {"name": "yolox-s", "width": 0.375, "depthwise": True}
    given = PARAMS.model.model_copy(update=changes).architecture()
    assert given == {"depth": 0.33, "width": 0.375, "depthwise": True, "act": "silu"}
