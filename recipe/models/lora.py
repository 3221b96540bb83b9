"""What a LoRA checkpoint holds, and its two exports: folded into the base's weights, and alone in peft's layout.

    base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight        the frozen W, (out, in)
    base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight    A, (rank, in)
    base_model.model.model.layers.0.self_attn.q_proj.lora_B.default.weight    B, (out, rank)
    lora_train_meta.json                                                      {"r": 32, "lora_alpha": 32, ...}

`recipe.merge` calls all of it. A checkpoint of `save_lora_only` has the last three alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.models.checkpoints import Checkpoint

if TYPE_CHECKING:
    import torch

_PREFIX, _FROZEN = "base_model.model.", ".base_layer."


@dataclass(frozen=True, slots=True)
class Lora:
    """Rank and alpha of a run's adapter; what it adds to a weight is scaled by alpha / rank."""

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


def is_adapter(name: str) -> bool:
    """True for a weight of the adapter, by its name."""
    return ".lora_" in name


def stands_alone(names: Iterable[str]) -> bool:
    """True for a checkpoint that has the adapter without the model."""
    return not any(_FROZEN in name for name in names)


def read_lora(checkpoint: Checkpoint, names: Iterable[str]) -> Lora | None:
    """The settings of a LoRA run whose weights have these names, None of any other. DataError if they are not there."""
    if not any(map(is_adapter, names)):
        return None
    path = checkpoint.folder / "lora_train_meta.json"
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
        lora = Lora(int(meta["r"]), float(meta["lora_alpha"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: names no r and lora_alpha; write the run's there") from error
    if lora.rank < 1 or not lora.alpha:
        raise DataError(f"{path}: r={lora.rank} and lora_alpha={lora.alpha:g} can't be; write the run's there")
    return lora


def base_weights(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The plain model's weights as they were before: the frozen ones, under the names that the base has."""
    return {_plain(name): weight for name, weight in state.items() if not is_adapter(name)}


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """The plain model's name of each weight -> its name in the checkpoint."""
    return {_plain(name): name for name in names if not is_adapter(name)}


def plain_weight(state: Mapping[str, torch.Tensor], name: str, lora: Lora | None) -> torch.Tensor:
    """The plain model's weight for one of the checkpoint's: W + alpha / r B A where W is adapted, in W's precision.

    Hu et al. 2021, section 4.
    """
    weight, stem = state[name], name.removesuffix(f"{_FROZEN}weight")
    if lora is None or stem == name:
        return weight
    a, b = (state[f"{stem}.lora_{part}.default.weight"].float() for part in "AB")
    return (weight.float() + lora.scale * (b @ a)).to(weight.dtype)


def fold_lora(state: Mapping[str, torch.Tensor], lora: Lora) -> dict[str, torch.Tensor]:
    """All of the plain model's weights, the adapter folded in."""
    return {plain: plain_weight(state, name, lora) for plain, name in plain_names(state).items()}


def _plain(name: str) -> str:
    return name.removeprefix(_PREFIX).replace(_FROZEN, ".")


def write_adapter(state: Mapping[str, torch.Tensor], lora: Lora, base: str, target: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors (the run's own precision) as peft does."""
    from peft import LoraConfig
    from safetensors.torch import save_file

    adapter = {name.replace(".default.", "."): w.contiguous() for name, w in state.items() if is_adapter(name)}
    modules = {name.partition(".lora_")[0].rpartition(".")[2] for name in adapter}
    alpha = int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=alpha,
        target_modules=sorted(modules),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(target)
    save_file(adapter, target / "adapter_model.safetensors", {"format": "pt"})
