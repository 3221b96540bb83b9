"""The files of SmolLM2-135M-Instruct's folder but for its weights, laid out as published.

Old style: vocab.json and merges.txt beside tokenizer.json, one end token written as a number, a system message of its
own in the template. `<|im_end|>`, which ends a turn, is the end token in all files.
"""

from __future__ import annotations

from pathlib import Path

from recipe.core.files import write_json, write_text

TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = [
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "<file_sep>", "<filename>",
    "<gh_stars>", "<issue_start>", "<issue_comment>", "<issue_closed>", "<jupyter_start>", "<jupyter_text>",
    "<jupyter_code>", "<jupyter_output>", "<jupyter_script>", "<empty_output>",
]  # fmt: skip
BEGIN, END = 1, 2  # ids of <|im_start|> and <|im_end|>
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": BEGIN,
    "eos_token_id": END, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
    "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "pad_token_id": END, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None,
    "rope_theta": 100000, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "transformers_version": "4.42.3",
    "use_cache": True, "vocab_size": 49152,
}  # fmt: skip
GENERATION = {"_from_model_config": True, "bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": END}


def write_layout(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]], config: dict) -> None:
    """Everything but the weights, as published. `vocabulary` begins with SPECIAL."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    bpe = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), split])
    bpe.decoder = decoders.ByteLevel()
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    bpe.save(str(folder / "tokenizer.json"))
    written = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    names = {"bos_token": SPECIAL[BEGIN], "eos_token": SPECIAL[END], "pad_token": SPECIAL[END], "unk_token": SPECIAL[0]}
    tokenizer = {
        "add_prefix_space": False, "additional_special_tokens": SPECIAL[BEGIN : END + 1], "chat_template": TEMPLATE,
        "added_tokens_decoder": {str(i): {"content": token, **written} for i, token in enumerate(SPECIAL)},
        "clean_up_tokenization_spaces": False, "model_max_length": config["max_position_embeddings"],
        "tokenizer_class": "GPT2Tokenizer", "vocab_size": len(vocabulary), **names,
    }  # fmt: skip
    files = {"tokenizer_config": tokenizer, "config": config, "generation_config": GENERATION, "vocab": vocabulary}
    files["special_tokens_map"] = {**names, "additional_special_tokens": SPECIAL[BEGIN : END + 1]}
    for name, value in files.items():
        write_json(folder / f"{name}.json", value)
    write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
