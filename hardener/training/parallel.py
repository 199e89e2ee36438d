"""Several processes as one: what each holds of the network, and how their gradients become one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parallel import DistributedDataParallel

from hardener.data.loader import ImageShape
from hardener.methods.method import Method
from hardener.models.freeze import keep_in_eval, stays_in_eval
from hardener.models.normalize import ImageClassifier
from hardener.models.plain_state import plain_state_kept
from hardener.progress import rank_and_world
from hardener.runtime.model_state import draws_so_far, lay_out, left_as_found, same_draws
from hardener.runtime.processes import any_of, sum_of
from hardener.training.training_loss import TrainingLoss

_LEAST_SHARE = 0.01  # of the network's parameters: a smaller block is not worth an exchange of its own


class Exchange:
    """One process: nothing is exchanged.

    Attributes:
        training_loss: whose gradients the steps need.
        world: processes.
        sharded: whether each holds only a part of the network, so that none can run it without the others.
    """

    world = 1
    sharded = False

    def __init__(self, training_loss: TrainingLoss) -> None:
        self.training_loss = training_loss

    @contextmanager
    def piece(self, *, last: bool) -> Iterator[nn.Module]:
        """Yield what gives the loss of a minibatch's piece; its forward and backward pass belong inside.

        Args:
            last: the minibatch ends with this piece: gradients are averaged over processes now.
        """
        yield self.training_loss

    def learn_otherwise(self) -> None:
        """Take up that other parameters learn from now on; all processes must ask for it."""

    def average_beta(self, *, clean: bool) -> None:
        """Average beta's gradient over processes, where no backward pass has done so.

        Args:
            clean: it comes from `TrainingLoss.clean_loss`.
        """

    def whole(self, network: nn.Module) -> nn.Module:
        """Return the classifier's network with every weight whole; all processes must ask for it."""
        return network


class Copies(Exchange):
    """Each process has a copy of the network; gradients are averaged, beta's too: DistributedDataParallel.

    The first process's batch statistics count: the others take them over before each minibatch.
    """

    def __init__(self, training_loss: TrainingLoss, device: torch.device, shape: ImageShape) -> None:
        super().__init__(training_loss)
        self.world = rank_and_world()[1]
        self._device, self._shape = device, shape
        self._wrapped = self._wrap()

    def _wrap(self) -> DistributedDataParallel:
        shape, device = self._shape, self._device
        two = torch.zeros(2, shape.channels, shape.height, shape.width, device=device)
        # a method's buffers are the same everywhere, and may hold something of each training image
        alike = [f"method.{name}" for name, _ in self.training_loss.method.named_buffers()]
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(self.training_loss, alike)
        return DistributedDataParallel(
            self.training_loss,
            device_ids=[device] if device.type == "cuda" else None,
            find_unused_parameters=leaves_unused(self.training_loss.classifier, two),
        )

    def learn_otherwise(self) -> None:
        """See `Exchange.learn_otherwise`; torch's wrapper counts on the parameters that learn when it is made."""
        del self._wrapped  # its hooks go with it
        self._wrapped = self._wrap()

    @contextmanager
    def piece(self, *, last: bool) -> Iterator[nn.Module]:
        """See `Exchange.piece`."""
        with nullcontext() if last else self._wrapped.no_sync():
            yield self._wrapped

    def average_beta(self, *, clean: bool) -> None:
        """See `Exchange.average_beta`."""
        if clean:
            _average_beta(self.training_loss.method)


class Shares(Exchange):
    """Each process has a share of every weight; what a pass needs is brought together for it: FSDP2.

    Args:
        training_loss: of a classifier that `shard` has been called on.
        whole: what that call returned.
    """

    sharded = True

    def __init__(self, training_loss: TrainingLoss, whole: nn.Module) -> None:
        super().__init__(training_loss)
        self.world = rank_and_world()[1]
        self._whole = whole

    @contextmanager
    def piece(self, *, last: bool) -> Iterator[nn.Module]:
        """See `Exchange.piece`."""
        share_buffers(self.training_loss.classifier)
        self.training_loss.classifier.set_requires_gradient_sync(last)  # type: ignore[operator]
        yield self.training_loss

    def average_beta(self, *, clean: bool) -> None:
        """See `Exchange.average_beta`."""
        _average_beta(self.training_loss.method)

    def whole(self, network: nn.Module) -> nn.Module:
        """Return a copy on the CPU; see `Exchange.whole`."""
        self._whole.load_state_dict(gathered(network.state_dict()))
        return self._whole


def spread(
    classifier: ImageClassifier,
    method: Method,
    device: torch.device,
    shape: ImageShape,
    *,
    sharded: bool,
    compiled: Callable[[nn.Module], nn.Module] | None = None,
) -> Exchange:
    """Bring a classifier to the device, or this process's share of it, and bind the processes together.

    Args:
        classifier: on the CPU, the same on all processes; changed in place.
        method: on `device`.
        shape: of the images.
        sharded: of several processes, leave each a share of the weights instead of a copy.
        compiled: gives what is called in the classifier's place, such as `Compiled`.
    """
    world = rank_and_world()[1]
    if world > 1:
        sync_batch_norm(classifier, device)
        if sharded:
            whole = shard(classifier, device)
            return Shares(TrainingLoss(classifier, method, compiled and compiled(classifier)), whole)
    order = torch.contiguous_format if classifier.contiguous else torch.channels_last
    lay_out(classifier.to(device), order)
    training_loss = TrainingLoss(classifier, method, compiled and compiled(classifier))
    return Exchange(training_loss) if world == 1 else Copies(training_loss, device, shape)


class SameAnswers(nn.Module):
    """A sharded classifier that gives every process the first one's logits, bit for bit.

    An attack decides by logits how often it asks on. All processes must ask equally often, for each answer needs all
    of them.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return the first process's logits (N, K) for images (N, C, H, W) that are the same on all."""
        found: Tensor = _FromFirst.apply(self.classifier(images))
        return found


class _FromFirst(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        shared = logits.detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(shared, src=0)
        return shared

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def sync_batch_norm(classifier: ImageClassifier, device: torch.device) -> None:
    """Let batch norm see the images of all processes, on GPUs; torch's own does not run on the CPU."""
    if device.type != "cuda":
        return
    frozen = [name for name, module in classifier.network.named_modules() if stays_in_eval(module)]
    classifier.network = nn.SyncBatchNorm.convert_sync_batchnorm(classifier.network)
    for name in frozen:  # what takes the place of a frozen norm is as frozen
        keep_in_eval(classifier.network.get_submodule(name))


def shard(classifier: ImageClassifier, device: torch.device) -> nn.Module:
    """Leave each process its share of every weight, on `device`; return a whole copy of the network, on the CPU.

    The units that are brought together at once are the members of the network's nn.Sequential and nn.ModuleList
    containers that hold a hundredth of its parameters or more, the outermost such; what is left is one more unit.

    Args:
        classifier: on the CPU, the same on all processes.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    whole = copy.deepcopy(classifier.network)
    mesh = init_device_mesh(device.type, (rank_and_world()[1],))
    for block in blocks(classifier.network):
        fully_shard(block, mesh=mesh)
    fully_shard(classifier, mesh=mesh)
    return whole


def blocks(network: nn.Module) -> list[nn.Module]:
    """Return the parts of a network that `shard` makes units of."""
    least = _LEAST_SHARE * sum(parameter.numel() for parameter in network.parameters())
    found: list[nn.Module] = []

    def look(module: nn.Module) -> None:
        for child in module.children():
            member = isinstance(module, nn.Sequential | nn.ModuleList)
            called = not isinstance(child, nn.Sequential | nn.ModuleList)  # look inside: its members are finer units
            if member and called and sum(parameter.numel() for parameter in child.parameters()) >= least:
                found.append(child)
            else:
                look(child)

    look(network)
    return found


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Give every process the first one's buffers, such as batch statistics; counts of steps are the same anyway."""
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point() and buffer.numel()]
    if rank_and_world()[1] == 1 or not buffers:
        return
    together = torch.cat([buffer.flatten() for buffer in buffers])
    dist.broadcast(together, src=0)
    for buffer, values in zip(buffers, together.split([buffer.numel() for buffer in buffers]), strict=True):
        buffer.copy_(values.view_as(buffer))


def gathered(state: Any) -> Any:
    """Return a state dict with every sharded tensor whole, on the CPU; all processes must ask for it."""
    if not dist.is_initialized():  # and then DTensor need not be imported, which takes its time
        return state
    from torch.distributed.tensor import DTensor

    if isinstance(state, DTensor):
        return state.full_tensor().cpu()
    if isinstance(state, dict):
        return type(state)((key, gathered(value)) for key, value in state.items())
    return state


def placed(state: dict[str, Any], part: nn.Module | torch.optim.Optimizer) -> dict[str, Any]:
    """Return a state dict of whole tensors as `part` holds them: of a sharded one, this process's shares."""
    if not dist.is_initialized():
        return state
    if isinstance(part, nn.Module):
        own = part.state_dict()
        return {name: _like(value, own.get(name)) for name, value in state.items()}
    parameters = [parameter for group in part.param_groups for parameter in group["params"]]
    return state | {
        "state": {
            index: {name: _like(value, parameters[index]) for name, value in entry.items()}
            for index, entry in state["state"].items()
        }
    }


def _like(value: Any, own: Any) -> Any:
    from torch.distributed.tensor import DTensor, distribute_tensor

    if isinstance(own, DTensor) and isinstance(value, Tensor) and value.shape == own.shape:
        return distribute_tensor(value, own.device_mesh, own.placements, src_data_rank=None)
    return value


def _average_beta(method: Method) -> None:
    beta = method.beta
    if beta is not None and beta.grad is not None:
        beta.grad = sum_of(beta.grad) / rank_and_world()[1]


def leaves_unused(classifier: nn.Module, images: Tensor) -> bool:
    """Tell whether some parameters may take no part in the logits, such as those of an auxiliary head, or of a block
    that is left out at random in training: of a network that draws by more than dropout that is taken for granted.
    All processes must ask for it: one answers for all."""
    device = images.device
    with left_as_found(classifier), plain_state_kept(classifier), same_draws(device):
        classifier.eval()
        unused = _leaves_unreached(classifier, images)
        classifier.train()
        for part in classifier.modules():
            if isinstance(part, _DropoutNd):
                part.eval()
        before = draws_so_far(device)
        unused |= _leaves_unreached(classifier, images) or draws_so_far(device) != before
    return any_of(unused)[0]


def _leaves_unreached(classifier: nn.Module, images: Tensor) -> bool:
    """Tell whether a backward pass leaves parameters without a gradient."""
    classifier.zero_grad()
    classifier(images).sum().backward()
    return any(parameter.requires_grad and parameter.grad is None for parameter in classifier.parameters())
