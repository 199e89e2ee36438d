"""`torchvision:NAME` and `timm:NAME` -> a network of the registry."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from hardener.errors import HardenerError, did_you_mean
from hardener.models.code.user_code import first_line

REGISTRIES = ("torchvision", "timm")


def from_registry(
    registry: str, name: str, *, num_classes: int, channels: int, pretrained: bool, arguments: Mapping[str, Any]
) -> nn.Module:
    """Build a registry's network.

    Args:
        pretrained: with the published weights and their own number of outputs; else with `num_classes`.
        arguments: what else the network is built with.
    Raises:
        HardenerError: the registry has no such network, or cannot build it.
    """
    see_that_it_is_known(registry, name)
    classes = {} if pretrained else {"num_classes": num_classes}
    if registry == "torchvision":
        import torchvision

        settings: dict[str, Any] = {"weights": "DEFAULT" if pretrained else None, **classes}
        if name in {"googlenet", "inception_v3"} and not pretrained:
            settings["init_weights"] = True
        settings |= arguments
        return _called(lambda: torchvision.models.get_model(name, **settings), f"torchvision:{name}", pretrained)
    import timm

    settings = {"pretrained": pretrained, "in_chans": channels, **classes, **arguments}
    return _called(lambda: timm.create_model(name, **settings), f"timm:{name}", pretrained)


def known_names(registry: str) -> set[str]:
    """Return the names of a registry's networks; none of what is no registry, or is not installed."""
    if registry == "torchvision":
        import torchvision

        return set(torchvision.models.list_models(module=torchvision.models))
    if registry != "timm" or importlib.util.find_spec("timm") is None:
        return set()
    import timm

    return set(timm.list_models())


def see_that_it_is_known(registry: str, name: str) -> None:
    """See that a registry has a network of this name.

    Raises:
        HardenerError: it has none.
    """
    if registry == "torchvision":
        import torchvision

        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            raise HardenerError(f"torchvision has no classifier {name!r}.{did_you_mean(name, known)}")
        return
    if importlib.util.find_spec("timm") is None:
        raise HardenerError("timm:NAME needs timm, which is not installed: pip install 'hardener[timm]'.")
    import timm

    if not timm.is_model(name):
        raise HardenerError(f"timm has no model {name!r}.{did_you_mean(name, timm.list_models())}")


def _called(build: Callable[[], Any], what: str, pretrained: bool) -> nn.Module:
    try:
        network = build()
    except Exception as error:  # downloads and builders of others: they may raise anything
        fault = f"{type(error).__name__}: {first_line(error)}"
        if pretrained:
            raise HardenerError(
                f"{what} cannot be built with its published weights: {fault.rstrip('.')}. Where they cannot be "
                "downloaded, bring the file and pass it by --init FILE instead of --pretrained."
            ) from error
        raise HardenerError(f"{what} cannot be built: {fault}") from error
    assert isinstance(network, nn.Module), "registries return modules"
    return network
