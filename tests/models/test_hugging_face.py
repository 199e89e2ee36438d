"""Networks of HuggingFace: a folder that transformers writes is a MODEL and an --init."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from oracles import write_image_folder
from typer.testing import CliRunner, Result

from hardener.cli.app import app
from hardener.config.model_spec import is_hugging_face
from hardener.config.run_folder import RunFolder
from hardener.errors import HardenerError
from hardener.models.checkpoints.weights import load_weights
from hardener.models.load import load_model
from hardener.models.trained import open_classifier


def hardener(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer of two classes as transformers writes it, and images."""
    from transformers import ViTConfig, ViTForImageClassification

    folder = tmp_path_factory.mktemp("hf")
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    made = ViTForImageClassification(ViTConfig(**sizes, image_size=8, patch_size=4, num_channels=3, num_labels=2))
    made.save_pretrained(folder / "vit")
    write_image_folder(folder / "imgs", {"cat": 8, "dog": 8})
    return folder


def test_a_folder_is_a_model_and_its_weights(home: Path) -> None:
    loaded = load_model(str(home / "vit"), num_classes=2)
    assert (loaded.name, [path.name for path in loaded.sources]) == ("vit", ["config.json"])
    load_weights(loaded.network, home / "vit")
    from transformers import AutoModelForImageClassification

    own = AutoModelForImageClassification.from_pretrained(str(home / "vit")).state_dict()
    assert all(torch.equal(value, own[name]) for name, value in loaded.network.state_dict().items())
    assert loaded.found == f"ViTForImageClassification of transformers, as {home / 'vit'} says"
    assert load_model(str(home / "vit"), num_classes=5).network.state_dict()["classifier.weight"].shape == (5, 8)


def test_it_trains_is_opened_again_without_the_folder_and_is_evaluated(home: Path) -> None:
    words = "--epochs 1 --batch-size 8 --device cpu --image-size 8 --set validation.steps=1"
    where = ["--data", home / "imgs", "--out", home / "runs", "--name", "r", "--init", home / "vit"]
    found = hardener("train", home / "vit", *where, *words.split())
    assert found.exit_code == 0, found.output
    run = RunFolder(home / "runs" / "r")
    assert run.read_record().model.file == "model/config.json"
    moved = (home / "vit").rename(home / "away")
    try:
        assert open_classifier(run, run.read_record())(torch.rand(2, 3, 8, 8)).shape == (2, 2)
    finally:
        moved.rename(home / "vit")
    words = "--normalize none --attack fgsm --samples 4 --device cpu --image-size 8"
    judged = hardener("eval", home / "vit", "--data", home / "imgs", "--init", home / "vit", *words.split())
    assert judged.exit_code == 0, judged.output


def test_code_of_others_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "auto_map": {"AutoModel": "x.Y"}}))
    with pytest.raises(HardenerError, match="brings code of its own"):
        load_model(str(tmp_path), num_classes=2)
    for spec in ("torchhub:pytorch/vision:resnet18", "hub:pytorch/vision"):
        with pytest.raises(HardenerError, match="would run code from the net"):
            load_model(spec, num_classes=2)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    with pytest.raises(HardenerError, match="cannot be built as an image classifier"):
        load_model(str(tmp_path), num_classes=2)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(HardenerError, match="has no model_type"):
        load_model(str(tmp_path), num_classes=2)


def test_a_name_that_cannot_be_fetched_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HardenerError, match="neither in the local cache nor to be fetched.*pass its path as MODEL"):
        load_model("hf:nobody/nothing", num_classes=2)


def test_what_is_taken_for_a_network_of_hugging_face(tmp_path: Path) -> None:
    assert is_hugging_face("hf:google/vit")
    assert not is_hugging_face(str(tmp_path))
    (tmp_path / "config.json").touch()
    assert is_hugging_face(str(tmp_path))
    (tmp_path / "run.json").touch()
    assert not is_hugging_face(str(tmp_path))


def test_a_configuration_without_architectures_is_built_all_the_same(tmp_path: Path) -> None:
    from transformers import DeiTConfig

    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    DeiTConfig(**small, image_size=8, patch_size=4).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()).get("architectures") is None
    assert type(load_model(str(tmp_path), num_classes=2).network).__name__ == "DeiTForImageClassification"
