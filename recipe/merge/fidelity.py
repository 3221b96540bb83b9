"""Whether an exported folder is the policy of its run: every weight, bit by bit, and the answers on the task.

    check(find_checkpoint("outputs/grpo_qwen3_8b"), Path("models/ner-8b")).exported.relative_error     # 0.0

A file that holds the policy exactly differs by the order of sums alone. A coarser precision may round a little of it
away, and so may the folding of an adapter, whose policy never was one matrix.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import Entity, Example
from recipe.eos import end_ids, end_of_turn_id
from recipe.merge.policy import (
    EMBEDDING,
    TIED,
    Precision,
    Update,
    beside_base,
    measure,
    read_precision,
    round_all,
    rounded,
    torch_dtype,
)
from recipe.merge.shards import load_shards
from recipe.models import card as model_card
from recipe.models.checkpoints import Checkpoint
from recipe.models.folder import model_config
from recipe.models.lora import Lora, base_weights, fold_lora, plain_names, plain_weight, read_lora, write_adapter

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# What a coarser precision than the policy's may do to the logits: sums over many weights, rounded independently.
LOGIT_TOLERANCE = 2.0**-5
# The same weights, computed in fp32: only the order of the sums differs.
FLOAT_TOLERANCE = 1e-4
# What a coarser precision may round away of the update.
UPDATE_TOLERANCE = 0.5


class MergeError(RuntimeError):
    """The exported folder does not reproduce the policy. The message is one line."""


class LossyError(MergeError):
    """The policy's weights are there, but in a precision that loses too much of them."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one model differs from the policy, both computed in fp32 on the same tokens.

    `relative_error` is |difference| / |logits| (L2), `agreement` the share of positions with the same best token.
    """

    tokens: int
    relative_error: float
    agreement: float
    tolerance: float | None = None

    def __str__(self) -> str:
        limit = "" if self.tolerance is None else f" (at most {self.tolerance:.1e})"
        return (
            f"relative logit error {self.relative_error:.1e}{limit}, "
            f"same best token at {self.agreement:.1%} of {self.tokens} positions"
        )


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a sound export: the folder against the policy, the fp32 master against it, and the update.

    `master` is None where it is the policy, `update` where the base model isn't here any more.
    """

    exported: Comparison
    master: Comparison | None
    update: Update | None


def check(checkpoint: Checkpoint, target: Path, device: str = "cpu", dtype: str | None = None) -> Findings:
    """Load `target` and compare it with the policy, by the shards. MergeError says what differs.

    Its weights must be stored as `dtype`, without which it is the policy's own precision.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    record, policy = policy_of(checkpoint)
    dtype = dtype or policy.name
    if any(target.glob("*.bin")) or not any(target.glob("*.safetensors")):
        raise MergeError(f"{target}: the weights are not in safetensors")
    tokenizer = AutoTokenizer.from_pretrained(target)
    sequences = task_sequences(tokenizer)
    _check_tokenizer(AutoTokenizer.from_pretrained(checkpoint.huggingface), tokenizer, sequences)

    model, loading = AutoModelForCausalLM.from_pretrained(target, dtype="auto", output_loading_info=True)
    if loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"]:
        raise MergeError(f"{target}: does not load cleanly: {loading}")
    if model.dtype != torch_dtype(dtype):
        raise MergeError(f"{target / 'config.json'}: says {model.dtype}; {dtype} was to be written")
    _check_generation(target, model.to(device), tokenizer, sequences[0])
    exported = _logits(model.float(), sequences, device)
    del model

    state = load_shards(checkpoint)
    lora = read_lora(checkpoint, state)
    pairs = beside_base(state, record.base) if lora is None else None
    update = measure(pairs, lambda weight: rounded(rounded(weight, policy.name), dtype)) if pairs else None
    master = None if policy.name == "fp32" else _logits(_trained_model(checkpoint, state, lora), sequences, device)
    round_all(state, policy.name)
    if lora:
        update = measure(_folding(state, lora), lambda weight: rounded(weight, dtype))
    check_weights(state, lora, target, dtype)
    reference = _logits(_trained_model(checkpoint, state, lora), sequences, device)
    if dtype == "fp32" or (lora is None and dtype == policy.name):
        comparison = compare_logits(reference, exported)
    else:
        comparison = _compare_rounded(reference, exported, update if lora or policy.name == "fp32" else None, dtype)
    return Findings(comparison, None if master is None else _compare(reference, master), update)


def _compare_rounded(reference: torch.Tensor, exported: torch.Tensor, update: Update | None, dtype: str) -> Comparison:
    """The comparison of a folder that can't hold the policy exactly. LossyError if too much of it is gone."""
    if update and update.lost > UPDATE_TOLERANCE:
        raise LossyError(f"{dtype} rounds {update.lost:.0%} of the update away")
    try:
        return compare_logits(reference, exported, LOGIT_TOLERANCE)
    except MergeError as error:
        raise LossyError(f"{dtype} rounds too much of the policy away: {error}") from error


def check_adapter(
    checkpoint: Checkpoint, state: dict[str, torch.Tensor], lora: Lora, target: Path, tolerance: float = FLOAT_TOLERANCE
) -> Comparison:
    """Load the adapter in `target` with peft, on the policy's own base, and compare it with the folded policy."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    sequences = task_sequences(AutoTokenizer.from_pretrained(target))
    reference = _logits(_plain_model(checkpoint, fold_lora(state, lora)), sequences, "cpu")
    model = PeftModel.from_pretrained(_plain_model(checkpoint, base_weights(state)), target)
    return compare_logits(reference, _logits(model, sequences, "cpu"), tolerance)


def compare_logits(reference: torch.Tensor, exported: torch.Tensor, tolerance: float = FLOAT_TOLERANCE) -> Comparison:
    """Both (tokens, vocabulary). MergeError if they differ by more than `tolerance`."""
    comparison = _compare(reference, exported, tolerance)
    if not comparison.relative_error <= tolerance:  # NaN, too
        raise MergeError(f"the exported model's logits differ from the policy's: {comparison}")
    return comparison


def _compare(reference: torch.Tensor, other: torch.Tensor, tolerance: float | None = None) -> Comparison:
    error = ((other - reference).norm() / reference.norm()).item()
    same = (other.argmax(-1) == reference.argmax(-1)).float().mean().item()
    return Comparison(len(reference), error, same, tolerance)


def task_sequences(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of a few prompts and answers of the task, as in training."""
    from recipe import answers
    from recipe.models.chat import encode_prompt

    drugs = (Entity("Naloxone", "chemical"), Entity("hypotensive", "disease"))
    places = (Entity("東京", "location"), Entity("Zoë O'Neil", "person"))
    examples = (
        Example("Naloxone reverses the hypotensive effect of clonidine .", ("chemical", "disease"), drugs),
        Example("Zoë O'Neil moved to 東京 in 1987 😀 .", ("location", "organization", "person"), places),
        Example("It rained all day .", ("location", "person"), ()),
    )
    sequences = []
    for example in examples:
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": answers.render_prompt(example)}])
        answer = answers.render_answer(replace(example, reasoning="The names stand in the sentence."))
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        sequences.append([*prompt, *ids, end_of_turn_id(tokenizer)])
    return sequences


def _check_tokenizer(
    before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase, sequences: list[list[int]]
) -> None:
    if before.chat_template != after.chat_template:
        raise MergeError("the exported chat template is not the checkpoint's")
    if task_sequences(before) != sequences or before.get_vocab() != after.get_vocab():
        raise MergeError("the exported tokenizer is not the checkpoint's")


def check_weights(state: dict[str, torch.Tensor], lora: Lora | None, target: Path, dtype: str) -> None:
    """MergeError unless the folder holds the weights of `state`, folded and rounded; a tied one may be left out."""
    import torch
    from safetensors import safe_open

    names = plain_names(state)

    def wanted(name: str) -> torch.Tensor:
        return plain_weight(state, names[name], lora).to(torch_dtype(dtype))

    absent = set(names)
    for path in sorted(target.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                if name not in names:
                    raise MergeError(f"{name}: in the exported model, but not in the checkpoint")
                found = file.get_tensor(name)
                if found.dtype != torch_dtype(dtype) or not torch.equal(found, wanted(name)):
                    raise MergeError(f"{name}: not the policy's weight in {dtype}")
                absent.discard(name)
    for name in sorted(absent):
        if name != TIED or not model_config(target).get("tie_word_embeddings"):
            raise MergeError(f"{name}: in the checkpoint, but not in the exported model")
        if not torch.equal(wanted(name), wanted(EMBEDDING)):
            raise MergeError(f"{name}: not the policy's weight in {dtype}")


def _check_generation(
    target: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequence: list[int]
) -> None:
    import torch

    if end_of_turn_id(tokenizer) not in end_ids(target / "generation_config.json"):
        raise MergeError("the exported generation_config does not stop at the end of turn")
    ids = torch.tensor([sequence[: len(sequence) // 2]], device=model.device)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    with torch.inference_mode():
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=pad)
    if out.shape[1] <= ids.shape[1]:
        raise MergeError("the exported model generates nothing")


def _plain_model(checkpoint: Checkpoint, state: dict[str, torch.Tensor]) -> PreTrainedModel:
    """A model of the checkpoint's weights in fp32, nothing tied: what was trained is what counts."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint.huggingface)
    state = {name: value.float() for name, value in state.items()}
    if config.tie_word_embeddings:
        config.tie_word_embeddings = False
        state.setdefault(TIED, state[EMBEDDING])
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(state, assign=True)
    return model


def _trained_model(checkpoint: Checkpoint, state: dict[str, torch.Tensor], lora: Lora | None) -> PreTrainedModel:
    """The model as it was trained: an adapter beside its base, as peft computes it."""
    from peft import PeftModel

    model = _plain_model(checkpoint, base_weights(state))
    if lora is None:
        return model
    with tempfile.TemporaryDirectory() as folder:
        write_adapter(state, lora, "", Path(folder))
        return PeftModel.from_pretrained(model, folder)


def _logits(model: PreTrainedModel, sequences: list[list[int]], device: str) -> torch.Tensor:
    """(tokens, vocabulary) in fp32 on the CPU, the sequences one after the other."""
    import torch

    model.to(device).eval()
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([ids], device=device)).logits[0].float().cpu() for ids in sequences])


def _folding(state: dict[str, torch.Tensor], lora: Lora) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for name in plain_names(state).values():
        yield state[name], plain_weight(state, name, lora)


def policy_of(checkpoint: Checkpoint) -> tuple[model_card.RunRecord, Precision]:
    record = model_card.read_run(checkpoint.run, checkpoint.step)
    return record, read_precision(record, checkpoint.folder.name == "actor")
