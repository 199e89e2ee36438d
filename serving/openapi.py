"""The service's description of itself, OpenAPI 3.1; BentoML's own leaves mounted routes out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hardener import __version__

from .examples import EXAMPLES
from .options import SCHEMAS
from .schemas import BatchAnswer, ModelInfo, ModelList, Prediction, ProblemDocument
from .settings import Settings

DOCUMENTS: tuple[type[BaseModel], ...] = (Prediction, BatchAnswer, ModelInfo, ModelList, ProblemDocument)
STATUSES = {
    400: "the body cannot be read, or has no image",
    401: "no token, or one that is not known",
    404: "there is no model of this name",
    408: "the body did not arrive in time",
    413: "the body has too many bytes, the image too many pixels, or the batch too many images",
    415: "the body is of another kind, or the image is no JPEG, PNG, WEBP or BMP file",
    422: "the image is truncated or damaged, or an option is unknown or out of range",
    429: "too many requests of this caller; Retry-After says when to come back",
    500: "the service or the model failed on this request",
    503: "too much work is waiting; Retry-After says when to come back",
    504: "the answer was not ready before the deadline",
}
RETRY = {429, 503}
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")


def openapi_document(models: ModelList, settings: Settings) -> dict[str, Any]:
    """Describe every route that is open."""
    _, schemas = models_json_schema(
        [(document, "serialization") for document in DOCUMENTS], ref_template="#/components/schemas/{model}"
    )
    options = _options(models)
    secured = bool(settings.tokens or settings.token_hashes)
    paths = _predictions(options, settings) | _descriptions(options["model"]) | _machinery()
    for path, part in (("/metrics", "metrics"), ("/openapi.json", "docs"), *((path, "page") for path in _PAGE)):
        if part in settings.closed:
            del paths[path]
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "hardener",
            "version": __version__,
            "summary": "Image classification with a robustness report on request",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }
    if secured:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in paths.items():
            for operation in methods.values():
                if path not in _OPEN:
                    operation["security"] = [{"token": []}]
    return document


_PAGE = {
    "/": ("page", "The web page", "text/html"),
    "/page.css": ("page_style", "Its style", "text/css"),
    "/page.js": ("page_script", "Its script", "text/javascript"),
}
_OPEN = {*_PAGE, "/healthz", "/livez", "/readyz"}


def _options(models: ModelList) -> dict[str, dict[str, Any]]:
    """Return the options' schemas, with what the served models say about their range."""
    options = {name: dict(schema) for name, schema in SCHEMAS.items()}
    options["top_k"]["maximum"] = max(len(model.classes) for model in models.models)
    options["model"] |= {"enum": [model.name for model in models.models], "default": models.default}
    return options


def _predictions(options: dict[str, dict[str, Any]], settings: Settings) -> dict[str, Any]:
    plain = {name: schema for name, schema in options.items() if name != "report"}
    few = {name: options[name] for name in ("top_k", "model")}
    most = settings.max_batch_images
    return {
        "/predict": {
            "post": _operation(
                "predict",
                "Classify an image, on request with a robustness report",
                "Prediction",
                "prediction",
                parameters=options,
                bodies=_one_image(options),
            )
        },
        "/report": {
            "post": _operation(
                "report",
                "Classify an image and probe and certify the answer",
                "Prediction",
                "report",
                parameters=plain,
                bodies=_one_image(plain),
            )
        },
        "/predict/batch": {
            "post": _operation(
                "predict_batch",
                "Classify several images; a bad one gets its own problem",
                "BatchAnswer",
                "batch",
                parameters=few,
                bodies=_several_images(few, most),
            )
        },
    }


def _descriptions(model: dict[str, Any]) -> dict[str, Any]:
    parameters = {"model": model}
    return {
        "/model": {"get": _operation("model", "One model that is served", "ModelInfo", "model", parameters=parameters)},
        "/models": {"get": _operation("models", "All models that are served", "ModelList", "models")},
        "/model/card": {
            "get": _text("model_card", "The model's card", "text/markdown", "# A model", parameters=parameters)
        },
        "/openapi.json": {"get": _text("openapi", "This document", "application/json", {"openapi": "3.1.0"})},
        **{path: {"get": _text(name, text, kind, "…")} for path, (name, text, kind) in _PAGE.items()},
    }


def _machinery() -> dict[str, Any]:
    return {
        "/metrics": {"get": _text("metrics", "Prometheus metrics", "text/plain", "hardener_reports_total 1.0")},
        "/healthz": {"get": _text("healthz", "200 while the process lives", "text/plain", "\n")},
        "/livez": {"get": _text("livez", "the same", "text/plain", "\n")},
        "/readyz": {"get": _text("readyz", "200 once the models are loaded and warm", "text/plain", "\n")},
    }


def _operation(
    name: str,
    summary: str,
    schema: str,
    example: str,
    *,
    parameters: dict[str, dict[str, Any]] | None = None,
    bodies: dict[str, Any] | None = None,
) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(schema), "examples": {example: {"value": EXAMPLES[example]}}}}
    return _described(name, summary, content, parameters or {}, bodies)


def _text(
    name: str, summary: str, media_type: str, example: Any, *, parameters: dict[str, dict[str, Any]] | None = None
) -> dict[str, Any]:
    kind = "object" if media_type == "application/json" else "string"
    content = {media_type: {"schema": {"type": kind}, "example": example}}
    return _described(name, summary, content, parameters or {}, None)


def _described(
    name: str,
    summary: str,
    content: dict[str, Any],
    parameters: dict[str, dict[str, Any]],
    bodies: dict[str, Any] | None,
) -> dict[str, Any]:
    statuses = [401, 429, 500, 503]
    if bodies:
        statuses += [400, 404, 408, 413, 415, 422, 504]
    elif parameters:
        statuses += [404, 422]
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "parameters": [{"name": key, "in": "query", "schema": value} for key, value in parameters.items()],
        "responses": {"200": {"description": summary, "content": content}}
        | {str(status): _problem(status) for status in sorted(statuses)},
    }
    if bodies:
        operation["requestBody"] = {"required": True, "content": bodies}
    return operation


def _problem(status: int) -> dict[str, Any]:
    example = {"type": "about:blank", "title": "…", "status": status, "detail": STATUSES[status]}
    content = {"application/problem+json": {"schema": _reference("ProblemDocument"), "example": example}}
    answer: dict[str, Any] = {"description": STATUSES[status], "content": content}
    if status in RETRY:
        schema = {"type": "integer", "minimum": 1}
        answer["headers"] = {"Retry-After": {"required": True, "description": "seconds", "schema": schema}}
    return answer


def _one_image(options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    raw: dict[str, Any] = {
        kind: {"schema": {"type": "string", "format": "image", "minLength": 1}} for kind in IMAGE_TYPES
    }
    return {
        "multipart/form-data": {"schema": _form({"image": _FILE}, options)},
        **raw,
        "application/json": {
            "schema": _form({"image": _BASE64}, options),
            "example": {"image": EXAMPLES["base64"], "top_k": 3},
        },
    }


def _several_images(options: dict[str, dict[str, Any]], most: int) -> dict[str, Any]:
    return {
        "multipart/form-data": {"schema": _form({"image": _list(_FILE, most)}, options)},
        "application/json": {
            "schema": _form({"images": _list(_BASE64, most)}, options),
            "example": {"images": [EXAMPLES["base64"]], "top_k": 3},
        },
    }


_FILE = {
    "type": "string",
    "format": "image",
    "minLength": 1,
    "contentMediaType": "application/octet-stream",
    "description": "a JPEG, PNG, WEBP or BMP file",
}
_BASE64 = {
    "type": "string",
    "format": "image-base64",
    "minLength": 4,
    "contentEncoding": "base64",
    "description": "a JPEG, PNG, WEBP or BMP file in base64",
}


def _list(items: dict[str, Any], most: int) -> dict[str, Any]:
    each = {key: value for key, value in items.items() if key != "minLength"}  # an empty one gets its own problem
    return {"type": "array", "minItems": 1, "maxItems": most, "items": each}


def _form(images: dict[str, Any], options: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(images),
        "properties": images | options,
        "additionalProperties": False,
    }


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
