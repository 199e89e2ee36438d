"""The service's description of itself, OpenAPI 3.1; BentoML's own leaves mounted routes out.

Programs that make clients from it read it once, so it names none of the models that happen to be served. They know a
file by `format: binary`, and put the options of a form beside those of the URL, twice each: so a form is described by
its image alone, though it may hold options too. Those of openapi-generator send JSON wherever it is one of several
kinds, and then no file at all (Java and Python were tried): so JSON is told in words, with an example.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from hardener import __version__
from hardener.config.answer import ProblemDocument

from .endpoint import Endpoint
from .examples import EXAMPLES
from .options import SCHEMAS
from .settings import Settings

STATUSES = {
    400: "the body cannot be read or unpacked, or has no image",
    401: "no token, or one that is not known",
    403: "a page of another site asks, and the service has no tokens",
    404: "there is no model of this name",
    408: "the body did not arrive in time",
    413: "the body has too many bytes, the image too many pixels, or the batch too many images",
    415: "the body is of another kind, or packed in another way, or the image is no JPEG, PNG, WEBP or BMP file",
    421: "the service has no tokens, and does not go by the name that it was asked by",
    422: "the image is truncated or damaged, or an option is unknown or out of range",
    429: "too many requests of this caller; Retry-After says when to come back",
    500: "the service or the model failed on this request",
    503: "too much work is waiting; Retry-After says when to come back",
    504: "the answer was not ready before the deadline",
}
RETRY = {429, 503}
HOW_OPTIONS = "In a form, options may stand as fields of the same names. "
RAW = "The file may come as it is, as application/octet-stream or image/*. "
JSON = "JSON is taken as well, with images in base64 and options beside them, as application/json: {}. "
PACKED = "A body may be packed: Content-Encoding gzip or deflate."


def openapi_document(
    endpoints: Iterable[Endpoint], settings: Settings, *, most_classes: int | None = None
) -> dict[str, Any]:
    """Describe some endpoints.

    Args:
        most_classes: of a model that is served; None: not known.
    """
    endpoints = list(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    bodies: dict[str, Any] = {}
    options = SCHEMAS | ({} if most_classes is None else {"top_k": SCHEMAS["top_k"] | {"maximum": most_classes}})
    for endpoint in endpoints:
        operation = _operation(endpoint, options, settings.max_batch_images, bodies)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "hardener",
            "version": __version__,
            "summary": "Image classification with a robustness report on request",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "where this document is, also below a proxy's prefix"}],
        "paths": paths,
        "components": {"schemas": _documents(endpoints) | bodies},
    }
    if settings.tokens or settings.token_hashes:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for endpoint in endpoints:
            if endpoint.needs_token:
                paths[endpoint.path][endpoint.method.lower()]["security"] = [{"token": []}]
    return document


def _documents(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the schemas of all that is answered as JSON, and of what they are made of."""
    answered: list[type[BaseModel]] = [kind for endpoint in endpoints if not isinstance(kind := endpoint.returns, str)]
    documents: dict[type[BaseModel], None] = dict.fromkeys([*answered, ProblemDocument])
    _, schemas = models_json_schema(
        [(document, "serialization") for document in documents], ref_template="#/components/schemas/{model}"
    )
    found: dict[str, Any] = schemas["$defs"]
    return found


def _operation(
    endpoint: Endpoint, options: dict[str, dict[str, Any]], most_images: int, bodies: dict[str, Any]
) -> dict[str, Any]:
    """Describe an endpoint, and add the schemas of its body to `bodies`: clients have a class for each, by its name."""
    taken = {name: options[name] for name in endpoint.options}
    statuses = [401, 403, 421, 429, 500, 503] if endpoint.needs_token else [500, 503]
    if endpoint.body:
        statuses += [400, 404, 408, 413, 415, 422, 504]
    elif taken:
        statuses += [404, 422]
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": [{"name": name, "in": "query", "schema": schema} for name, schema in taken.items()],
        "responses": {"200": {"description": endpoint.summary, "content": _answer(endpoint)}}
        | {str(status): _problem(status) for status in sorted(statuses)},
    }
    if endpoint.body:
        one = endpoint.body == "image"
        content = _one_image() if one else _several_images(most_images)
        name = endpoint.name.title().replace("_", "") + "Form"
        bodies[name] = content["multipart/form-data"]["schema"]
        content["multipart/form-data"]["schema"] = _reference(name)
        told = HOW_OPTIONS + (RAW if one else "") + JSON.format(_in_json(one=one)) + PACKED
        operation["requestBody"] = {"required": True, "description": told, "content": content}
    return operation


def _answer(endpoint: Endpoint) -> dict[str, Any]:
    if isinstance(endpoint.returns, str):
        kind = "object" if endpoint.returns == "application/json" else "string"
        return {endpoint.returns: {"schema": {"type": kind}, "example": endpoint.example}}
    return {"application/json": {"schema": _reference(endpoint.returns.__name__), "example": endpoint.example}}


def _problem(status: int) -> dict[str, Any]:
    example = {"type": "about:blank", "title": "…", "status": status, "detail": STATUSES[status]}
    content = {"application/problem+json": {"schema": _reference("ProblemDocument"), "example": example}}
    answer: dict[str, Any] = {"description": STATUSES[status], "content": content}
    if status in RETRY:
        schema = {"type": "integer", "minimum": 1}
        answer["headers"] = {"Retry-After": {"required": True, "description": "seconds", "schema": schema}}
    return answer


def _one_image() -> dict[str, Any]:
    return {
        "multipart/form-data": {"schema": _form("image", _FILE)},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
    }


def _several_images(most: int) -> dict[str, Any]:
    return {"multipart/form-data": {"schema": _form("image", _list(_FILE, most))}}


def _in_json(*, one: bool) -> str:
    image = EXAMPLES["base64"]
    return json.dumps({"image": image, "top_k": 3} if one else {"images": [image], "top_k": 3})


_FILE = {
    "type": "string",
    "format": "binary",
    "minLength": 1,
    "contentMediaType": "application/octet-stream",
    "description": "a JPEG, PNG, WEBP or BMP file",
}


def _list(items: dict[str, Any], most: int) -> dict[str, Any]:
    each = {key: value for key, value in items.items() if key != "minLength"}  # an empty one gets its own problem
    return {"type": "array", "minItems": 1, "maxItems": most, "items": each}


def _form(name: str, images: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: images}, "additionalProperties": False}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
