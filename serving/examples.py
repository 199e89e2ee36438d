"""The examples in the OpenAPI document. Each is checked against its schema, and the image is one that is taken."""

from __future__ import annotations

from typing import Any

_NAME = {"name": "digits", "fingerprint": "3f1c" * 16, "file_sha256": "a70e" * 16, "quantization": None}
_PREDICTION: dict[str, Any] = {
    "label": "cat",
    "index": 0,
    "confidence": 0.91,
    "probabilities": {"cat": 0.91, "dog": 0.07, "frog": 0.02},
    "model": _NAME,
    "report": None,
}
_EVALUATION = {
    "split": "test",
    "norm": "linf",
    "eps": 0.03137254901960784,
    "samples": 1000,
    "clean_accuracy": 0.9,
    "robust_accuracy": 0.4,
    "interval": [0.37, 0.43],
    "attacks": ["pgd"],
    "evaluated_at": "2025-01-01T00:00:00Z",
}
_MODEL: dict[str, Any] = {
    **_NAME,
    "recipe": "sprout",
    "created_at": "2025-01-01T00:00:00Z",
    "hardener_version": "0.1.0",
    "input": {"height": 224, "width": 224, "channels": 3, "resize": "cover-center-bilinear"},
    "classes": ["cat", "dog", "frog"],
    "noise_sigma": 0.25,
    "evaluation": _EVALUATION,
    "provider": "CPUExecutionProvider",
}


def _stability(unit: str | None, tried: list[float], parameter: float | None) -> dict[str, Any]:
    return {
        "unit": unit,
        "tried": tried,
        "variants": max(1, len(tried)),
        "same_answer": 1.0,
        "worst": {"parameter": parameter, "label": "cat", "confidence": 0.71},
        "meaning": "Share of changed copies with the same answer.",
    }


def _statistic(value: float, unit: str, low: float, high: float) -> dict[str, Any]:
    step = (high - low) / 4
    spread = {"q01": low, "q25": low + step, "median": low + 2 * step, "q75": low + 3 * step, "q99": high}
    return {"value": value, "unit": unit, "training": spread, "unusual": False}


_REPORT: dict[str, Any] = {
    "stability": {
        "noise": _stability("std of the Gaussian noise, in [0, 1] pixels", [0.02, 0.05, 0.1, 0.2], 0.2),
        "rotation": _stability("degrees, counter-clockwise", [-30.0, 30.0], 30.0),
        "brightness": _stability("factor; 1 is the image as sent", [0.5, 1.5], 0.5),
        "contrast": _stability("factor; 1 is the image as sent", [0.5, 1.5], 0.5),
        "gray": _stability(None, [], None),
        "blur": _stability("std of the blur, in pixels of the model's input", [0.5, 3.0], 3.0),
        "jpeg": _stability("JPEG quality, 1 to 95", [10.0, 90.0], 10.0),
    },
    "certificate": {
        "radius": 0.31,
        "abstained": False,
        "label": "cat",
        "index": 0,
        "agrees_with_prediction": True,
        "noise_sigma": 0.25,
        "trained_with_this_noise": True,
        "selection_draws": 16,
        "draws": 100,
        "agreeing_draws": 99,
        "lower_bound": 0.91,
        "confidence": 0.999,
        "largest_possible_radius": 0.38,
        "meaning": "No change of the model's input that is shorter than the radius alters the smoothed answer.",
    },
    "offline": {"evaluation": _EVALUATION, "meaning": "Shares of a test set, the same for every request."},
    "attack": {
        "name": "square",
        "norm": "linf",
        "eps": 0.03137254901960784,
        "queries": 200,
        "queries_allowed": 200,
        "found": False,
        "label": None,
        "lowest_margin": 0.8,
        "image": None,
        "statement": "no adversarial image found in 200 queries",
        "meaning": "This proves nothing: a longer search may find one.",
    },
    "margin": {
        "runner_up": "dog",
        "logits": 2.6,
        "probability": 0.84,
        "meaning": "How far the answer is ahead of the next one.",
    },
    "input": {
        "width": _statistic(640.0, "pixels, of the image as sent", 224.0, 1024.0),
        "height": _statistic(480.0, "pixels, of the image as sent", 224.0, 1024.0),
        "brightness": _statistic(0.47, "mean of the model's input, luma in [0, 1]", 0.2, 0.8),
        "contrast": _statistic(0.21, "standard deviation of the model's input, luma in [0, 1]", 0.1, 0.35),
        "noise": _statistic(0.02, "estimated std of the noise of the model's input", 0.005, 0.08),
        "meaning": "unusual: outside the range of the middle 98 % of 2,000 training images.",
    },
    "budget": {
        "allowed_s": 15.0,
        "draws_allowed": 100,
        "queries_allowed": 200,
        "spent_s": 4.2,
        "model_runs": 375,
        "cut_short": False,
    },
}
_PROBLEM = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "detail": "the image: truncated or damaged",
}
EXAMPLES: dict[str, Any] = {
    "base64": "Qk1GAAAAAAAAADYAAAAoAAAAAgAAAAIAAAABABgAAAAAABAAAADEDgAAxA4AAAAAAAAAAAAAPDx4PDx4AAA8PHg8PHgAAA==",
    "prediction": _PREDICTION,
    "report": _PREDICTION | {"report": _REPORT},
    "batch": {"items": [{"prediction": _PREDICTION, "problem": None}, {"prediction": None, "problem": _PROBLEM}]},
    "model": _MODEL,
    "models": {"default": "digits", "models": [_MODEL]},
}
