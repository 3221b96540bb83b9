"""Tiny, random models of the backbones' architectures, with tokenizers of their kinds. Not a test module.

    write("llama3_1_8b", folder)     # as the hub's folder of hydra_configs/model/llama3_1_8b.yaml, but small
    write("tinyllama_chat", folder)  # as a folder of OTHERS, for which hydra_configs/model has no file

The Llamas come as their bases do, without pad token and chat template; InternLM2 in its own layout, to be converted.
"""

from __future__ import annotations

import json
from pathlib import Path

from recipe.answers import render_prompt
from recipe.answers.json_answer import render_entities
from recipe.core.entities import Entity, Example
from recipe.smollm2 import layout
from recipe.tiny_model.__main__ import build_tokenizer

EXAMPLE = Example(
    "Ada met  Bob in 東京 .", ("person", "place"), (Entity("Ada", "person"), Entity("東京", "place")), "toy"
)
PROMPT, ANSWER = render_prompt(EXAMPLE), render_entities(EXAMPLE.entities, "Ada and Bob are persons, 東京 is a place.")
SIZES = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXTS = [PROMPT, ANSWER, "The quick brown fox jumps over the lazy dog , twice ."]
# As Qwen2.5-Instruct's: ChatML with a system message of its own.
QWEN2_5 = (
    "{%- if messages[0].role != 'system' %}{{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{%- endif %}"
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# As TinyLlama-Chat's, Zephyr's and OLMo 2's: roles spelt in ordinary tokens, one token that ends a turn.
ZEPHYR = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token }}{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# As Mistral-7B-Instruct-v0.1's: refuses a system message, and roles that do not take turns.
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ message['content'] + eos_token + ' ' }}{% endif %}{% endfor %}"
)
# What a user writes for a base whose only special token begins and ends texts, as GPT-2's does.
PLAIN = (
    "{{ bos_token }}{% for message in messages %}{{ message.role|capitalize + ':' }}"
    "{{ message.content + eos_token if message.role == 'assistant' else ' ' + message.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Folders of other people's, and the chat template that the run's configuration gives where theirs has none.
OTHERS = {"tinyllama_chat": None, "mistral_instruct": None, "gpt2_tokens": PLAIN, "smollm2": None}
RUN_SIZES = SIZES | {"hidden_size": 128, "num_key_value_heads": 2}  # heads of 32: vLLM's least without a GPU


def overrides(name: str, folder: Path, stage: str = "sft") -> list[str]:
    """What makes the tiny experiment one of this folder, with its file in hydra_configs/model if it has one."""
    section = "model" if stage == "sft" else "actor_rollout_ref.model"
    if name in OTHERS or name == "smollm2_135m":
        template = OTHERS.get(name) and f"{section}.custom_chat_template={json.dumps(OTHERS[name])}"
        return [f"{section}.path={folder}", *([template] if template else [])]
    group = "model" if stage == "sft" else f"model@{section}"
    return [
        f"{group}={name}", f"{section}.path={folder}", f"{section}.use_liger=false",
        f"++{section}.override_config.attn_implementation=sdpa",
    ]  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """A folder of random weights and a tokenizer for a file of hydra_configs/model, or one of OTHERS."""
    import torch

    folder.mkdir(parents=True)
    torch.manual_seed(0)
    {
        "qwen3": _qwen3, "qwen2": _qwen2_5, "llama3": _llama3, "llama2": _llama2, "internlm2": _internlm2,
        "tinyllama": _tinyllama, "mistral": _mistral, "gpt2": _gpt2, "smollm2": _smollm2,
    }[name.partition("_")[0]](folder)  # fmt: skip
    return folder


def _save(model, folder: Path, ends: object) -> None:
    model.generation_config.eos_token_id = ends
    model.save_pretrained(folder)


def _qwen3(folder: Path) -> None:
    from recipe.tiny_model.__main__ import build_model, save

    tokenizer = build_tokenizer(TEXTS, vocab_size=600)
    save(build_model(len(tokenizer), 64, 2), tokenizer, folder)


def _qwen2_5(folder: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    tokenizer = build_tokenizer(TEXTS, vocab_size=600)
    text_end, turn_end = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    tokenizer.eos_token, tokenizer.chat_template = "<|im_end|>", QWEN2_5
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(**RUN_SIZES, vocab_size=len(tokenizer), tie_word_embeddings=True, eos_token_id=turn_end)
    _save(Qwen2ForCausalLM(config), folder, [turn_end, text_end])


def _llama3(folder: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    names = ["begin_of_text", "end_of_text", "start_header_id", "end_header_id", "eot_id"]
    special = [f"<|{name}|>" for name in names]
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    begin = (special[0], bpe.token_to_id(special[0]))
    bpe.post_processor = processors.TemplateProcessing(f"{special[0]} $A", special_tokens=[begin])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=special[0], eos_token=special[1], clean_up_tokenization_spaces=False
    )
    tokenizer.save_pretrained(folder)
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    config = LlamaConfig(
        **SIZES, vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=131072, rope_parameters=rope,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    _save(LlamaForCausalLM(config), folder, tokenizer.eos_token_id)


def _sentencepiece(folder: Path, control: list[str], prefixed: bool) -> None:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=400,
        byte_fallback=True, user_defined_symbols=control, add_dummy_prefix=prefixed, remove_extra_whitespaces=False,
        normalization_rule_name="identity", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / "tokenizer.vocab").unlink()


def _llama2(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaTokenizer

    _sentencepiece(folder, [], prefixed=True)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "LlamaTokenizer", "legacy": False}))
    tokenizer = LlamaTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(**SIZES, vocab_size=len(tokenizer), max_position_embeddings=4096)
    _save(LlamaForCausalLM(config), folder, 2)


def _internlm2(folder: Path) -> None:
    """Its own names and fused layout; the control tokens stand in the vocabulary as unused ones."""
    import sentencepiece
    import torch
    from safetensors.torch import save_file

    _sentencepiece(folder, ["[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_146]"], prefixed=False)
    vocabulary = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    ids = [vocabulary.piece_to_id(f"[UNUSED_TOKEN_{number}]") for number in (145, 146)]
    added = {str(i): {"content": name} for i, name in zip(ids, ["<|im_end|>", "<|im_start|>"], strict=True)}
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    config = {
        **SIZES, "model_type": "internlm2", "architectures": ["InternLM2ForCausalLM"], "vocab_size": len(vocabulary),
        "num_key_value_heads": 2, "bias": False, "rms_norm_eps": 1e-5, "rope_theta": 1000000, "hidden_act": "silu",
        "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 32768,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}))
    rows, hidden, inner = len(vocabulary), 64, 96
    shapes = {"model.tok_embeddings": (rows, hidden), "output": (rows, hidden)}
    for layer in (f"model.layers.{i}." for i in range(2)):
        shapes |= {f"{layer}attention.wqkv": (2 * (2 + 2) * 16, hidden), f"{layer}attention.wo": (hidden, hidden)}
        shapes |= {f"{layer}feed_forward.w{i}": (inner, hidden) for i in (1, 3)}
        shapes |= {f"{layer}feed_forward.w2": (hidden, inner)}
    weights = {f"{name}.weight": torch.randn(shape) * 0.05 for name, shape in shapes.items()}
    norms = ["model.norm", *(f"model.layers.{i}.{kind}_norm" for i in range(2) for kind in ("attention", "ffn"))]
    save_file(weights | {f"{name}.weight": torch.rand(hidden) + 0.5 for name in norms}, folder / "model.safetensors")


# ----------------------------------------------------------------------------------------------- other people's folders


def _sentencepiece_tokenizer(folder: Path, template: str) -> None:
    """No pad token, the template among the tokenizer's settings, as older folders have it."""
    _sentencepiece(folder, [], prefixed=True)
    settings = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "chat_template": template, "pad_token": None}
    settings |= {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _tinyllama(folder: Path) -> None:
    """A Llama with one end token, a number in both files, and no pad token; untied."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    _sentencepiece_tokenizer(folder, ZEPHYR)
    config = LlamaConfig(**RUN_SIZES, vocab_size=len(AutoTokenizer.from_pretrained(folder)), eos_token_id=2)
    _save(LlamaForCausalLM(config), folder, 2)


def _mistral(folder: Path) -> None:
    """No generation_config.json; weights in several files with an index; a window; untied."""
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    _sentencepiece_tokenizer(folder, MISTRAL)
    rows = len(AutoTokenizer.from_pretrained(folder))
    config = MistralConfig(**RUN_SIZES, vocab_size=rows, eos_token_id=2, sliding_window=4096)
    MistralForCausalLM(config).save_pretrained(folder, max_shard_size="200KB")
    (folder / "generation_config.json").unlink()


def _gpt2(folder: Path) -> None:
    """A byte-level BPE with a prefix space and one special token; more rows in the embeddings than tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False))
    trained = json.loads(bpe.to_str())["model"]
    end = len(trained["vocab"])
    vocabulary = trained["vocab"] | {"<|endoftext|>": end}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in trained["merges"]))
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    settings = {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "model_max_length": 1024, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = LlamaConfig(
        **RUN_SIZES, vocab_size=end + 1 + 47, tie_word_embeddings=True, bos_token_id=end, eos_token_id=end
    )
    _save(LlamaForCausalLM(config), folder, end)


def _smollm2(folder: Path) -> None:
    """Its whole vocabulary, mostly of made-up words: in fp32 the embedding is larger than 64 MiB, as the model's is."""
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=layout.SPECIAL, show_progress=False
    )
    bpe.train_from_iterator(TEXTS, trainer)
    trained = json.loads(bpe.to_str())["model"]
    vocabulary = trained["vocab"]
    vocabulary |= {f"word{i}": i for i in range(len(vocabulary), layout.CONFIG["vocab_size"])}
    config = layout.CONFIG | RUN_SIZES | {"hidden_size": 384, "num_attention_heads": 6}
    layout.write_layout(folder, vocabulary, [tuple(pair) for pair in trained["merges"]], config)
    model = LlamaForCausalLM(LlamaConfig.from_pretrained(folder)).to(torch.bfloat16)
    weights = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
