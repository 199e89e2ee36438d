"""Why a run would open as another network, and what to change in its file."""

from __future__ import annotations

import re

from torch import Tensor

from hardener.models.normalize import ImageClassifier
from hardener.models.plain_state import changed_by_training, keep, plain_state, told_of_plain
from hardener.models.tame import line_of, unseen_modules
from hardener.runtime.model_state import device_of, left_as_found, same_draws

_DRAWS = re.compile(r"(?<![.\w])(np\.random|numpy\.random|random)\.(?!seed|Random|default_rng|get|set)\w+\(")
_OF_NUMPY = re.compile(r"(?<![.\w])(np|numpy)\.random\.(?!seed|default_rng|get|set)\w+\(")


def why_another(classifier: ImageClassifier, images: Tensor) -> str:
    """Say what of a network is neither saved nor built alike each time, as far as it is found.

    Args:
        images: some that it takes.
    """
    network = classifier.network
    hidden = unseen_modules(network)
    if hidden:
        why = f"Layers lie in a plain list or dict, where torch does not see them: {', '.join(hidden)}. They are "
        return why + "neither trained nor saved. Write nn.ModuleList([...]) or nn.ModuleDict({...}) around them."
    with left_as_found(classifier), same_draws(device_of(network)):
        changed = [one for one in changed_by_training(classifier, images) if one.answers]
    if changed:
        return f"{told_of_plain(changed)} {keep(changed)}"
    line = line_of(network, _DRAWS, whole=True)
    if line and not any(isinstance(value, Tensor) for value in plain_state(network).values()):
        rng = "np.random.default_rng(0)" if line_of(network, _OF_NUMPY, whole=True) == line else "random.Random(0)"
        return (
            f"The file draws at random how the network is built{line}, and draws anew each time. Draw from a generator "
            f"with a seed, which you make before: rng = {rng}, then rng.random()."
        )
    return 'Does the file draw tensors at random? Keep them as parameters, or by self.register_buffer("name", tensor).'
