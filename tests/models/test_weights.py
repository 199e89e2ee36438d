from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hardener.errors import HardenerError
from hardener.models.checkpoints.left_over import beside
from hardener.models.checkpoints.match import Fit
from hardener.models.checkpoints.weights import Start, load_weights, save_weights


def network(width: int = 4, classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width), nn.Linear(width, classes))


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


class Payload:
    """What unpickling would build."""


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "model", "module.", "_orig_mod.module.", "model."])
def test_a_state_dict_is_found_under_the_usual_keys_and_prefixes(tmp_path: Path, wrap: str) -> None:
    source, target = network(), network()
    state = dict(source.state_dict())
    if wrap.endswith("."):
        state = {wrap + name: value for name, value in state.items()}
    torch.save({wrap: state, "epoch": 3} if wrap in {"state_dict", "model"} else state, tmp_path / "w.pt")
    assert load_weights(target, tmp_path / "w.pt").extra == ()
    assert same(source, target)


def test_tensors_beside_a_wrapped_network_do_not_hide_it(tmp_path: Path) -> None:
    source, target = network(), network()
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.DataParallel(source))
    torch.save({"state_dict": averaged.state_dict() | {"criterion.weight": torch.ones(3)}}, tmp_path / "w.pt")
    assert sorted(load_weights(target, tmp_path / "w.pt").extra) == ["criterion.weight", "n_averaged"]
    assert same(source, target)


def test_a_network_whose_own_names_begin_like_a_wrapper_keeps_them(tmp_path: Path) -> None:
    source, target = (nn.ModuleDict({"model": network(), "net": network()}) for _ in range(2))
    torch.save({f"module.{name}": value for name, value in source.state_dict().items()}, tmp_path / "w.pt")
    assert load_weights(target, tmp_path / "w.pt").extra == ()
    assert same(source, target)


def test_the_folder_of_a_run_stands_for_its_weights(tmp_path: Path) -> None:
    source, target = network(), network()
    with pytest.raises(HardenerError, match="is a folder without model.safetensors: weights are a file, or a run"):
        load_weights(target, tmp_path)
    save_weights(source, tmp_path / "model.safetensors")
    load_weights(target, tmp_path)
    assert same(source, target)


def test_safetensors_come_back_bit_for_bit_with_tied_tensors(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)
            self.two.weight = self.one.weight

    source, target = Tied(), Tied()
    save_weights(source, tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors")
    assert same(source, target)


def test_nothing_is_unpickled_unless_allowed(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"state_dict": network().state_dict(), "config": Payload()}, path)
    with pytest.raises(HardenerError, match="holds more than tensors: .* pass --allow-pickle"):
        load_weights(network(), path)
    load_weights(network(), Start(path, allow_pickle=True))
    torch.save(network(), path)
    with pytest.raises(HardenerError, match="--allow-pickle"):
        load_weights(network(), path)
    load_weights(network(), Start(path, allow_pickle=True))


def test_other_shapes_and_names_are_errors_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(network(), path)
    with pytest.raises(HardenerError, match=r"0.weight is \(4, 2\) in the file and \(5, 2\) in the model.*and 4 more"):
        load_weights(network(width=5), path)
    with pytest.raises(HardenerError, match=r"lacks 2 of the model's 11 tensors: 3.weight, 3.bias"):
        load_weights(nn.Sequential(*network(), nn.Linear(3, 3)), path)
    untouched = network(width=5)
    before = {k: v.clone() for k, v in untouched.state_dict().items()}
    with pytest.raises(HardenerError):
        load_weights(untouched, path)
    assert all(torch.equal(v, before[k]) for k, v in untouched.state_dict().items())


def test_a_fresh_head_begins_small_whatever_the_network_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    source, target = network(classes=1000), network(classes=3)
    save_weights(source, path)
    head = target.get_submodule("2")
    assert isinstance(head, nn.Linear)
    nn.init.constant_(head.weight, 40.0)  # as timm's EfficientNet does on its scale: logits of some tens at the start
    with pytest.raises(HardenerError, match="pass --replace-head"):
        load_weights(target, path)
    load_weights(target, path, fresh_head="2")
    found, theirs = target.state_dict(), source.state_dict()
    assert all(torch.equal(found[name], theirs[name]) for name in found if not name.startswith("2."))
    assert 0 < float(head.weight.detach().abs().max()) <= head.in_features**-0.5  # the bounds that torch draws between


def test_extra_tensors_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(nn.Sequential(*network(), nn.Linear(3, 3)), path)
    assert sorted(load_weights(network(), path).extra) == ["3.bias", "3.weight"]


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    for name, content, match in (
        ("a.safetensors", b"x" * 100, "is no safetensors file"),
        ("a.pt", b"x" * 100, "is a text"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(HardenerError, match=match):
            load_weights(network(), tmp_path / name)
    with pytest.raises(HardenerError, match="no such file"):
        load_weights(network(), tmp_path / "none.pt")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    with pytest.raises(HardenerError, match="holds no state dict"):
        load_weights(network(), tmp_path / "b.pt")


def test_weights_are_written_with_the_mode_of_any_other_file(tmp_path: Path) -> None:
    save_weights(network(), tmp_path / "w.safetensors")
    (tmp_path / "plain").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain", "w.safetensors"]


def test_a_mask_of_minus_infinity_that_does_not_learn_is_no_divergence(tmp_path: Path) -> None:
    def masked() -> nn.Sequential:
        made = network()
        made.mask = nn.Parameter(torch.tensor([0.0, -torch.inf]), requires_grad=False)
        return made

    source, target = masked(), masked()
    torch.save(source.state_dict(), tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert same(source, target)
    torch.save(source.state_dict() | {"mask": torch.tensor([0.0, torch.nan])}, tmp_path / "nan.pt")
    with pytest.raises(HardenerError, match="numbers in mask that are not finite"):
        load_weights(target, tmp_path / "nan.pt")


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn, torch.float8_e5m2])
def test_codes_that_a_scale_belongs_to_are_no_weights(kind: torch.dtype, tmp_path: Path) -> None:
    state = network().state_dict()
    coded = {"0.weight": state["0.weight"].to(kind), "0.weight_scale": torch.tensor(0.1)}
    torch.save({**state, **coded}, tmp_path / "w.pt")
    with pytest.raises(
        HardenerError, match=r"quantised weights: 0.weight is .*scales lie beside them \(0.weight_scale\)"
    ):
        load_weights(network(), tmp_path / "w.pt")


def test_whole_numbers_in_a_row_and_in_buffers_are_taken(tmp_path: Path) -> None:
    source, target = network(), network()
    with torch.no_grad():
        source.get_parameter("2.bias").fill_(3)
        source.get_buffer("1.running_mean").fill_(2)
    state = source.state_dict()
    whole = {"2.bias": state["2.bias"].to(torch.int32), "1.running_mean": state["1.running_mean"].to(torch.int8)}
    torch.save({**state, **whole}, tmp_path / "w.pt")
    load_weights(target, tmp_path / "w.pt")
    assert same(source, target)


def test_all_that_is_left_of_a_layer_is_counted(tmp_path: Path) -> None:
    state = nn.ModuleDict({"c": nn.Linear(2, 3), "fc": nn.Linear(3, 3)}).state_dict()
    torch.save({**state, "c2.weight": torch.ones(3, 3), "c2.bias": torch.ones(3)}, tmp_path / "w.pt")
    target = nn.ModuleDict({"c": nn.Linear(2, 3), "fc": nn.Linear(3, 3)})
    extra = load_weights(target, tmp_path / "w.pt").extra
    assert beside("w.pt", extra) == "w.pt holds 2 tensors that the model has no place for: c2.weight, c2.bias"
    assert beside("w.pt", extra[:1]) == "w.pt holds 1 tensor that the model has no place for: c2.weight"


@pytest.mark.parametrize(
    ("name", "averaged"),
    [
        *((name, True) for name in ("ema", "model_ema", "ema_model", "emaModel", "netEMA", "EMA", "modelema")),
        *((name, True) for name in ("swa", "swa_state_dict", "target_encoder", "slow", "teacher", "averaged")),
        *((name, False) for name in ("schema_model", "semantic_net", "cinema", "swav", "slowfast", "swap", "model")),
    ],
)  # fmt: skip
def test_an_average_is_known_by_a_word_and_not_by_letters_in_one(name: str, averaged: bool) -> None:
    assert Fit(f"{name}.", "", {}, {}).averaged is averaged
