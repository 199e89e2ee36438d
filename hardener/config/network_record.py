"""What `hardener inspect` finds out about a network."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NETWORK_SCHEMA: Literal["hardener/network/1"] = "hardener/network/1"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Speed(_Strict):
    """How fast this machine is, on `device`, with `batch` images at once.

    `training_images_per_s` is of a step, one pass forward and back; `attack_images_per_s` of a step of a gradient
    attack. `training_s`: 30 epochs of the data, None where none was given. `evaluation_s`: what `hardener eval` runs by
    default on as many images as it takes, if every one stood to the end.
    """

    device: str
    batch: int
    training_images_per_s: float | None
    attack_images_per_s: float
    training_s: float | None
    evaluation_s: float
    evaluation_images: int


class NetworkRecord(_Strict):
    """A network, as it is built and as it behaves.

    Attributes:
        entry: how the network was found.
        flops: of one image's forward pass; a multiplication and an addition are two.
        sizes: of square images, of the usual ones, that it takes.
        layout: in which memory order its images go in.
        output: what it returns.
        head: the layers that make its logits.
        normalisation, random: what inside of it normalises its input, and what draws random numbers in training.
        batch_bytes: memory that a training step needs for a batch of `speed.batch`, its weights and optimiser included.
        trains, exports: empty where it does, else why not.
        export_batch: the only number of images that its ONNX file takes at once; None for any, or for no file.
        served: what a service of it would take and answer.
        remarks: what else its owner should know.
    """

    schema_name: Literal["hardener/network/1"] = Field(NETWORK_SCHEMA, alias="schema")
    name: str
    spec: str
    entry: str
    sources: list[str]
    parameters: int
    learning: int
    flops: int
    channels: int
    height: int
    width: int
    sizes: list[int]
    layout: Literal["channels_last", "contiguous"]
    outputs: int
    output: str
    head: list[str]
    normalisation: list[str]
    batch_norms: int
    random: list[str]
    batch_bytes: int | None
    speed: Speed
    trains: str
    exports: str
    export_batch: int | None = None
    served: str
    remarks: list[str]
