"""Architectures of torchvision, timm and transformers, with random weights and at their own sizes.

Each is trained for a step, opened again from its run, attacked, and exported."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from oracles import write_image_folder

import hardener

SIZES = {
    "torchvision:alexnet": 224,
    "torchvision:densenet121": 224,
    "torchvision:efficientnet_b0": 224,
    "torchvision:googlenet": 224,
    "torchvision:inception_v3": 299,
    "torchvision:maxvit_t": 224,
    "torchvision:mnasnet0_5": 224,
    "torchvision:mobilenet_v2": 224,
    "torchvision:mobilenet_v3_small": 224,
    "torchvision:regnet_y_400mf": 224,
    "torchvision:resnet18": 224,
    "torchvision:shufflenet_v2_x0_5": 224,
    "torchvision:squeezenet1_1": 224,
    "torchvision:swin_t": 224,
    "torchvision:vgg11_bn": 224,
    "timm:efficientformerv2_s0": 224,
    "timm:ghostnet_050": 224,
    "timm:levit_128s": 224,
    "timm:mixer_s32_224": 224,
    "timm:mobilevit_xxs": 256,
    "timm:poolformer_s12": 224,
    "timm:pvt_v2_b0": 224,
    "timm:repvgg_a0": 224,
    "timm:tf_efficientnet_lite0": 224,
    "timm:vit_tiny_patch16_224": 224,
    "transformers:convnextv2": 224,
    "transformers:deit": 224,
    "transformers:mobilenet_v2": 224,
    "transformers:mobilevit": 256,
    "transformers:resnet": 224,
    "transformers:vit": 224,
}
"""MODEL, or the kind of a HuggingFace configuration, and the side of its images."""
TINY: dict[str, object] = {"hidden_size": 192, "num_attention_heads": 3, "intermediate_size": 768}
SMALLER: dict[str, dict[str, object]] = {
    "convnextv2": {"depths": [2, 2, 6, 2], "hidden_sizes": [40, 80, 160, 320]},  # its atto
    "resnet": {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    "vit": {**TINY, "num_hidden_layers": 12},
    "deit": {**TINY, "num_hidden_layers": 12},
}
QUICK = {"epochs": 1, "batch_size": 4, "validation.steps": 1, "validation.samples": 2, "data.cache": False}


@dataclass(frozen=True)
class Done:
    """What came of an architecture. `batch`: the only number of images that its ONNX file takes."""

    parameters: int
    clean_accuracy: float
    robust_accuracy: float
    difference: float
    batch: int | None
    seconds: float


def images(folder: Path) -> Path:
    """Write two classes of colour images: a few for a step, one for each validation, one to attack."""
    return write_image_folder(folder / "imgs", {"a": 4, "b": 4}, size=(64, 64), color=True)


def model_of(name: str, folder: Path) -> str:
    """Return what is given as MODEL; for a HuggingFace configuration a folder is written."""
    library, _, kind = name.partition(":")
    if library != "transformers":
        return name
    import transformers

    config = transformers.AutoConfig.for_model(kind, num_labels=2, **SMALLER.get(kind, {}))
    config.architectures = []  # transformers looks through them
    made = transformers.AutoModelForImageClassification.from_config(config)
    made.save_pretrained(folder / kind)
    return str(folder / kind)


def done(name: str, data: Path, folder: Path) -> Done:
    """Train an architecture for a step; open its run again, attack it, and export it.

    Raises:
        HardenerError: one of these fails, or the ONNX file answers otherwise.
    """
    began = time.monotonic()
    settings = {**QUICK, "data.image_size": SIZES[name]}
    model = model_of(name, folder)
    run = hardener.train(model, data, recipe="natural", settings=settings, out=folder, device="cpu")
    found = hardener.evaluate(run, attacks=["fgsm"], samples=2, device="cpu")
    bundle = hardener.export(run)
    assert bundle.parity.argmax_agreement == 1
    return Done(
        run.read_record().model.parameters,
        found.clean_accuracy,
        found.robust_accuracy,
        bundle.parity.largest_logit_difference,
        bundle.input.batch,
        time.monotonic() - began,
    )
