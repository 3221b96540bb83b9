"""A Hugging Face model folder: where it is, its tokenizer, its configuration, how many tokens it holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.core.files import read_json
from recipe.core.imports import first_import_of
from recipe.eos import read_eos

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# GPT-2's and GPT-J's files name it their own way, MPT's and those of early ports too.
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
MAX_MODEL_LEN, MAX_NEW_TOKENS = 8192, 4096  # the published evaluation's


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
    read_eos(Path(folder))  # transformers would refuse what is no token id in many lines
    try:
        with first_import_of("torch"):
            from transformers import AutoTokenizer

            return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: no tokenizer that can be loaded; copy the base model's tokenizer files") from error


def fit_lengths(folder: Path, max_model_len: int | None, max_new_tokens: int | None) -> tuple[int, int]:
    """Both lengths in tokens for a model: None is the published one, or what the model can hold if that is less.

    DataError for a length that was asked for and is too long.
    """
    limit = positions(folder)
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


def positions(folder: Path) -> int:
    """How many tokens a model holds, a large number where its configuration doesn't say."""
    config = model_config(folder)
    return next((config[name] for name in _POSITIONS if isinstance(config.get(name), int)), 1 << 30)


def model_config(folder: Path) -> dict:
    """The language model's part of config.json."""
    config = read_json(folder / "config.json")
    return config.get("text_config", config)
