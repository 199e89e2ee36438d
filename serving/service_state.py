"""What a worker has loaded: the models, its tokens and figures, and what works on requests."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hardener.errors import HardenerError

from .accepted import tokens_file
from .access import find_tokens
from .batcher import Priority
from .metrics import Metrics
from .predictor import Predictor
from .registry import Registry
from .settings import Settings

logger = logging.getLogger("hardener.serving")


class ServiceState:
    """Everything that an endpoint may use. `reload` exchanges the models; `close` ends all threads.

    `is_ending` says whether this process was told to stop.
    """

    def __init__(self, settings: Settings) -> None:
        """Load the bundles and warm the models.

        Raises:
            HardenerError: a bundle is broken, or its model is not the one that it describes.
        """
        self.settings = settings
        self.is_ending: Callable[[], bool] = lambda: False
        self.metrics = Metrics()
        self.tokens = find_tokens(tokens_file(settings), settings.token_hashes)
        self.registry = Registry(settings, self.metrics.batch_images.observe)
        self.metrics.watch_queues(
            lambda: {priority.name.lower(): self.registry.waiting(priority) for priority in Priority}
        )
        self.predictor = Predictor(settings, self.registry, self.metrics)
        self._show_models()

    async def reload(self) -> bool:
        """Load the bundles and read the tokens again; either stays as it was where the new one is broken.

        Returns:
            whether the models were exchanged.
        """
        try:
            if self.tokens is not None:
                self.tokens.reload()
        except HardenerError as error:
            logger.error("error: the tokens stay as they were: %s", error)
        exchanged = await self.registry.reload()
        self._show_models()
        return exchanged

    def close(self) -> None:
        """End the threads."""
        self.registry.close()
        self.predictor.close()

    def _show_models(self) -> None:
        models = self.registry.list().models
        self.metrics.show_models(
            (model.name, model.fingerprint, model.provider, model.file_sha256 or "", model.quantization or "none")
            for model in models
        )
