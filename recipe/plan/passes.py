"""What a pass over the model takes beside its states: gathered layers, activations, logits, in bytes a GPU."""

from __future__ import annotations

from recipe.plan.settings import Settings

_FUSED_CHUNK = 512  # tokens for which verl's fused output layer has logits at a time


def gathered(settings: Settings) -> int:
    """Whole layers in the dtype of the computation: the one at work, the next one, and the matrices at both ends.

    A tied embedding belongs to FSDP's root group, which stays whole from the forward to the end of the backward pass.
    Without tying, embedding and output layer are groups of their own and come and go.
    """
    model = settings.model
    layers = 2 * model.layer * settings.compute
    return layers + model.embedding * settings.compute


def masked(settings: Settings, tokens: int) -> int:
    """Columns of the mask that SDPA needs; FlashAttention needs none."""
    return 0 if settings.flash else (tokens if settings.packed else settings.length)


def one_layer(settings: Settings, tokens: int) -> int:
    """What autograd keeps of one layer, without checkpointing."""
    return tokens * settings.model.saved(settings.compute, settings.liger, masked(settings, tokens))


def activations(settings: Settings) -> int:
    """What autograd keeps for the backward pass of a micro-batch: every layer, or with checkpointing its input."""
    model, tokens = settings.model, settings.tokens
    ends = tokens * model.hidden * (4 + 2 * settings.compute)  # the last norm
    if settings.checkpointing:
        return ends + model.layers * tokens * model.hidden * settings.compute
    return ends + model.layers * one_layer(settings, tokens)


def transient(settings: Settings, tokens: int) -> int:
    """A layer's own working memory, forward or backward: three tensors as wide as its widest product."""
    return 3 * tokens * settings.compute * max(settings.model.mlp, settings.model.query)


def logits(settings: Settings, tokens: int, gradient: bool, entropy: bool) -> int:
    """Logits of a micro-batch and what is made of them.

    verl has Liger's fused cross entropy off, so Liger changes nothing here; its own fused kernels do, which
    have logits for 512 tokens at a time. Else there is one tensor of tokens x vocabulary, a copy where the temperature
    is not 1, and then: with flash-attn its cross entropy, which writes the gradient over the logits; without it
    PyTorch's, row by row: in fp32 three more tensors at the worst moment, in bf16 the fp32 log-softmax and two
    gradients. Entropy takes a softmax and a product in fp32 unless it is compiled.
    """
    vocabulary, number = settings.model.vocabulary, settings.compute
    if settings.fused:
        head = settings.model.embedding * 4 if gradient else 0
        return min(tokens, _FUSED_CHUNK) * vocabulary * 12 + head
    each = number * (1 if settings.temperature == 1 else 2)
    if gradient and not settings.flash:
        each += 12 if number == 4 else 8
    if entropy and not settings.compiled:
        each += 8
    return tokens * vocabulary * each


def forward(settings: Settings, tokens: int, entropy: bool) -> dict[str, int]:
    """Parts of a pass without gradients: the larger of a layer's working memory and the logits."""
    width = 4 * settings.model.hidden + settings.model.query + 2 * settings.model.key
    layer = tokens * settings.compute * width + transient(settings, tokens)
    if not settings.flash:
        layer += tokens * masked(settings, tokens) * settings.compute
    head = logits(settings, tokens, False, entropy)
    return {
        "gathered": gathered(settings),
        "activations": layer if layer > head else 0,
        "logits": head if head >= layer else 0,
    }
