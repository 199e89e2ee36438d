"""The worst of what cameras do to a photograph, all of it at once."""

from __future__ import annotations

import io
from typing import Annotated

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad

from hardener.threats import Change, Ends, Shape, between, within
from hardener.threats.spatial import warped

_GRAINS = 64


class Camera(Change):
    """Everyday changes of a photograph, one after the other in the order of a camera, each within its range.

    Attributes:
        rotation: degrees about the centre; what comes in is black.
        motion: length of a straight blur, a share of the shorter side; its direction is free.
        defocus: radius of a disk's blur, a share of the shorter side.
        exposure: in stops; 1 doubles all values.
        white_balance: in stops; red grows by it and blue falls by it. Gray images stay as they are.
        contrast: factor on the distance from the image's mean.
        noise: std of Gaussian noise, a share of the pixel range; one of 64 drawn patterns, which the attacker chooses.
        downscale: factor on both sides before the image is brought back to its size.
        jpeg: quality; 100: not compressed.
    Note: no gradient is taken: rounding, JPEG and whole sizes have none.
    """

    rotation: Annotated[Ends, within(-180, 180, still=0)] = (-10.0, 10.0)
    motion: Annotated[Ends, within(0, 1, still=0)] = (0.0, 0.06)
    defocus: Annotated[Ends, within(0, 0.5, still=0)] = (0.0, 0.03)
    exposure: Annotated[Ends, within(-5, 5, still=0)] = (-0.7, 0.7)
    white_balance: Annotated[Ends, within(-3, 3, still=0)] = (-0.3, 0.3)
    contrast: Annotated[Ends, within(0, 10, still=1)] = (0.7, 1.3)
    noise: Annotated[Ends, within(0, 1, still=0)] = (0.0, 0.05)
    downscale: Annotated[Ends, within(0.05, 1, still=1)] = (0.5, 1.0)
    jpeg: Annotated[Ends, within(1, 100, still=100)] = (30.0, 100.0)

    def values(self, shape: Shape) -> int:
        """Return 11: the nine ranges, the direction of the motion, and which pattern of noise."""
        return 11

    @torch.no_grad()
    def apply(self, images: Tensor, points: Tensor) -> Tensor:
        """Return the images as the camera leaves them; see `Change.apply`."""
        side = min(images.shape[-2:])
        none = torch.zeros(len(images), device=images.device)
        turned = between(points, 0, self.rotation)
        changed = warped(images, turned, none, none) if turned.any() else images
        changed = _blurred(changed, side * between(points, 1, self.motion), torch.pi * points[:, 9], line=True)
        changed = _blurred(changed, side * between(points, 2, self.defocus), none, line=False)
        changed = changed * _factor(between(points, 3, self.exposure))
        if images.shape[1] == 3:
            tint = _factor(between(points, 4, self.white_balance))
            changed = changed * torch.cat([tint, torch.ones_like(tint), 1 / tint], dim=1)
        changed = changed.clamp(0, 1)
        mean = changed.mean(dim=(1, 2, 3), keepdim=True)
        changed = mean + between(points, 5, self.contrast).view(-1, 1, 1, 1) * (changed - mean)
        grain = (points[:, 10] * _GRAINS).long().clamp_max(_GRAINS - 1)
        changed = changed + between(points, 6, self.noise).view(-1, 1, 1, 1) * _noise(grain, changed)
        changed = changed.clamp(0, 1)
        scales, qualities = between(points, 7, self.downscale), between(points, 8, self.jpeg)
        rows = zip(changed, scales.tolist(), qualities.tolist(), strict=True)
        return torch.stack([_compressed(_smaller(row, scale), quality) for row, scale, quality in rows])

    def reach(self) -> str:
        """Say what the attacker may do."""
        told = {name: getattr(self, name) for name in type(self).model_fields}
        words = ", ".join(f"{name.replace('_', ' ')} {low:g} to {high:g}" for name, (low, high) in told.items())
        return f"The attacker may do to an image all that a camera does, at once: {words}."


def _factor(stops: Tensor) -> Tensor:
    return (2**stops).view(-1, 1, 1, 1)


def _blurred(images: Tensor, lengths: Tensor, angles: Tensor, *, line: bool) -> Tensor:
    """Return images blurred by a line of a length, or a disk of a radius, in pixels, (N,) each; 0 changes nothing."""
    reach = int(float(lengths.max()) / (2 if line else 1) + 1) if len(lengths) else 0
    if reach == 0 or not lengths.any():
        return images
    count, channels, height, width = images.shape
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    down, right = torch.meshgrid(offsets, offsets, indexing="ij")
    size = lengths.to(images.dtype).view(-1, 1, 1)
    if line:
        cos, sin = (angle.to(images.dtype).view(-1, 1, 1) for angle in (angles.cos(), angles.sin()))
        along, across = (cos * right + sin * down).abs(), (cos * down - sin * right).abs()
        kernels = (1 - across).clamp(0, 1) * (size / 2 + 0.5 - along).clamp(0, 1)
    else:
        kernels = (size + 0.5 - (down.square() + right.square()).sqrt()).clamp(0, 1)
    kernels = kernels / kernels.sum(dim=(1, 2), keepdim=True)
    weights = kernels.repeat_interleave(channels, dim=0).unsqueeze(1)
    flat = pad(images.reshape(1, count * channels, height, width), (reach,) * 4, mode="replicate")
    return conv2d(flat, weights, groups=count * channels).view_as(images)


def _noise(grain: Tensor, images: Tensor) -> Tensor:
    """Return the pattern of each image's number, of std 1: the same at every call and beside any other images."""
    patterns = {
        number: torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(number))
        for number in set(grain.tolist())
    }
    return torch.stack([patterns[number] for number in grain.tolist()]).to(images)


def _smaller(image: Tensor, scale: float) -> Tensor:
    """Return an image (C, H, W) that was brought to a smaller size and back."""
    height, width = image.shape[-2:]
    size = (max(round(scale * height), 1), max(round(scale * width), 1))
    if size == (height, width):
        return image
    small = interpolate(image.unsqueeze(0), size=size, mode="bilinear", antialias=True, align_corners=False)
    return interpolate(small, size=(height, width), mode="bilinear", align_corners=False)[0].clamp(0, 1)


def _compressed(image: Tensor, quality: float) -> Tensor:
    """Return an image (C, H, W) of one or three channels as JPEG leaves it; from 99.5 on it is left alone."""
    if round(quality) >= 100:
        return image
    levels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=round(quality))
    found = np.asarray(Image.open(held), dtype=np.float32).reshape(levels.shape) / 255
    return torch.from_numpy(found).permute(2, 0, 1).to(image)
