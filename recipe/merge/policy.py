"""The policy of a run: the checkpoint's weights in the precision in which the run trained and sampled them.

verl keeps fp32 weights for the optimizer and saves those. Every forward pass and vLLM's rollouts see them rounded, in
bf16 unless the run's config.yaml says otherwise:

    engine.mixed_precision.param_dtype                                     SFT
    actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype        GRPO, the updates
    actor_rollout_ref.rollout.dtype                                        GRPO, the rollouts

What rounding takes away was never trained with, sampled or rewarded: the fp32 weights of such a run are another model,
the master. `recipe.merge` exports the policy, and says what is left of the update (`measure`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.models.card import RunRecord, at
from recipe.models.safetensors_header import Tensor, tensors

if TYPE_CHECKING:
    import torch

# Significant bits; the names as verl, vLLM and PyTorch spell them.
BITS = {"bf16": 8, "fp16": 11, "fp32": 24}
_NAMES = {
    "bf16": "bf16", "bfloat16": "bf16", "fp16": "fp16", "float16": "fp16", "half": "fp16", "16": "fp16",
    "fp32": "fp32", "float32": "fp32", "float": "fp32", "32": "fp32",
}  # fmt: skip
# What verl's FSDP engine and its rollout take where nothing is configured.
VERLS = "bf16"
EMBEDDING, TIED = "model.embed_tokens.weight", "lm_head.weight"


@dataclass(frozen=True, slots=True)
class Precision:
    """The precision of a policy, bf16, fp16 or fp32, and where that is known from."""

    name: str
    source: str


def read_precision(record: RunRecord, grpo: bool) -> Precision:
    """The precision of a run's policy. Where it was trained and sampled in two, the wider; DataError for an unknown."""
    engine = ("actor_rollout_ref", "actor", "fsdp_config") if grpo else ("engine",)
    if at(record.config, engine) is None:
        return Precision(VERLS, f"no config.yaml says {'.'.join(engine)}: verl's default")
    trained = _named(record, (*engine, "mixed_precision", "param_dtype"))
    if not grpo:
        return Precision(trained, "as trained")
    key = ("actor_rollout_ref", "rollout", "dtype")
    sampled = trained if at(record.config, key) == "auto" else _named(record, key)
    if sampled == trained:
        return Precision(trained, "as trained and sampled")
    return Precision(max(trained, sampled, key=BITS.get), f"trained in {trained}, sampled in {sampled}: the wider")


def _named(record: RunRecord, keys: tuple[str, ...]) -> str:
    value = at(record.config, keys)
    name = VERLS if value is None else _NAMES.get(str(value))
    if name is None:
        raise DataError(f"{record.config_file}: {'.'.join(keys)} is {value!r}; known are {', '.join(BITS)}")
    return name


def torch_dtype(name: str) -> torch.dtype:
    """PyTorch's name of a precision."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[name]


def round_all(state: dict[str, torch.Tensor], name: str) -> None:
    """Round a checkpoint's weights in place, one after the other, so that there is never a second copy."""
    for key in state:
        state[key] = rounded(state[key], name)


def rounded(weight: torch.Tensor, name: str) -> torch.Tensor:
    """A weight in fp32, its values rounded to a precision (to nearest, as FSDP and vLLM do)."""
    return weight.to(torch_dtype(name)).float()


# ------------------------------------------------------------------------------------------------------------- update


@dataclass(frozen=True, slots=True)
class Update:
    """What a run changed, and what is left of it after rounding start and end; u is the update, r the rounded one.

    `norm` is |u|, `changed` the share of the weights whose rounded values differ, `kept` the share of u that r has:
    its component along u, <r, u> / |u|^2. `lost` is |u - r| / |u|; rounding that moves weights too far loses, too.
    """

    norm: float
    changed: float
    kept: float
    lost: float

    def __str__(self) -> str:
        kept = f"{self.kept:.1%} of it is in the folder"
        return f"norm {self.norm:.2g}; {kept}, where {self.changed:.1%} of the weights are others than the base's"


def measure(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]], rounding: Callable) -> Update:
    """The update between (start, end) of all weights, and what `rounding` leaves of it."""
    weights, changed, norm, along, lost = 0, 0, 0.0, 0.0, 0.0
    for start, end in pairs:
        update, left = end.float() - start.float(), rounding(end) - rounding(start)
        weights += update.numel()
        changed += int(left.count_nonzero())
        norm += _dot(update, update)
        along += _dot(left, update)
        lost += _dot(left - update, left - update)
    if not norm:
        return Update(0.0, 0.0, 1.0, 0.0)
    return Update(norm**0.5, changed / weights, along / norm, (lost / norm) ** 0.5)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    import torch

    return float((a * b).sum(dtype=torch.float64))


def beside_base(
    state: Mapping[str, torch.Tensor], base: str | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]] | None:
    """(base's weight, checkpoint's weight) of all weights, one after the other; None if the base isn't here any more.

    `base` is a folder, or a model in the hub's cache. A model with other weights under that name counts as gone.
    """
    stored = _stored(base)
    if not stored or state.keys() - stored.keys() - {TIED}:
        return None
    if any(stored[name].shape != tuple(state[name].shape) for name in state.keys() & stored.keys()):
        return None
    return _pairs(state, stored)


def _pairs(
    state: Mapping[str, torch.Tensor], stored: Mapping[str, Tensor]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    from safetensors import safe_open

    for name, end in state.items():
        start = name if name in stored else EMBEDDING  # a tied output layer, which the run may have untied
        if start == name or not end.equal(state[EMBEDDING]):
            with safe_open(stored[start].file, "pt") as file:
                yield file.get_tensor(start), end


def _stored(base: str | None) -> dict[str, Tensor]:
    """What the base's files hold, by name; empty if they aren't here or can't be read."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    if base is None:
        return {}
    folder = Path(base).expanduser()
    try:
        return tensors(folder if folder.is_dir() else Path(snapshot_download(base, local_files_only=True)))
    except (DataError, HFValidationError, LocalEntryNotFoundError):
        return {}
