"""The service's description of itself, OpenAPI 3.1; BentoML's own leaves mounted routes out."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from hardener import __version__

from .schemas import ModelInfo, Prediction, ProblemDocument

STATUSES = {
    400: "the body is no readable multipart body, or has no field image",
    413: "the body has too many bytes, or the image too many pixels",
    415: "the body is not multipart/form-data, or the field image holds no JPEG, PNG, WEBP or BMP file",
    422: "the image is truncated or damaged, or an option is unknown or no boolean",
    500: "the service or the model failed on this request",
    503: "too much work is waiting; Retry-After says when to come back",
    504: "the answer was not ready before the deadline",
}


def openapi_document() -> dict[str, Any]:
    """Describe every route."""
    _, schemas = models_json_schema(
        [(Prediction, "serialization"), (ModelInfo, "serialization"), (ProblemDocument, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    report = {
        "type": "boolean",
        "default": False,
        "description": "also probe and certify this answer; takes seconds",
    }
    predict = {
        "operationId": "predict",
        "summary": "Classify an image, on request with a robustness report",
        "parameters": [{"name": "report", "in": "query", "schema": report}],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _form(report)}}},
        "responses": {"200": _json("Prediction", "the answer")}
        | {str(status): _problem(text) for status, text in STATUSES.items()},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "hardener", "version": __version__},
        "paths": {
            "/": {"get": _plain("index", "The list of routes", "application/json")},
            "/predict": {"post": predict},
            "/model": {
                "get": {
                    "operationId": "model",
                    "summary": "The model that is served",
                    "responses": {"200": _json("ModelInfo", "the bundle")},
                }
            },
            "/metrics": {"get": _plain("metrics", "Prometheus metrics", "text/plain")},
            "/openapi.json": {"get": _plain("openapi", "This document", "application/json")},
            "/healthz": {"get": _plain("healthz", "200 while the process lives", "text/plain")},
            "/readyz": {"get": _plain("readyz", "200 once the model is loaded and warm", "text/plain")},
        },
        "components": {"schemas": schemas["$defs"]},
    }


def _form(report: dict[str, Any]) -> dict[str, Any]:
    image = {
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": "JPEG, PNG, WEBP or BMP",
    }
    return {"type": "object", "required": ["image"], "properties": {"image": image, "report": report}}


def _json(schema: str, description: str, media_type: str = "application/json") -> dict[str, Any]:
    content = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _problem(description: str) -> dict[str, Any]:
    return _json("ProblemDocument", description, "application/problem+json")


def _plain(operation: str, summary: str, media_type: str) -> dict[str, Any]:
    answer = {"description": summary, "content": {media_type: {}}}
    return {"operationId": operation, "summary": summary, "responses": {"200": answer}}
