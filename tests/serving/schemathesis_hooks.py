"""Images for schemathesis, which cannot make any from a schema; it then tries what the OpenAPI document describes.

In the project folder: `schemathesis --config-file tests/serving/schemathesis.toml run URL/openapi.json --checks all`.
This file is loaded by schemathesis alone, in an environment that needs only it and Pillow.
"""

from __future__ import annotations

import io

import schemathesis
from hypothesis import strategies
from PIL import Image

TYPES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/bmp": "BMP"}


def encoded(file_format: str, size: tuple[int, int]) -> bytes:
    """Draw an image file."""
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, file_format)
    return file.getvalue()


images = {
    kind: strategies.sampled_from([encoded(name, size) for size in ((1, 1), (40, 30))]) for kind, name in TYPES.items()
}
images["application/octet-stream"] = strategies.one_of(*images.values())
for kind, strategy in images.items():
    schemathesis.openapi.media_type(kind, strategy)
schemathesis.openapi.format("binary", images["application/octet-stream"])
