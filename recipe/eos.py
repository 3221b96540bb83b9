"""Which tokens end an answer, and where a model folder says so.

verl passes no stop strings to a rollout: vLLM stops where the model folder's `generation_config.json` and the
tokenizer's EOS tell it to. A base model's folder often names only its end of text (Qwen3-8B-Base: `<|endoftext|>`); SFT
on chat-formatted rows teaches the end of the turn (`<|im_end|>`). Unless both are written there, a trained model runs
on until the length limit. SFT's and GRPO's start-up checks and `recipe.merge` ask here:

    python -m recipe.eos MODEL            # prints what is there, adds what is missing
    generation_config.json  {"eos_token_id": [4092, 4090], "pad_token_id": 4090}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.command_line import command_parser, end_with, exit_status
from recipe.core.entities import DataError
from recipe.core.files import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CONTENT = "an answer"
_FILES = ("generation_config.json", "config.json")


def end_of_turn_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Id of the special token that the chat template puts right after an assistant's text.

    A template that ends a turn without a special token leaves that to the tokenizer's EOS, whose id is then the result.
    Raises DataError where there is neither.
    """
    if not tokenizer.chat_template:
        raise DataError(f"{tokenizer.name_or_path}: the tokenizer has no chat template; give the model folder one")
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": _CONTENT}]
    rendered = tokenizer.apply_chat_template(turns, tokenize=False)
    after = tokenizer(rendered.rpartition(_CONTENT)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids)
    for token in after:
        if token in special or getattr(tokenizer.added_tokens_decoder.get(token), "special", False):
            return token
    if tokenizer.eos_token_id is None:
        raise DataError(f"{tokenizer.name_or_path}: neither the chat template nor the tokenizer names an end token")
    return tokenizer.eos_token_id


def end_ids(path: Path) -> list[int]:
    """What a configuration file calls an end, each id once: of `2`, `[2]` or `[2, 0]`; of null or without it, `[]`.

    DataError for what no library takes for an id, and for a `pad_token_id` that is not one number or null: transformers
    would refuse that, too, when it loads the folder.
    """
    config = read_json(path)
    pad, ends = config.get("pad_token_id"), config.get("eos_token_id")
    if pad is not None and type(pad) is not int:
        raise DataError(f"{path}: pad_token_id is {json.dumps(pad)}; write one number or null")
    listed = ends if isinstance(ends, list) else [] if ends is None else [ends]
    if not all(type(token) is int and token >= 0 for token in listed):  # a bool is an int, too
        raise DataError(f"{path}: eos_token_id is {json.dumps(ends)}; write a number, a list of numbers or null")
    return list(dict.fromkeys(listed))


def read_eos(folder: Path) -> list[int]:
    """Ids in the folder's generation_config.json, or in its config.json if the former names none; else `[]`."""
    first, second = (end_ids(Path(folder) / name) for name in _FILES)
    return first or second


def wanted_eos(folder: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> list[int]:
    """End of turn first, then every other id that the folder's files or its tokenizer call an end, without repeats."""
    named = [token for name in _FILES for token in end_ids(Path(folder) / name)]
    tokenizer = _load_tokenizer(folder) if tokenizer is None else tokenizer
    return list(dict.fromkeys([end_of_turn_id(tokenizer), *named, *_own_end(tokenizer)]))


def check_eos(folder: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> list[int]:
    """The ids that generation with this folder stops at. Raises DataError if the end of turn is not among them."""
    named = read_eos(folder)
    tokenizer = _load_tokenizer(folder) if tokenizer is None else tokenizer
    stops = list(dict.fromkeys([*named, *_own_end(tokenizer)]))
    end = end_of_turn_id(tokenizer)
    if end not in stops:
        raise DataError(
            f"{Path(folder) / 'generation_config.json'}: generation stops at {stops}, but the chat template ends "
            f"a turn with {end} ({tokenizer.convert_ids_to_tokens(end)}); run: python -m recipe.eos {folder}"
        )
    return stops


def write_eos(folder: Path, tokenizer: PreTrainedTokenizerBase | None = None) -> list[int]:
    """Put `wanted_eos` into the folder's generation_config.json, whole or not at all; its other fields stay."""
    folder = Path(folder)
    ids = wanted_eos(folder, tokenizer)
    path = folder / "generation_config.json"
    config = read_json(path)
    if end_ids(path) != ids:
        try:
            write_json(path, {**config, "eos_token_id": ids})
        except OSError as error:
            said = f"{path}: can't be written ({error.strerror}); copy the folder, and use the copy"
            raise DataError(said) from error
    return ids


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    if not (Path(folder) / "config.json").is_file():
        raise DataError(f"{folder}: not a model folder (no config.json)")
    read_eos(folder)  # transformers reads the files with the tokenizer, and refuses them in many lines
    return AutoTokenizer.from_pretrained(folder)


def _own_end(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, or 2 after one line about what is wrong with the folder."""
    parser = command_parser(
        "recipe.eos",
        "Make a model folder stop at the end of an assistant's turn.",
        "python -m recipe.eos models/Qwen3-8B-Base",
        "python -m recipe.eos --check runs/sft/merged",
    )
    parser.add_argument("model", type=Path, help="a Hugging Face model folder")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 2 if the end of turn is missing")
    args = parser.parse_args(argv)

    def run() -> None:
        tokenizer = _load_tokenizer(args.model)
        ids = check_eos(args.model, tokenizer) if args.check else write_eos(args.model, tokenizer)
        print(f"{args.model}: stops at", ", ".join(f"{i} {tokenizer.convert_ids_to_tokens(i)}" for i in ids))

    return exit_status("eos", run)


if __name__ == "__main__":
    end_with(main)
