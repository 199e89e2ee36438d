"""The models that are served side by side, and their exchange for newer ones while requests run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from hardener.config.answer import ModelInfo, ModelList, ModelName
from hardener.config.bundle import Bundle, read_bundle, read_card
from hardener.config.served import served_default, served_names
from hardener.errors import did_you_mean

from .accepted import sources
from .batcher import Batcher, Priority
from .bundle_check import check_bundle
from .engine import Engine
from .problem import Problem
from .settings import BundleSource, Settings

logger = logging.getLogger("hardener.serving")


class Model:
    """A loaded bundle, warm, and the queue before it; `close` ends its threads."""

    def __init__(
        self, name: str, source: BundleSource, bundle: Bundle, settings: Settings, on_batch: Callable[[int], None]
    ) -> None:
        """Load the model and warm it.

        Args:
            name: to be served under.
            bundle: what bundle.json in the folder of `source` says.
            settings: of the service, and of its other models.
        Raises:
            HardenerError: the model is not the one that the bundle describes.
        """
        self.bundle = bundle
        kind = bundle.quantization and bundle.quantization.kind
        self.name = ModelName(
            name=name, fingerprint=bundle.fingerprint, file_sha256=bundle.model.sha256, quantization=kind
        )
        self.classes: NDArray[np.object_] = np.array(bundle.classes, dtype=object)
        self.engine = Engine(source.path, bundle, device=settings.device, lanes=settings.lanes)
        self.batcher = Batcher(
            self.engine.answers,
            lanes=self.engine.lanes,
            max_batch=self.engine.max_batch,
            report_chunk=self.engine.report_chunk,
            max_waiting=settings.max_waiting,
            one_core=self.engine.one_core,
            on_batch=on_batch,
        )
        own = self.name.model_dump() | {"provider": self.engine.provider}
        shared = {field: getattr(bundle, field) for field in ModelInfo.model_fields if field not in own}
        self.info = ModelInfo(**shared, **own)
        self.card = read_card(source.path)
        self._users = 0
        self._retired = False

    @contextmanager
    def used(self) -> Iterator[Model]:
        """Hold the model for one request: it outlives its retirement until the request is answered."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            self._close_when_done()

    def retire(self) -> None:
        """Take no new request; the last one that runs ends the threads."""
        self._retired = True
        self._close_when_done()

    def close(self) -> None:
        """End the threads."""
        self.batcher.close()

    def _close_when_done(self) -> None:
        if self._retired and not self._users:
            self.batcher.close(wait=False)


class Registry:
    """The models by name. It belongs to one event loop; only the loading happens elsewhere."""

    def __init__(self, settings: Settings, on_batch: Callable[[int], None] = lambda size: None) -> None:
        """Load every bundle.

        Raises:
            HardenerError: one of them cannot be served, two have the same name, or the default is none of them.
        """
        self._settings = settings
        self._on_batch = on_batch
        self._reloading: asyncio.Task[bool] | None = None
        self._sources = sources(settings)
        self._models, self.default = _load(settings, self._sources, on_batch)

    def find(self, name: str | None) -> Model:
        """Return a model by name; None: the default.

        Raises:
            Problem: 404 there is none of this name.
        """
        model = self._models.get(self.default if name is None else name)
        if model is None:
            shown = str(name)[:80]
            known = ", ".join(self._models)
            raise Problem(404, f"there is no model {shown!r}. Known: {known}.{did_you_mean(shown, self._models)}")
        return model

    def list(self) -> ModelList:
        """Describe all."""
        return ModelList(default=self.default, models=[model.info for model in self._models.values()])

    def waiting(self, priority: Priority) -> int:
        """Count the images that wait, for all models."""
        return sum(model.batcher.waiting(priority) for model in self._models.values())

    async def reload(self) -> bool:
        """Load every bundle again beside what runs, then exchange them; a broken one leaves all as it was.

        Returns:
            whether the exchange was made.
        """
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload())
        return await asyncio.shield(self._reloading)

    def close(self) -> None:
        """End all threads."""
        for model in self._models.values():
            model.close()

    async def _reload(self) -> bool:
        found = sources(self._settings)
        if self._settings.accepted is not None and found == self._sources:  # nothing else was accepted
            return True
        try:
            models, default = await asyncio.to_thread(_load, self._settings, found, self._on_batch)
        except Exception as error:  # whatever it is, what runs goes on
            logger.error("error: the models were not exchanged: %s", error)
            return False
        before, self._models, self.default, self._sources = self._models, models, default, found
        for model in before.values():
            model.retire()
        logger.info("reloaded %s", "; ".join(_told(model.name, before.get(name)) for name, model in models.items()))
        return True


def _told(model: ModelName, before: Model | None) -> str:
    file = "" if model.file_sha256 is None else f", file {model.file_sha256[:12]}"
    kind = "" if model.quantization is None else f" in {model.quantization}"
    same = ", the same as before" if before is not None and before.name == model else ""
    return f"{model.name} ({model.fingerprint[:12]}){file}{kind}{same}"


def check_bundles(settings: Settings) -> None:
    """Find out whether a `Registry` could be made.

    Raises:
        HardenerError: it could not.
    """
    _read(settings, settings.bundles)
    for source in settings.bundles:
        check_bundle(source.path, device=settings.device)


def _load(
    settings: Settings, found: tuple[BundleSource, ...], on_batch: Callable[[int], None]
) -> tuple[dict[str, Model], str]:
    bundles, names, default = _read(settings, found)
    models: dict[str, Model] = {}
    try:
        for name, (source, bundle) in zip(names, bundles, strict=True):
            models[name] = Model(name, source, bundle, settings, on_batch)
    except BaseException:
        for model in models.values():
            model.close()
        raise
    return models, default


def _read(
    settings: Settings, found: tuple[BundleSource, ...]
) -> tuple[list[tuple[BundleSource, Bundle]], list[str], str]:
    bundles = [(source, read_bundle(source.path)) for source in found]
    names = served_names((source.name, source.path, bundle) for source, bundle in bundles)
    return bundles, names, served_default(names, settings.default)
