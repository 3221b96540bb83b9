"""verl's FSDP engine for CPUs: the same log-probabilities, without the work that no loss asks for.

On a GPU, flash-attn reads packed rows without a mask, and its cross-entropy takes all tokens in one kernel. Without a
GPU, verl takes paths that cost more than the model itself. This engine, which `recipe.cpu` registers, changes

- attention: row by row, where SDPA would compare every token of a micro-batch with every other one;
- prompts: once for all answers to it in the micro-batch, which a GRPO batch repeats `rollout.n` times;
- groups without spread: not at all, where they can't change the gradient;
- the vocabulary: only at the positions whose log-probabilities a loss reads, the answers';
- the normaliser: a block of tokens a call, where verl's fallback makes a call a token;
- products: by oneDNN, where those stay in fp32, which on AMD's CPUs is up to twice as fast as MKL.

Log-probabilities of a prompt's tokens are reported as 0: verl's losses, and ours, mask them. Where a model doesn't
support a step (`logits_to_keep`, transformers' attention interface, full attention in every layer), it is left out.
verl's metrics of an update (entropy, ppo_kl, pg_loss, pg_clipfrac) are those of the groups that are computed.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from verl.utils import tensordict_utils as tu
from verl.utils.device import get_torch_device
from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead
from verl.workers.utils.losses import ppo_loss

from recipe.engines.rollout_rounding import Tells
from recipe.engines.seeded_adapter import SeededAdapter

VENDOR = "cpu"  # the name under which verl finds this engine; VERL_ENGINE_VENDOR=none takes verl's own
ATTENTION = "sdpa_by_row"


# ---------------------------------------------------------------------------------------------- attention
@dataclass(frozen=True)
class Layout:
    """How a micro-batch's tokens lie in one packed row: pieces one after another, of `sizes` tokens.

    A piece sees itself up to each token and, where `prompts` gives the number of another piece, all of that before.
    """

    sizes: tuple[int, ...]
    prompts: tuple[int | None, ...]


def sdpa_by_row(module, query, key, value, attention_mask, scaling=None, dropout=0.0, layout=None, **_):
    """Causal attention of a packed row, as transformers calls it: (1, heads, tokens, d) to (1, tokens, heads, d)."""
    sizes = layout.sizes if layout else [query.shape[2]]
    prompts = layout.prompts if layout else [None]
    queries, keys, values = (tensor.split(sizes, dim=2) for tensor in (query, key, value))
    out = []
    for number, prompt in enumerate(prompts):
        q, k, v, mask = queries[number], keys[number], values[number], None
        if prompt is not None:
            k, v = torch.cat([keys[prompt], k], dim=2), torch.cat([values[prompt], v], dim=2)
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(k.shape[2] - q.shape[2])
        out.append(
            scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None, scale=scaling, enable_gqa=True)
        )
    return torch.cat(out, dim=2).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, sdpa_by_row)


# --------------------------------------------------------------------------------------------- the rows
def read_positions(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Where the packed `rows` predict a token that the loss reads: (read,), sorted.

    `mask`: verl's `loss_mask`, jagged as the rows are (SFT), or as their answers alone (GRPO).
    """
    ends, lengths = rows.offsets()[1:].tolist(), mask.offsets().diff().tolist()
    if lengths == rows.offsets().diff().tolist():
        # As verl's loss reads it; the last token of all predicts nothing.
        return torch.roll(mask.values(), -1).nonzero().squeeze(1)
    return torch.cat([torch.arange(end - size - 1, end - 1) for end, size in zip(ends, lengths, strict=True)])


def without_repeats(rows: torch.Tensor, prompts: torch.Tensor | None) -> tuple[Layout, torch.Tensor, torch.Tensor]:
    """The layout of packed `rows` with each of `prompts` once; which tokens it takes, and where each token went."""
    ids, starts = rows.values(), rows.offsets().tolist()
    sizes, sees, taken, went = [], [], [], torch.empty_like(ids)
    piece_of: dict[tuple[int, ...], tuple[int, int]] = {}
    total = 0

    def add(begin: int, end: int, prompt: int | None) -> None:
        nonlocal total
        went[begin:end] = torch.arange(total, total + end - begin)
        taken.append(torch.arange(begin, end))
        sizes.append(end - begin)
        sees.append(prompt)
        total += end - begin

    lengths = prompts.offsets().diff().tolist() if prompts is not None else [0] * (len(starts) - 1)
    for (begin, end), length in zip(pairwise(starts), lengths, strict=True):
        if not 0 < length < end - begin:
            add(begin, end, None)
            continue
        prompt = tuple(ids[begin : begin + length].tolist())
        if prompt in piece_of:
            piece, place = piece_of[prompt]
            went[begin : begin + length] = torch.arange(place, place + length)
        else:
            piece, place = piece_of[prompt] = len(sizes), total
            add(begin, begin + length, None)
        add(begin + length, end, piece)
    return Layout(tuple(sizes), tuple(sees)), torch.cat(taken), went


def _begins(prompts: torch.Tensor) -> list[int]:
    """The first row of each run of equal prompts, and how many rows there are."""
    keys = [tuple(prompt.tolist()) for prompt in prompts.unbind()]
    return [0, *(at for at in range(1, len(keys)) if keys[at] != keys[at - 1]), len(keys)]


def with_spread(prompts: torch.Tensor, advantages: torch.Tensor) -> list[int]:
    """The rows of those runs of equal prompts that have an advantage other than 0."""
    moves = [bool(row.any()) for row in advantages.unbind()]
    return [row for at, after in pairwise(_begins(prompts)) if any(moves[at:after]) for row in range(at, after)]


def linear_in_advantages(loss_function: Callable) -> bool:
    """Whether all parts of verl's GRPO loss are products with the advantage, whose gradient is 0 where that is 0."""
    config = getattr(loss_function, "keywords", {}).get("config")
    return (
        getattr(loss_function, "func", None) is ppo_loss
        and config.policy_loss.loss_mode in ("vanilla", "gpg")
        and not config.use_kl_loss
        and config.entropy_coeff == 0
    )


def together(rows: torch.Tensor, prompts: torch.Tensor, limit: int) -> int:
    """How many rows, one after another from the first, to keep in one micro-batch so that prompts are shared.

    A divisor of every run of equal prompts; so many rows have at most `limit` tokens.
    """
    begins = _begins(prompts)
    size = math.gcd(*(after - at for at, after in pairwise(begins)))
    tokens = rows.offsets().diff()
    while tokens.view(-1, size).sum(dim=1).max() > limit and size > 1:
        size = max(part for part in range(1, size) if size % part == 0)
    return size


# ------------------------------------------------------------------------------------------- the products
_FP32 = 1e-4  # mean error of a product of (64, 512) and (512, 512): 5e-6 in fp32, 7e-3 in TF32, 5e-2 in bf16


def faster_products() -> bool:
    """Have oneDNN make the products of fp32, where they stay in fp32; True if so.

    PyTorch's one switch for it allows bf16 as well, which oneDNN takes where the CPU has AMX (cpu_bf16.json in
    tests/benchmarks has what either is worth).
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    drawn = torch.Generator().manual_seed(0)
    left, right = torch.randn(64, 512, generator=drawn), torch.randn(512, 512, generator=drawn)
    in_fp32 = ((left @ right).double() - left.double() @ right.double()).abs().mean().item() < _FP32
    if not in_fp32:
        torch.set_float32_matmul_precision(before)
    return in_fp32


# --------------------------------------------------------------------------------------------- the engine
@dataclass(frozen=True)
class Read:
    """The positions of a micro-batch of `tokens` tokens that the loss reads."""

    positions: torch.Tensor
    tokens: int


class CpuEngine(Tells, SeededAdapter, FSDPEngineWithLMHead):
    """verl's language model engine with the steps above: same settings, checkpoints and, but for rounding, results."""

    def _build_module(self):
        module = super()._build_module()
        faster_products()
        config = module.config
        packed = self.use_remove_padding and not (self.pad_to_length or self.use_ulysses_sp)
        packed = packed and not self.model_config.use_fused_kernels  # another forward pass, which drops our arguments
        self.keeps_logits = packed and "logits_to_keep" in signature(module.forward).parameters
        self.by_row = (
            self.keeps_logits
            and config._attn_implementation == "sdpa"
            and getattr(module, "_supports_attention_backend", False)
            and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
            and getattr(config, "sliding_window", None) is None
        )
        if self.by_row:
            module.set_attn_implementation(ATTENTION)
        return module

    def forward_backward_batch(self, data, loss_function, forward_only=False):
        by_tokens = tu.get_non_tensor_data(data, "use_dynamic_bsz", True)  # else micro-batches have a number of rows
        if by_tokens and not forward_only and linear_in_advantages(loss_function):
            data, loss_function = self._without_flat(data, loss_function)
        prompts = _jagged(data, "prompts")
        if by_tokens and self.by_row and prompts is not None:
            size = together(data["input_ids"], prompts, data["max_token_len_per_gpu"])
            tu.assign_non_tensor(data, force_group_size=size)
        found = super().forward_backward_batch(data, loss_function, forward_only)
        get_torch_device().empty_cache()  # SmolLM2's SFT held twice as much memory after 80 steps as after one
        return found

    def _without_flat(self, data, loss_function):
        """`data` without groups that have no spread, and the loss for it: of the same gradient, but for rounding."""
        prompts, advantages = _jagged(data, "prompts"), _jagged(data, "advantages")
        if prompts is None or advantages is None or self.get_data_parallel_size() > 1:
            return data, loss_function  # ranks have to go through as many micro-batches as each other
        kept = with_spread(prompts, advantages) or [0]
        if len(kept) == len(data):
            return data, loss_function
        whole = data["loss_mask"].sum().item()
        data = tu.index_select_tensor_dict(data, kept)
        token_mean = loss_function.keywords["config"].loss_agg_mode == "token-mean"
        # verl divides by the tokens that it is given; the other modes divide by the batch's size, which the batch says.
        share = data["loss_mask"].sum().item() / whole if token_mean else 1.0

        def scaled(*args, **kwargs):
            loss, metrics = loss_function(*args, **kwargs)
            return loss * share, metrics

        return data, scaled

    def prepare_model_inputs(self, micro_batch):
        inputs, outputs = super().prepare_model_inputs(micro_batch)
        if not self.keeps_logits:
            return inputs, outputs
        if tu.get_non_tensor_data(micro_batch, "distillation_use_topk", False):
            raise NotImplementedError("the CPU engine has no distillation; VERL_ENGINE_VENDOR=none takes verl's own")
        rows = micro_batch["input_ids"]
        went = torch.arange(rows.values().numel())
        if self.by_row:
            inputs["layout"], taken, went = without_repeats(rows, _jagged(micro_batch, "prompts"))
            for name in ("input_ids", "position_ids"):
                inputs[name] = inputs[name][..., taken]
        read = read_positions(rows, micro_batch["loss_mask"])
        inputs["logits_to_keep"] = went[read]
        for name in ("input_ids_rmpad_rolled", "temperature_rmpad"):
            outputs[name] = outputs[name][read].unsqueeze(0)
        outputs["pad_size"] = Read(read, went.numel())
        return inputs, outputs

    def prepare_model_outputs(self, output, output_args, micro_batch, logits_processor_func):
        if isinstance(output_args.get("pad_size"), Read):
            output.logits = output.logits.unsqueeze(0)  # verl normalises one entry of its first dimension a call
        return super().prepare_model_outputs(output, output_args, micro_batch, logits_processor_func)

    def _gather_and_unpad_packed(self, tensor, pad_size):
        if not isinstance(pad_size, Read):
            return super()._gather_and_unpad_packed(tensor, pad_size)
        return tensor.new_zeros(pad_size.tokens).index_copy(0, pad_size.positions, tensor.flatten())


def _jagged(data, name: str) -> torch.Tensor | None:
    """A field of verl's batch, if it has it and without padding: SFT has no prompts of its own."""
    field = data.get(name, None)
    return field if field is not None and field.is_nested else None


@functools.cache
def register() -> str:
    """Have verl take this engine on the CPU platform; returns the platform's vendor."""
    EngineRegistry.register("language_model", ["fsdp", "fsdp2"], device="cuda", vendor=VENDOR)(CpuEngine)
    return VENDOR
