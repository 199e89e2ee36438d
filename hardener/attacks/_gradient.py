"""The gradient that the attacks of this room climb."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

Classifier = Callable[[Tensor], Tensor]


def input_gradient(model: Classifier, images: Tensor, labels: Tensor) -> Tensor:
    """Return the gradient of each image's cross-entropy with respect to that image, (N, C, H, W).

    The sum over images is differentiated, so an image's gradient does not depend on the batch around it
    (of a model in eval mode). No parameter's `.grad` is touched.
    """
    inputs = images.detach().requires_grad_()
    with torch.enable_grad():
        loss = cross_entropy(model(inputs).float(), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, inputs)
    return gradient
