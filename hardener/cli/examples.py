"""Examples for each command's help; a test parses every one of them."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "quickstart": ("hardener quickstart first",),
    "inspect": (
        "hardener inspect ./imgs",
        "hardener inspect ./imgs --html imgs.html --json imgs.json",
        "hardener inspect resnet50.py --data ./imgs",
    ),
    "convert": ("hardener convert annotations/instances_train2017.json crops --images-root ./train2017",),
    "train": (
        "hardener train resnet50.py --data ./imgs",
        "hardener train torchvision:resnet18 --pretrained --replace-head --data ./imgs --image-size 96",
        "hardener train resnet50.py --data ./imgs --recipe n-fgsm --epochs 20 --set vicinity.adversarial.eps=4/255",
        "hardener train --resume runs/NAME",
    ),
    "eval": (
        "hardener eval",
        "hardener eval runs/NAME --suite standard --samples 500",
        "hardener eval --attack pgd --eps 4/255 --steps 50 --restarts 5 --json result.json",
        "hardener eval other.py --init weights.safetensors --normalize imagenet --data ./imgs",
        "hardener eval runs/NAME/bundle/model.onnx",
    ),
    "ablate": ("hardener ablate small_cnn.py --data ./imgs --eps 4/255 --epochs 10",),
    "compare": ("hardener compare runs/A runs/B", "hardener compare runs/A runs/B --to comparison --json both.json"),
    "gate": (
        "hardener gate --min clean=0.80 --min linf-8/255=0.40 --junit gate.xml",
        "hardener gate runs/NEW --against runs/OLD --max-drop linf-8/255=0.02",
    ),
    "dossier": (
        "hardener dossier runs/NAME --out dossier.html",
        "hardener dossier runs/NAME --against runs/BASELINE --purpose purpose.yaml --requirements requirements.yaml "
        "--out dossier.html",
    ),
    "export": ("hardener export", "hardener export runs/NAME --quantize int8"),
    "bundle": ("hardener bundle runs/NAME --output service.bento",),
    "serve": ("hardener serve", "hardener serve runs/A new=runs/B --default A --workers 2 --tokens tokens"),
    "predict": ("hardener predict cat.jpg --report", "hardener predict cat.jpg dog.jpg --url http://host:3000 --json"),
    "recipes": ("hardener recipes", "hardener recipes sprout"),
    "attacks": ("hardener attacks", "hardener attacks apgd-t"),
    "doctor": ("hardener doctor", "hardener doctor --json"),
}


def examples_of(command: str) -> str:
    """Return the help's last lines, each a paragraph so that the help keeps them apart."""
    return "\n\n".join(("Examples:", *EXAMPLES[command]))
