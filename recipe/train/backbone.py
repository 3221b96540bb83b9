"""Whether a model folder can be trained here: its architecture, chat template, tokens and positions, and LoRA on it.

`recipe.preflight` asks. hydra_configs/model has what a backbone needs beyond its folder: a base without a chat
template (Llama) gets one there as `custom_chat_template`, which SFT saves with the model; InternLM2 is converted first
(`recipe.internlm2`). A missing pad token is no matter: verl takes the end token, and nothing is padded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.eos import end_of_turn_id
from recipe.models import safetensors_header
from recipe.models.chat import check_template, lacks_bos
from recipe.models.folder import load_tokenizer, model_config, model_folder, positions

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from transformers import PreTrainedTokenizerBase


def check(section: DictConfig, stage: str) -> tuple[Path, PreTrainedTokenizerBase]:
    """The folder of a configuration's model, fetched now if it is one of the hub's, and its tokenizer.

    `section` is verl's `model`; the tokenizer has the run's chat template. DataError for what can't be trained.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    folder = model_folder(str(Path(str(section.path)).expanduser()))
    model = model_config(folder)
    kind = model.get("model_type")
    if kind not in CONFIG_MAPPING_NAMES:
        remedy = "take another model"
        if kind == "internlm2":
            remedy = f"convert it: python -m recipe.internlm2 {section.path} --out models/internlm2_7b"
        raise DataError(f"{folder / 'config.json'}: transformers has no architecture {kind!r}; {remedy}")
    tokenizer = load_tokenizer(folder)
    own, template = tokenizer.chat_template, section.get("custom_chat_template")
    if template and stage == "grpo" and own != template:
        # verl's filter of long prompts reads the folder's template, its rollout this one.
        raise DataError(
            f"{folder}: its chat template is not the model.custom_chat_template of this run; start from a merged SFT "
            "model, or save the template there (chat_template.jinja)"
        )
    tokenizer.chat_template = template or own
    check_template(tokenizer)
    rows, last = int(model.get("vocab_size", 1 << 30)), max(tokenizer.get_vocab().values())
    if last >= rows:
        raise DataError(
            f"{folder}: the tokenizer counts to {last}, the embeddings have {rows} rows; copy the base's tokenizer"
        )
    return folder, tokenizer


def parameters(folder: Path) -> int:
    """How many parameters a folder's weights are, whatever they are stored in; the headers of the files say it.

    PyTorch's own files say nothing before they are loaded: by their sizes, at two bytes a parameter unless config.json
    has fp32.
    """
    if found := safetensors_header.tensors(folder):
        return sum(tensor.numbers for tensor in found.values())
    config = model_config(folder)
    single = "float32" in (config.get("dtype"), config.get("torch_dtype"))
    return sum(path.stat().st_size for path in folder.glob("*.bin")) // (4 if single else 2)


def check_lengths(config: DictConfig, stage: str, folder: Path) -> None:
    """DataError if the run's sequences may be longer than the model has positions for."""
    limit = positions(folder)
    keys = ("max_length",) if stage == "sft" else ("max_prompt_length", "max_response_length")
    length = sum(int(config.data[key]) for key in keys)
    if length > limit:
        said = " + ".join(f"data.{key}" for key in keys)
        raise DataError(f"{said}={length}: {folder} has {limit} positions; ask for fewer tokens")


def check_lora(section: DictConfig) -> None:
    """DataError for LoRA settings that verl would pass over in silence."""
    rank, path = int(section.get("lora_rank") or 0), section.get("lora_adapter_path")
    if int((section.get("lora") or {}).get("rank") or 0):
        raise DataError("model.lora.rank: is for Megatron, which isn't used here; set model.lora_rank")
    if path and not rank:
        raise DataError("model.lora_adapter_path: has no effect without model.lora_rank; set the adapter's")
    if path and not (Path(str(path)).expanduser() / "adapter_config.json").is_file():
        raise DataError(f"model.lora_adapter_path={path}: no adapter there; recipe.merge --adapter-only exports one")
    if rank and float(section.lora_alpha) <= 0:
        raise DataError(f"model.lora_alpha={section.lora_alpha}: the adapter would add nothing; set it to the rank")


def describe(tokenizer: PreTrainedTokenizerBase) -> str:
    """A line for people about where a turn ends."""
    end = end_of_turn_id(tokenizer)
    note = f"; note: begins without {tokenizer.bos_token}, unlike plain text" if lacks_bos(tokenizer) else ""
    return f"template   a turn ends with {tokenizer.convert_ids_to_tokens(end)} ({end}){note}"
