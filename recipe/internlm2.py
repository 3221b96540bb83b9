"""InternLM2 as a Llama: the same weights, named and laid out as transformers, verl and vLLM can train and serve them.

    python -m recipe.internlm2 internlm/internlm2-7b --out models/internlm2_7b

transformers has no InternLM2, and the code that comes with its checkpoints was written for an older one. It is Llama
but for names and one fused matrix: the rows of `wqkv` are, for each key-value head, its queries, its key and its value
(InternLM2 technical report, Cai et al. 2024, section 2.2). The tokenizer, a SentencePiece model, becomes a
tokenizer.json with the control tokens under their names and, if it has none, a ChatML template as of InternLM2-Chat.

A `dynamic` rope_scaling is left out: it changes nothing within max_position_embeddings, and no run here goes beyond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recipe.core.command_line import command_parser, end_with, exit_status, unwind_on_sigterm
from recipe.core.entities import DataError
from recipe.core.files import read_json, staged, write_json
from recipe.eos import read_eos, write_eos
from recipe.models.folder import model_folder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

# The last entries of its vocabulary, of 92,544, which the tokenizer's file has as unused.
CONTROL = {
    92538: "<|plugin|>", 92539: "<|interpreter|>", 92540: "<|action_end|>", 92541: "<|action_start|>",
    92542: "<|im_end|>", 92543: "<|im_start|>",
}  # fmt: skip
TEMPLATE = (
    "{{- bos_token }}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
_NAMES = (
    (r"model\.tok_embeddings\.", "model.embed_tokens."),
    (r"^output\.", "lm_head."),
    (r"\.attention\.wo\.", ".self_attn.o_proj."),
    (r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    (r"\.feed_forward\.w2\.", ".mlp.down_proj."),
    (r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    (r"\.attention_norm\.", ".input_layernorm."),
    (r"\.ffn_norm\.", ".post_attention_layernorm."),
)
_TAKEN_OVER = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "tie_word_embeddings",
    "bos_token_id", "eos_token_id", "pad_token_id",
)  # fmt: skip


def convert(source: Path, out: Path) -> None:
    """Write `source` as a Llama folder to `out`, shard by shard. DataError if it is no InternLM2 that is known here."""
    from transformers import LlamaConfig

    config = read_json(source / "config.json")
    if config.get("model_type") != "internlm2":
        raise DataError(f"{source / 'config.json'}: model_type {config.get('model_type')!r}, not internlm2")
    scaling = config.get("rope_scaling") or {}
    if config.get("bias") or scaling.get("type", "dynamic") != "dynamic":
        raise DataError(f"{source / 'config.json'}: has biases or another rope_scaling; not an InternLM2 known here")
    read_eos(source)
    try:
        settings = {key: config[key] for key in _TAKEN_OVER if key in config}
        heads, groups = int(config["num_attention_heads"]), int(config["num_key_value_heads"])
        rope = {"rope_type": "default", "rope_theta": float(config.get("rope_theta", 10000))}
    except KeyError as error:
        raise DataError(f"{source / 'config.json'}: has no {error}; copy the file from the hub again") from error
    with staged(out) as work:
        llama = LlamaConfig(**settings, rope_parameters=rope, architectures=["LlamaForCausalLM"], dtype="bfloat16")
        llama.save_pretrained(work)
        _write_weights(source, work, heads // groups, heads)
        tokenizer = build_tokenizer(source)
        tokenizer.save_pretrained(work)
        write_eos(work, tokenizer)
        for path in work.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner alone


def rename(name: str, weight: torch.Tensor, queries: int, heads: int) -> dict[str, torch.Tensor]:
    """Llama's weights for one of InternLM2's; three for the fused one, whose groups have `queries` heads each."""
    if not name.endswith(".attention.wqkv.weight"):
        for pattern, new in _NAMES:
            name = re.sub(pattern, new, name)
        return {name: weight.contiguous()}
    hidden = weight.shape[1]
    # (groups, a group's queries and then its k and v, head_dim, hidden)
    fused = weight.view(heads // queries, queries + 2, -1, hidden)
    parts = {"q": fused[:, :queries], "k": fused[:, queries], "v": fused[:, queries + 1]}
    stem = name.removesuffix("attention.wqkv.weight")
    return {f"{stem}self_attn.{x}_proj.weight": part.reshape(-1, hidden).contiguous() for x, part in parts.items()}


def _write_weights(source: Path, work: Path, queries: int, heads: int) -> None:
    from safetensors.torch import save_file
    from tqdm import tqdm

    files = sorted(source.glob("*.safetensors")) or sorted(source.glob("pytorch_model*.bin"))
    if not files:
        raise DataError(f"{source}: no weights (*.safetensors, pytorch_model*.bin) in it; copy them from the hub")
    index, size = {}, 0
    for number, path in enumerate(tqdm(files, desc="converting", unit="file", leave=False, disable=None), start=1):
        name = f"model-{number:05}-of-{len(files):05}.safetensors"
        shard = {}
        for old, weight in _tensors(path):
            shard |= rename(old, weight, queries, heads)
        save_file(shard, work / name, {"format": "pt"})
        index |= dict.fromkeys(shard, name)
        size += sum(weight.nbytes for weight in shard.values())
    write_json(work / "model.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": index})


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    import torch
    from safetensors import safe_open

    if path.suffix == ".bin":
        yield from torch.load(path, map_location="cpu", weights_only=True, mmap=True).items()
        return
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 (the file is no mapping)
            yield name, file.get_tensor(name)


def build_tokenizer(source: Path) -> PreTrainedTokenizerFast:
    """The SentencePiece model in `source` as a fast tokenizer with InternLM2-Chat's control tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast
    from transformers.tokenization_utils_sentencepiece import SentencePieceExtractor

    path = source / "tokenizer.model"
    if not path.is_file():
        raise DataError(f"{path}: missing; copy it from the hub")
    extractor = SentencePieceExtractor(str(path))
    vocabulary, _, merges = extractor.extract()
    settings = read_json(source / "tokenizer_config.json")
    size = len(vocabulary)
    control = {i: name for i, name in _control(settings).items() if i < size}
    vocabulary = {control.get(i, piece): i for piece, i in vocabulary.items()}
    merges = [pair for pair in merges if {*pair, "".join(pair)} <= vocabulary.keys()]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    prefixed = extractor.sp.encode("a", out_type=str)[0].startswith("▁")
    steps = [normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁")] * prefixed + steps)
    decoding = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(decoding + [decoders.Strip(" ", left=1)] * prefixed)
    special = ["<unk>", "<s>", "</s>", *control.values()]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>",
        additional_special_tokens=list(control.values()), padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
    fast.chat_template = settings.get("chat_template") or TEMPLATE
    return fast


def _control(settings: Mapping[str, Any]) -> dict[int, str]:
    """The control tokens that the folder names itself, else InternLM2-Chat's."""
    named = {int(i): token["content"] for i, token in (settings.get("added_tokens_decoder") or {}).items()}
    return {i: name for i, name in named.items() if i > 2} or CONTROL


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is wrong with the folder."""
    parser = command_parser(
        "recipe.internlm2",
        "Write an InternLM2 model folder as a Llama one.",
        "python -m recipe.internlm2 internlm/internlm2-7b --out models/internlm2_7b",
    )
    parser.add_argument("model", help="a folder, or a model of the Hugging Face hub")
    parser.add_argument("--out", type=Path, required=True, help="the folder to make")
    args = parser.parse_args(argv)

    def run() -> None:
        if args.out.exists():
            raise DataError(f"{args.out}: exists; give another --out")
        convert(model_folder(args.model), args.out)
        print(args.out)

    return exit_status("internlm2", run)


if __name__ == "__main__":
    unwind_on_sigterm()
    end_with(main)
