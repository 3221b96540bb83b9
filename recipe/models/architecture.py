"""The shape of a decoder, and what follows from the shape alone: parameters, saved activations and FLOPs a token.

named("models/sft_qwen3_8b").parameters     # 8_190_735_360
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.core.entities import DataError
from recipe.core.files import read_json

# What a model's type decides and no configuration says: norms on query and key; biases on query, key and value.
_QK_NORM = {"qwen3": True, "qwen2": False, "llama": False, "mistral": False, "internlm2": False}
_QKV_BIAS = {"qwen2": True}


@dataclass(frozen=True, slots=True)
class Architecture:
    """A dense decoder with grouped-query attention, SwiGLU and RMSNorm: Qwen2, Qwen3, Llama, Mistral, InternLM2."""

    name: str
    kind: str  # transformers' model_type
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    tied: bool
    positions: int | None = None  # that the model was made for, if its configuration says so
    qk_norm: bool = False
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False

    @property
    def query(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def key(self) -> int:
        """Width of all key heads together, and of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def embedding(self) -> int:
        """Parameters of the embedding; the output layer has as many again, unless it is the same matrix (`tied`)."""
        return self.vocabulary * self.hidden

    @property
    def layer_matrices(self) -> int:
        """Weights in the matrix products of one layer."""
        return self.hidden * (2 * self.query + 2 * self.key + 3 * self.mlp)

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        norms = 2 * self.hidden + 2 * self.head_dim * self.qk_norm
        biases = (self.query + 2 * self.key) * self.qkv_bias + self.hidden * self.output_bias
        return self.layer_matrices + norms + biases + (2 * self.mlp + self.hidden) * self.mlp_bias

    @property
    def parameters(self) -> int:
        """All parameters, a matrix that is used twice counted once."""
        return self.embedding * (1 if self.tied else 2) + self.layers * self.layer + self.hidden

    @property
    def matrices(self) -> int:
        """Weights that a token is multiplied with: the layers' and the output layer's. An embedding is looked up."""
        return self.layers * self.layer_matrices + self.embedding

    def lora_parameters(self, rank: int) -> int:
        """Parameters of adapters of this rank on all matrices of the layers (peft's all-linear)."""
        query_and_output, key_and_value = 2 * (self.hidden + self.query), 2 * (self.hidden + self.key)
        return self.layers * rank * (query_and_output + key_and_value + 3 * (self.hidden + self.mlp))

    def flops(self, tokens: float, length: float) -> float:
        """Of a forward pass over `tokens` tokens in sequences of `length`: 2 a weight, and causal attention.

        2N a token is Kaplan et al. 2020, section 2.1; attention's 4 x length x width a token and layer (scores and
        weighted sum) are their n_ctx term, halved because a token attends to those before it only. A backward pass
        is twice a forward pass.
        """
        return tokens * (2 * self.matrices + 2 * self.layers * self.query * length)

    def saved(self, compute: int, liger: bool = False, masked: int = 0) -> int:
        """Bytes that autograd keeps of one layer for one token, without checkpointing. `compute`: bytes of a number.

        Counted as in Korthikanti et al. 2022, section 4.1, whose 34 h is a layer of GPT, for the operations of
        transformers' code: each RMSNorm keeps its input in fp32, the normalised input and the result (Liger's the input
        and the result); attention its query, key, value and result; SwiGLU four tensors (Liger's three). Attention
        scores are not kept by FlashAttention or SDPA, but SDPA with a mask, which packed sequences need, copies keys
        and values to every head and keeps a row of the mask for each of the `masked` tokens.
        """
        norm = 2 * compute if liger else 4 + 2 * compute
        heads = (compute if liger else 4 + compute) * (self.query + self.key) * self.qk_norm
        keys = self.query if masked else self.key
        attention = compute * (2 * self.query + 2 * keys + masked)
        return 2 * norm * self.hidden + heads + attention + compute * (3 if liger else 4) * self.mlp


def from_config(config: Mapping[str, Any], name: str) -> Architecture:
    """The architecture that a model's config.json describes. DataError for one that can't be planned."""
    kind = config.get("model_type")
    if kind not in _QK_NORM:
        raise DataError(f"{name}: model_type {kind!r} can't be planned, only {', '.join(_QK_NORM)}")
    try:
        hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
        return Architecture(
            name=name,
            kind=kind,
            hidden=hidden,
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or hidden // heads),
            mlp=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
            positions=config.get("max_position_embeddings"),
            qk_norm=_QK_NORM[kind],
            qkv_bias=_QKV_BIAS.get(kind, bool(config.get("attention_bias") or config.get("bias"))),
            output_bias=bool(config.get("attention_bias") or config.get("bias")) and kind != "qwen2",
            mlp_bias=bool(config.get("mlp_bias")),
        )
    except KeyError as error:
        raise DataError(f"{name}: its configuration has no {error.args[0]}") from None


def named(path: str) -> Architecture:
    """The model that a path or a hub's name speaks of. DataError lists those that are known."""
    import yaml

    models = yaml.safe_load((Path(__file__).parent / "published.yaml").read_text(encoding="utf-8"))
    wanted = _plain(path)
    fitting = [name for name in models if _plain(name) in wanted]
    if not fitting:
        raise DataError(
            f"{path}: not a model folder here, and named after none of {', '.join(models)}; "
            "give its config.json with --hf-config"
        )
    name = max(fitting, key=len)
    return from_config(models[name], name)


def read(path: str, hf_config: str | None = None) -> Architecture:
    """The architecture of `hf_config` (a config.json or its folder), else of the folder `path`, else of that name."""
    given = Path(hf_config or path).expanduser()
    file = given if given.suffix == ".json" else given / "config.json"
    if file.is_file():
        return from_config(read_json(file), str(file.parent))
    if hf_config:
        raise DataError(f"{file}: no such file; give a model's config.json or its folder")
    return named(path)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
