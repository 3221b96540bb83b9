"""Greedy completions of a model folder with vLLM, one by one as they finish, with or without a GPU."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.entities import DataError
from recipe.predictions import Prediction

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_MODEL_LEN, MAX_NEW_TOKENS = 8192, 4096  # the published evaluation's


@dataclass(frozen=True, slots=True)
class Decoding:
    """How completions are made: lengths in tokens, `batch` in sequences that are decoded at a time."""

    max_model_len: int = MAX_MODEL_LEN
    max_new_tokens: int = MAX_NEW_TOKENS
    dtype: str = "auto"
    tensor_parallel_size: int = 1
    batch: int = 256


def model_folder(model: str) -> Path:
    """The folder of a model, fetched from the Hugging Face hub or its cache if `model` is not a folder itself."""
    folder = Path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise DataError(f"{folder}: no config.json, so not a Hugging Face model folder; export one: recipe.merge")
        if not any(folder.glob("*.safetensors")) and not any(folder.glob("*.bin")):
            raise DataError(f"{folder}: no weights (*.safetensors) in it; export them: python -m recipe.merge")
        return folder
    from huggingface_hub import snapshot_download

    try:
        patterns = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
        return Path(snapshot_download(model, allow_patterns=patterns))
    except Exception as error:  # of the client's many, each means the same here
        raise DataError(f"{model}: neither a folder nor a model of the hub or its cache; check the name") from error


def load_tokenizer(folder: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder or of a model of the hub; DataError if it has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no tokenizer that can be loaded; copy the base model's tokenizer files") from error


def fingerprint(folder: Path) -> str:
    """Hex digest that changes when a model changes: its small files whole, the ends of the weight files."""
    digest = hashlib.sha256()
    patterns = ("*.json", "*.jinja", "*.safetensors", "*.bin")
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(1 << 24))
            file.seek(max(0, size - (1 << 24)))
            digest.update(file.read())
    return digest.hexdigest()


def fit_lengths(folder: Path, max_model_len: int | None, max_new_tokens: int | None) -> tuple[int, int]:
    """Both lengths in tokens for a model: None is the published one, or what the model can hold if that is less.

    DataError for a length that was asked for and is too long.
    """
    limit = _model_limit(folder)
    if max_model_len is None:
        max_model_len = min(MAX_MODEL_LEN, limit)
    elif max_model_len > limit:
        raise DataError(f"--max-model-len {max_model_len}: {folder} holds {limit} tokens at most; ask for fewer")
    if max_new_tokens is None:
        max_new_tokens = min(MAX_NEW_TOKENS, max_model_len - 1)
    elif max_new_tokens >= max_model_len:
        raise DataError(
            f"--max-new-tokens {max_new_tokens}: leaves no room for a prompt within {max_model_len} tokens of model "
            "length; ask for fewer"
        )
    return max_model_len, max_new_tokens


def _model_limit(folder: Path) -> int:
    value = _config(folder).get("max_position_embeddings")
    return value if isinstance(value, int) else 1 << 30


def _config(folder: Path) -> dict:
    """The language model's part of config.json."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{folder / 'config.json'}: not JSON ({error}); copy the file from the base model") from error
    return config.get("text_config", config)


# ------------------------------------------------------------------------------------------------------------ vLLM


def complete(
    folder: Path,
    prompts: Mapping[int, Sequence[int]],
    decoding: Decoding,
    stop_ids: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[Prediction]:
    """Greedy completions of the prompts, `{index: token ids (seq,)}`, in the order in which they finish.

    The text is decoded as verl decodes it for the reward: without special tokens. Closing the iterator ends vLLM's
    processes.
    """
    on_cpu = _prepare(folder, decoding)
    from vllm import LLM, SamplingParams

    llm = LLM(
        str(folder),
        dtype=decoding.dtype,
        max_model_len=decoding.max_model_len,
        max_num_seqs=decoding.batch,
        tensor_parallel_size=decoding.tensor_parallel_size,
        distributed_executor_backend="mp" if decoding.tensor_parallel_size > 1 else None,
        enforce_eager=on_cpu,
    )
    engine = llm.llm_engine
    greedy = SamplingParams(
        temperature=0.0, max_tokens=decoding.max_new_tokens, stop_token_ids=list(stop_ids), detokenize=False
    )
    waiting = iter(prompts.items())
    try:
        while True:
            # A few batches ahead keep it full; given all at once, it would answer none before it has read the last.
            room = 4 * decoding.batch - engine.get_num_unfinished_requests()
            for index, ids in islice(waiting, max(0, room)):
                engine.add_request(str(index), {"prompt_token_ids": list(ids)}, greedy)
            if not engine.has_unfinished_requests():
                return
            for request in engine.step():
                if request.finished:
                    made = request.outputs[0]
                    text = tokenizer.decode(made.token_ids, skip_special_tokens=True)
                    yield Prediction(int(request.request_id), text, len(made.token_ids), made.finish_reason)
    finally:
        engine.engine_core.shutdown()


def _prepare(folder: Path, decoding: Decoding) -> bool:
    """Set what vLLM reads from the environment, unless the user did. True without a GPU."""
    import torch

    on_cpu = not torch.cuda.is_available()
    defaults = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_LOGGING_STREAM": "ext://sys.stderr", "VLLM_NO_USAGE_STATS": "1"}
    if decoding.tensor_parallel_size == 1:
        # The engine within this process: it starts sooner, and nothing can outlive a Ctrl-C or a kill.
        defaults["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    if on_cpu:
        defaults |= {"TORCH_COMPILE_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": str(_cache_gib(folder, decoding))}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    return on_cpu


def _cache_gib(folder: Path, decoding: Decoding) -> int:
    """GiB of key-value cache for four sequences of full length, at four bytes a number."""
    config = _config(folder)
    heads = config["num_attention_heads"]
    width = (config.get("head_dim") or config["hidden_size"] // heads) * (config.get("num_key_value_heads") or heads)
    return math.ceil(4 * decoding.max_model_len * config["num_hidden_layers"] * 2 * width * 4 / 2**30)
