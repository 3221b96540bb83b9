"""Export of a verl checkpoint: a Hugging Face folder that transformers and vLLM load, checked against the checkpoint.

    python -m recipe.merge outputs/grpo_qwen3_8b --step 40
    merge: 1/4 merging the shards of step 40 (8 ranks, GRPO)
    ...
    outputs/grpo_qwen3_8b/merged/global_step_40
    python -m recipe.merge outputs/grpo_qwen3_8b_lora --adapter-only     # .../adapter/global_step_40, in peft's layout

verl's own merger joins the shards (SFT's or GRPO's), in bf16 and safetensors. What is added around it: LoRA weights are
folded in; tokenizer, chat template and generation_config come along, with the end of turn among the EOS ids
(`recipe.eos`); a model card says where the model comes from. Then the folder is loaded, generates, and is compared with
the shards, which are read a second time without verl: every weight, and the logits on prompts and answers of the task.
The folder appears only when all of that holds. The check takes 4 bytes of memory a weight. An adapter exported alone is
loaded by peft on the checkpoint's own base and compared in the same way.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import model_card
from recipe.checkpoints import Checkpoint, find_checkpoint
from recipe.command_line import exit_status
from recipe.entities import DataError, Entity, Example
from recipe.eos import end_ids, end_of_turn_id, read_eos, write_eos
from recipe.lora import Lora, base_weights, fold_lora, read_lora, stands_alone, write_adapter

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# bf16 keeps 8 significant bits, so rounding moves a number by at most 2^-9 of itself. Folded LoRA rounds twice.
WEIGHT_TOLERANCE = 2.0**-8
# Logits are sums over many rounded weights, whose errors are independent: of the order of one rounding, more in depth.
LOGIT_TOLERANCE = 2.0**-5
# An adapter is exported in the run's precision and compared in fp32; only the order of the sums differs.
ADAPTER_TOLERANCE = 1e-4
EMBEDDING, TIED = "model.embed_tokens.weight", "lm_head.weight"


class MergeError(RuntimeError):
    """The exported folder does not reproduce the checkpoint. The message is one line."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the exported model differs from the checkpoint, computed in fp32 on the same tokens.

    `relative_error` is |difference| / |logits| (L2), `agreement` the share of positions with the same best token.
    """

    tokens: int
    relative_error: float
    agreement: float
    tolerance: float

    def __str__(self) -> str:
        return (
            f"relative logit error {self.relative_error:.1e} (at most {self.tolerance:.1e}), "
            f"same best token at {self.agreement:.1%} of {self.tokens} positions"
        )


# ---------------------------------------------------------------------------------------------- checkpoint, unsharded


def load_shards(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """Parameter name -> whole tensor, in the run's own precision, on the CPU. Reads the shards without verl.

    With replicas (HSDP) the first one is read. DataError if the shards don't make up the shapes that they declare.
    """
    import torch
    from torch.distributed.tensor import DTensor
    from tqdm import tqdm

    pieces: dict[str, list[torch.Tensor]] = {}
    declared: dict[str, DTensor | torch.Tensor] = {}
    shards = checkpoint.shards
    for rank, path in enumerate(tqdm(shards, desc="reading shards", unit="rank", leave=False)):
        for name, value in torch.load(path, map_location="cpu", weights_only=False, mmap=True).items():
            if isinstance(value, DTensor):
                if rank < value.device_mesh.mesh.shape[-1]:  # the rest are replicas
                    pieces.setdefault(name, []).append(value.to_local())
            elif rank == 0:
                pieces[name] = [value]
            declared.setdefault(name, value)
    whole = {}
    for name, value in declared.items():
        placement = value.placements[-1] if isinstance(value, DTensor) else None
        parts = pieces[name]
        whole[name] = torch.cat(parts, dim=placement.dim) if placement and placement.is_shard() else parts[0]
        if whole[name].shape != value.shape:
            raise DataError(
                f"{checkpoint.folder}: the shards of {name} make up {tuple(whole[name].shape)}, not "
                f"{tuple(value.shape)}; they are not of the same run"
            )
    return whole


# -------------------------------------------------------------------------------------------------------------- merge


def merge(checkpoint: Checkpoint, target: Path) -> None:
    """Write the checkpoint's weights (bf16, safetensors), config, tokenizer and generation_config into `target`."""
    import torch
    from verl.model_merger.base_model_merger import ModelMergerConfig
    from verl.model_merger.fsdp_model_merger import FSDPModelMerger

    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)  # a line a shard about torch.compile
    names = torch.load(checkpoint.shards[0], map_location="cpu", weights_only=False, mmap=True).keys()
    lora = read_lora(checkpoint, names)
    if lora and stands_alone(names):
        raise DataError(
            f"{checkpoint.folder}: holds the LoRA adapter alone (save_lora_only); export it with --adapter-only"
        )
    config = ModelMergerConfig(
        operation="merge",
        backend="fsdp",
        local_dir=str(checkpoint.folder),
        hf_model_config_path=str(checkpoint.huggingface),
        target_dir=str(target),
    )
    with contextlib.redirect_stdout(sys.stderr):
        FSDPModelMerger(config).merge_and_save()
    if lora:
        _fold_adapter(checkpoint, target)
    for name in ("generation_config.json", "chat_template.jinja"):
        # As the checkpoint has them: transformers would refuse or rewrite some of the fields.
        if (checkpoint.huggingface / name).is_file():
            shutil.copyfile(checkpoint.huggingface / name, target / name)
    write_eos(target)
    for path in target.glob("*.safetensors"):
        path.chmod((target / "config.json").stat().st_mode)  # safetensors writes them for the owner alone


def _fold_adapter(checkpoint: Checkpoint, target: Path) -> None:
    """verl's merger leaves LoRA beside the base weights; fold it in, so that the folder is one plain model."""
    import torch
    from peft import PeftModel
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    folder = target / "lora_adapter"
    # verl rounds A and B to bf16, whose product would then be off by more than the sum's own rounding.
    exact = {name: value.float() for name, value in load_shards(checkpoint).items() if ".lora_" in name}
    exact = {name.replace(".default.weight", ".weight"): value.contiguous() for name, value in exact.items()}
    save_file(exact, folder / "adapter_model.safetensors")
    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    folded = PeftModel.from_pretrained(model, folder).merge_and_unload()
    folded.to(torch.bfloat16).save_pretrained(target)
    shutil.rmtree(folder)


# -------------------------------------------------------------------------------------------------------------- check


def check(checkpoint: Checkpoint, target: Path, device: str = "cpu") -> Comparison:
    """Load `target` and compare it with the checkpoint's shards. MergeError says what differs."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if any(target.glob("*.bin")) or not any(target.glob("*.safetensors")):
        raise MergeError(f"{target}: the weights are not in safetensors")
    tokenizer = AutoTokenizer.from_pretrained(target)
    sequences = task_sequences(tokenizer)
    _check_tokenizer(AutoTokenizer.from_pretrained(checkpoint.huggingface), tokenizer, sequences)

    model, loading = AutoModelForCausalLM.from_pretrained(target, dtype=torch.bfloat16, output_loading_info=True)
    if loading["missing_keys"] or loading["unexpected_keys"] or loading["mismatched_keys"]:
        raise MergeError(f"{target}: does not load cleanly: {loading}")
    _check_generation(target, model.to(device), tokenizer, sequences[0])
    exported = _logits(model.float(), sequences, device)
    del model

    state = load_shards(checkpoint)
    if lora := read_lora(checkpoint, state):
        state = fold_lora(state, lora)
    _check_weights(state, target)
    return compare_logits(_logits(_plain_model(checkpoint, state), sequences, device), exported)


def check_adapter(checkpoint: Checkpoint, state: dict[str, torch.Tensor], lora: Lora, target: Path) -> Comparison:
    """Load the adapter in `target` with peft, on the checkpoint's own base, and compare it with the folded shards."""
    from peft import PeftModel
    from transformers import AutoTokenizer

    sequences = task_sequences(AutoTokenizer.from_pretrained(target))
    reference = _logits(_plain_model(checkpoint, fold_lora(state, lora)), sequences, "cpu")
    model = PeftModel.from_pretrained(_plain_model(checkpoint, base_weights(state)), target)
    return compare_logits(reference, _logits(model, sequences, "cpu"), ADAPTER_TOLERANCE)


def compare_logits(reference: torch.Tensor, exported: torch.Tensor, tolerance: float | None = None) -> Comparison:
    """Both (tokens, vocabulary). MergeError if they differ by more than `tolerance`, else what bf16 weights explain."""
    error = ((exported - reference).norm() / reference.norm()).item()
    same = (exported.argmax(-1) == reference.argmax(-1)).float().mean().item()
    comparison = Comparison(len(reference), error, same, LOGIT_TOLERANCE if tolerance is None else tolerance)
    if not error <= comparison.tolerance:  # NaN, too
        raise MergeError(f"the exported model's logits differ from the checkpoint's: {comparison}")
    return comparison


def task_sequences(tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Token ids of a few prompts and answers of the task, as in training."""
    from recipe.answers import json_answer
    from recipe.chat import encode_prompt

    drugs = (Entity("Naloxone", "chemical"), Entity("hypotensive", "disease"))
    places = (Entity("東京", "location"), Entity("Zoë O'Neil", "person"))
    examples = (
        Example("Naloxone reverses the hypotensive effect of clonidine .", ("chemical", "disease"), drugs),
        Example("Zoë O'Neil moved to 東京 in 1987 😀 .", ("location", "organization", "person"), places),
        Example("It rained all day .", ("location", "person"), ()),
    )
    sequences = []
    for example in examples:
        prompt = encode_prompt(tokenizer, [{"role": "user", "content": json_answer.render_prompt(example)}])
        answer = json_answer.render_answer(example.entities, "The names stand in the sentence.")
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        sequences.append([*prompt, *ids, end_of_turn_id(tokenizer)])
    return sequences


def _check_tokenizer(
    before: PreTrainedTokenizerBase, after: PreTrainedTokenizerBase, sequences: list[list[int]]
) -> None:
    if before.chat_template != after.chat_template:
        raise MergeError("the exported chat template is not the checkpoint's")
    if task_sequences(before) != sequences or before.get_vocab() != after.get_vocab():
        raise MergeError("the exported tokenizer is not the checkpoint's")


def _check_weights(state: dict[str, torch.Tensor], target: Path) -> None:
    """Every weight in the folder is the checkpoint's, rounded; one left out is tied to one that is there."""
    from safetensors import safe_open

    absent = set(state)
    for path in sorted(target.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no mapping)
                if name not in state:
                    raise MergeError(f"{name}: in the exported model, but not in the checkpoint")
                _check_weight(name, state[name], file.get_tensor(name))
                absent.discard(name)
    for name in sorted(absent):
        if name != TIED or not _ties(target):
            raise MergeError(f"{name}: in the checkpoint, but not in the exported model")
        _check_weight(name, state[name], state[EMBEDDING])


def _check_weight(name: str, source: torch.Tensor, exported: torch.Tensor) -> None:
    source = source.float()
    slack = WEIGHT_TOLERANCE * (source.abs() + source.abs().mean())
    if exported.shape != source.shape or not bool(((exported.float() - source).abs() <= slack).all()):
        raise MergeError(f"{name}: not the checkpoint's weight rounded to bf16")


def _ties(folder: Path) -> bool:
    return bool(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("tie_word_embeddings"))


def _check_generation(
    target: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, sequence: list[int]
) -> None:
    import torch

    if end_of_turn_id(tokenizer) not in end_ids(target / "generation_config.json"):
        raise MergeError("the exported generation_config does not stop at the end of turn")
    ids = torch.tensor([sequence[: len(sequence) // 2]], device=model.device)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    with torch.inference_mode():
        mask = torch.ones_like(ids)
        out = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False, pad_token_id=pad)
    if out.shape[1] <= ids.shape[1]:
        raise MergeError("the exported model generates nothing")


def _plain_model(checkpoint: Checkpoint, state: dict[str, torch.Tensor]) -> PreTrainedModel:
    """A model of the checkpoint's weights in fp32, nothing tied: what was trained is what counts."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(checkpoint.huggingface)
    state = {name: value.float() for name, value in state.items()}
    if config.tie_word_embeddings:
        config.tie_word_embeddings = False
        state.setdefault(TIED, state[EMBEDDING])
    with init_empty_weights():
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict(state, assign=True)
    return model


def _logits(model: PreTrainedModel, sequences: list[list[int]], device: str) -> torch.Tensor:
    """(tokens, vocabulary) in fp32 on the CPU, the sequences one after the other."""
    import torch

    model.to(device).eval()
    with torch.inference_mode():
        return torch.cat([model(torch.tensor([ids], device=device)).logits[0].float().cpu() for ids in sequences])


# ------------------------------------------------------------------------------------------------------- command line


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends, and vanishes when it fails."""
    out.parent.mkdir(parents=True, exist_ok=True)
    work, old = (out.with_name(f".{out.name}.{os.getpid()}.{suffix}") for suffix in ("new", "old"))
    work.mkdir()
    try:
        yield work
        if out.exists():
            out.rename(old)
        work.rename(out)
    finally:
        for path in (work, old):
            shutil.rmtree(path, ignore_errors=True)


def export(checkpoint: Checkpoint, out: Path, device: str = "cpu") -> Comparison:
    """Merge, check and describe a checkpoint in `out`, which is replaced; on DataError or MergeError it stays."""
    layout = "GRPO" if checkpoint.folder.name == "actor" else "SFT"
    read_eos(checkpoint.huggingface)  # what is wrong there is said before the minutes of work
    with staged(out) as work:
        _say(f"1/4 merging the shards of step {checkpoint.step} ({checkpoint.world_size} ranks, {layout})")
        merge(checkpoint, work)
        _say("2/4 comparing the folder with the shards: weights, logits, generation")
        comparison = check(checkpoint, work, device)
        _say(f"3/4 {comparison}")
        record = model_card.read_run(checkpoint.run, checkpoint.step)
        ends = end_ids(work / "generation_config.json")
        facts = {
            "precision": "bf16",
            "EOS ids": ", ".join(map(str, ends)),
            "checked against the checkpoint": str(comparison),
        }
        (work / "README.md").write_text(model_card.render(record, checkpoint.step, layout, facts), encoding="utf-8")
        if record.config_file:
            shutil.copyfile(record.config_file, work / model_card.config_name(record))
        if record.manifest_file:
            shutil.copyfile(record.manifest_file, work / "data_manifest.json")
    _say("4/4 done")
    return comparison


def export_adapter(checkpoint: Checkpoint, out: Path) -> Comparison | None:
    """The adapter alone in `out`, with tokenizer and card; None where the checkpoint has no base to check it on."""
    state = load_shards(checkpoint)
    lora = read_lora(checkpoint, state)
    if lora is None:
        raise DataError(f"{checkpoint.folder}: not a LoRA run; export the model without --adapter-only")
    record = model_card.read_run(checkpoint.run, checkpoint.step)
    if record.base is None:
        raise DataError(f"{checkpoint.run}: no config.yaml names the base model; copy it from the machine that trained")
    base = str(Path(record.base).absolute()) if Path(record.base).is_dir() else record.base
    with staged(out) as work:
        _say(f"1/2 the adapter of step {checkpoint.step}: rank {lora.rank}, alpha {lora.alpha:g}, for {base}")
        write_adapter(state, lora, base, work)
        for path in checkpoint.huggingface.iterdir():
            if path.name.startswith(("token", "special_tokens", "vocab", "merges", "chat_template")):
                shutil.copyfile(path, work / path.name)
        comparison = None if stands_alone(state) else check_adapter(checkpoint, state, lora, work)
        facts = {"LoRA": f"rank {lora.rank}, alpha {lora.alpha:g}"}
        facts["checked against the checkpoint"] = str(comparison or "no: it was saved without the model")
        layout = "GRPO" if checkpoint.folder.name == "actor" else "SFT"
        card = model_card.render(record, checkpoint.step, layout, facts, library="peft")
        (work / "README.md").write_text(card, encoding="utf-8")
        if record.config_file:
            shutil.copyfile(record.config_file, work / model_card.config_name(record))
        for path in work.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner alone
    _say(f"2/2 {facts['checked against the checkpoint']}")
    return comparison


def _say(text: str) -> None:
    print(f"merge: {text}", file=sys.stderr, flush=True)


def _step(text: str) -> int | None:
    if text == "latest":
        return None
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'latest'")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, 1 if the export does not reproduce the checkpoint, 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m recipe.merge",
        description=__doc__.split("\n", 1)[0],
        epilog="examples:\n"
        "  python -m recipe.merge outputs/sft_tiny\n"
        "  python -m recipe.merge outputs/grpo_qwen3_8b_paper --step 40 --out models/ner-8b\n"
        "  python -m recipe.merge outputs/grpo_qwen3_8b_paper --device cuda\n"
        "  python -m recipe.merge outputs/sft_qwen3_8b_lora --adapter-only",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that holds global_step_N")
    parser.add_argument("--step", type=_step, default=None, metavar="N|latest", help="default latest")
    parser.add_argument("--out", type=Path, help="the folder to make (default RUN/merged or RUN/adapter/global_step_N)")
    parser.add_argument("--adapter-only", action="store_true", help="of a LoRA run: the adapter, for peft and vLLM")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it is there")
    parser.add_argument("--device", default="cpu", help="where the check computes: cpu (fp32, 4 bytes a weight), cuda")
    args = parser.parse_args(argv)

    def run() -> int:
        checkpoint = find_checkpoint(args.run, args.step)
        kind = "adapter" if args.adapter_only else "merged"
        out = args.out or checkpoint.run / kind / f"global_step_{checkpoint.step}"
        if out.exists() and not args.overwrite:
            raise DataError(f"{out}: exists; give another --out, or --overwrite to replace it")
        try:
            if args.adapter_only:
                export_adapter(checkpoint, out)
            else:
                export(checkpoint, out, args.device)
        except MergeError as error:
            print(f"merge: nothing was written: {error}", file=sys.stderr)
            return 1
        print(out)
        return 0

    return exit_status("merge", run)


if __name__ == "__main__":
    sys.exit(main())
