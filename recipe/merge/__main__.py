"""Export of a verl checkpoint: a Hugging Face folder that transformers and vLLM load, checked against the checkpoint.

    python -m recipe.merge outputs/grpo_qwen3_8b --step 40
    merge: 1/2 merging the shards of step 40 (8 ranks, GRPO) in bf16
    ...
    outputs/grpo_qwen3_8b/merged/global_step_40
    python -m recipe.merge outputs/grpo_qwen3_8b_lora --adapter-only     # .../adapter/global_step_40, in peft's layout

verl's own merger joins the shards (SFT's or GRPO's), in bf16 and safetensors. What is added around it: the weights
become the policy's (`recipe.merge.policy`), in its precision or in --dtype, LoRA folded in; tokenizer, chat template
and generation_config come along, with the end of turn among the EOS ids (`recipe.eos`); a model card says where the
model comes from. Then the folder is loaded, generates, and is compared with the shards, which are read a second time
without verl: every weight, bit by bit, and the logits on prompts and answers of the task. The folder appears only when
all of that holds. The check takes 4 bytes of memory a weight. An adapter exported alone is loaded by peft on the
checkpoint's own base and compared in the same way.

A file that holds the policy exactly differs by the order of sums alone. A coarser --dtype may round a little, not more.
So may the folding of an adapter, whose policy never was one matrix: where that would lose much, fp32 is written.
"""

import argparse
import contextlib
import io
import logging
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from recipe.core.command_line import command_parser, end_with, exit_status, unwind_on_sigterm, verbose
from recipe.core.entities import DataError
from recipe.core.files import read_json, staged, write_json
from recipe.eos import end_ids, read_eos, write_eos
from recipe.merge.fidelity import (
    FLOAT_TOLERANCE,
    LOGIT_TOLERANCE,
    Comparison,
    Findings,
    LossyError,
    MergeError,
    check,
    check_adapter,
    check_weights,
    policy_of,
)
from recipe.merge.policy import BITS, round_all, torch_dtype
from recipe.merge.shards import load_shards, weight_names
from recipe.models import card as model_card
from recipe.models.checkpoints import Checkpoint, find_checkpoint
from recipe.models.lora import (
    base_weights,
    is_adapter,
    plain_names,
    plain_weight,
    read_lora,
    stands_alone,
    write_adapter,
)
from recipe.models.validation import best_checkpoint

_BEST = "best"


def merge(checkpoint: Checkpoint, target: Path) -> None:
    """Write verl's merge into `target`: bf16 weights (of LoRA the base alone), config, tokenizer, generation_config."""
    from verl.model_merger.base_model_merger import ModelMergerConfig
    from verl.model_merger.fsdp_model_merger import FSDPModelMerger

    for name in ("torch.distributed.device_mesh", "transformers"):  # a line a shard about torch.compile; old names
        logging.getLogger(name).setLevel(logging.ERROR)
    names = weight_names(checkpoint)
    if read_lora(checkpoint, names) and stands_alone(names):
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
    with quiet():
        FSDPModelMerger(config).merge_and_save()
    shutil.rmtree(target / "lora_adapter", ignore_errors=True)  # in bf16, beside the base
    for name in ("generation_config.json", "chat_template.jinja"):
        # As the checkpoint has them: transformers would refuse or rewrite some of the fields.
        if (checkpoint.huggingface / name).is_file():
            shutil.copyfile(checkpoint.huggingface / name, target / name)
    write_eos(target)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what verl, PyTorch and transformers print on the way, unless NER_VERBOSE is set or they fail."""
    if verbose():
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            yield
    except (DataError, LossyError, MergeError):  # they say enough
        raise
    except Exception:
        print(said.getvalue(), end="", file=sys.stderr)
        raise


def write_weights(checkpoint: Checkpoint, target: Path, policy: str, dtype: str, verls: bool = True) -> None:
    """Make the weights in `target` the policy's, stored as `dtype`.

    verl's merger knows bf16 only. Where that isn't what is wanted, its files (`verls`) say which weights stand where;
    MergeError if it read other weights than `load_shards`.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    lora = read_lora(checkpoint, weight_names(checkpoint))
    if not verls or lora or (policy, dtype) != ("bf16", "bf16"):
        state = load_shards(checkpoint)
        if verls:
            check_weights(base_weights(state), None, target, "bf16")
        names, size = plain_names(state), 0
        round_all(state, policy)
        for path in sorted(target.glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                held = list(file.keys())
            tensors = {}
            for name in held:
                tensors[name] = plain_weight(state, names[name], lora).to(torch_dtype(dtype)).contiguous()
                del state[names[name]]
            save_file(tensors, path, {"format": "pt"})
            size += sum(tensor.nbytes for tensor in tensors.values())
        _edit(target / "config.json", dtype=str(torch_dtype(dtype)).removeprefix("torch."))
        index = target / "model.safetensors.index.json"
        if index.is_file():
            _edit(index, metadata={**read_json(index)["metadata"], "total_size": size})
    for path in target.glob("*.safetensors"):
        path.chmod((target / "config.json").stat().st_mode)  # safetensors writes them for the owner alone


def _edit(path: Path, **fields: object) -> None:
    write_json(path, {**read_json(path), **fields})


def export(checkpoint: Checkpoint, out: Path, device: str = "cpu", dtype: str | None = None) -> Findings:
    """Merge, check and describe a checkpoint in `out`, which is replaced; on DataError or MergeError it stays.

    The weights are stored as `dtype`, without which it is the policy's own precision, or fp32 if an adapter needs it.
    """
    layout = _layout(checkpoint)
    read_eos(checkpoint.huggingface)  # what is wrong there is said before the minutes of work
    record, policy = policy_of(checkpoint)
    chosen = dtype or policy.name
    with staged(out) as work:
        _say(f"1/2 merging the shards of step {checkpoint.step} ({checkpoint.world_size} ranks, {layout}) in {chosen}")
        merge(checkpoint, work)
        write_weights(checkpoint, work, policy.name, chosen)
        try:
            with quiet():
                found = check(checkpoint, work, device, chosen)
        except LossyError as error:
            if dtype:
                raise MergeError(f"{error}; leave --dtype out") from error
            _say(f"{error}: the adapter is folded into fp32 weights (--adapter-only is smaller)")
            chosen = "fp32"
            write_weights(checkpoint, work, policy.name, chosen, verls=False)
            with quiet():
                found = check(checkpoint, work, device, chosen)
        facts = {"precision": f"{chosen} (policy: {policy.name}, {policy.source})"}
        facts["EOS ids"] = ", ".join(map(str, end_ids(work / "generation_config.json")))
        facts["checked against the policy"] = str(found.exported)
        facts["fp32 master"] = str(found.master or "is the policy")
        facts["update"] = str(found.update or "not measured: the base model is not here")
        _say(f"2/2 checked against the policy ({policy.name}, {policy.source}): {facts['checked against the policy']}")
        if found.master:
            _say(f"2/2 fp32 master: {facts['fp32 master']}")
        _say(f"2/2 update: {facts['update']}")
        _describe(checkpoint, record, facts, work)
    return found


def export_adapter(checkpoint: Checkpoint, out: Path, dtype: str | None = None) -> Comparison | None:
    """The adapter alone in `out`, with tokenizer and card; None where the checkpoint has no base to check it on."""
    state = load_shards(checkpoint)
    lora = read_lora(checkpoint, state)
    if lora is None:
        raise DataError(f"{checkpoint.folder}: not a LoRA run; export the model without --adapter-only")
    record, policy = policy_of(checkpoint)
    chosen = dtype or policy.name
    if record.base is None:
        raise DataError(f"{checkpoint.run}: no config.yaml names the base model; copy it from the machine that trained")
    base = str(Path(record.base).absolute()) if Path(record.base).is_dir() else record.base
    round_all(state, policy.name)
    with staged(out) as work:
        _say(f"1/2 the adapter of step {checkpoint.step}: rank {lora.rank}, alpha {lora.alpha:g}, {chosen}, for {base}")
        write_adapter(
            {name: weight.to(torch_dtype(chosen)) for name, weight in state.items() if is_adapter(name)},
            lora,
            base,
            work,
        )
        for path in checkpoint.huggingface.iterdir():
            if path.name.startswith(("token", "special_tokens", "vocab", "merges", "chat_template")):
                shutil.copyfile(path, work / path.name)
        tolerance = FLOAT_TOLERANCE if chosen in ("fp32", policy.name) else LOGIT_TOLERANCE
        comparison = None if stands_alone(state) else check_adapter(checkpoint, state, lora, work, tolerance)
        facts = {"LoRA": f"rank {lora.rank}, alpha {lora.alpha:g}"}
        facts["precision"] = f"{chosen} (policy: {policy.name}, {policy.source})"
        facts["checked against the policy"] = str(comparison or "no: it was saved without the model")
        _describe(checkpoint, record, facts, work, library="peft")
        for path in work.iterdir():
            path.chmod(0o644)  # safetensors writes for its owner alone
    _say(f"2/2 {facts['checked against the policy']}")
    return comparison


def _describe(
    checkpoint: Checkpoint,
    record: model_card.RunRecord,
    facts: dict[str, str],
    work: Path,
    library: str = "transformers",
) -> None:
    """The card, and beside it the configuration and the data's manifest."""
    card = model_card.render(record, checkpoint.step, _layout(checkpoint), facts, library)
    (work / "README.md").write_text(card, encoding="utf-8")
    if record.config_file:
        shutil.copyfile(record.config_file, work / model_card.config_name(record))
    if record.manifest_file:
        shutil.copyfile(record.manifest_file, work / "data_manifest.json")


def _layout(checkpoint: Checkpoint) -> str:
    return "GRPO" if checkpoint.folder.name == "actor" else "SFT"


def _say(text: str) -> None:
    print(f"merge: {text}", file=sys.stderr, flush=True)


def _step(text: str) -> int | str | None:
    if text == "latest":
        return None
    if text == _BEST:
        return text
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number, 'latest' nor {_BEST!r}")
    return int(text)


def _find(run: Path, step: int | str | None) -> Checkpoint:
    if step != _BEST:
        return find_checkpoint(run, step)
    checkpoint, lines = best_checkpoint(run)
    for line in lines:
        _say(line)
    return checkpoint


def main(argv: list[str] | None = None) -> int:
    """Run the command; 0, 1 if the export does not reproduce the policy, 2 if the input is wrong."""
    parser = command_parser(
        "recipe.merge",
        __doc__.split("\n", 1)[0],
        "python -m recipe.merge outputs/sft_tiny",
        "python -m recipe.merge outputs/grpo_qwen3_8b --step 40 --out models/ner-8b",
        "python -m recipe.merge outputs/grpo_qwen3_8b --step best       # by validation",
        "python -m recipe.merge outputs/grpo_qwen3_8b --device cuda",
        "python -m recipe.merge outputs/grpo_qwen3_8b --dtype fp32",
        "python -m recipe.merge outputs/sft_qwen3_8b_lora --adapter-only",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder that holds global_step_N")
    parser.add_argument(
        "--step", type=_step, default=None, metavar="N|latest|best", help="best by validation; default latest"
    )
    parser.add_argument("--out", type=Path, help="the folder to make (default RUN/merged or RUN/adapter/global_step_N)")
    parser.add_argument(
        "--dtype", choices=list(BITS), help="how weights are stored (default: the precision of the run's policy)"
    )
    parser.add_argument("--adapter-only", action="store_true", help="of a LoRA run: the adapter, for peft and vLLM")
    parser.add_argument("--overwrite", action="store_true", help="replace --out if it is there")
    parser.add_argument("--device", default="cpu", help="where the check computes: cpu (fp32, 4 bytes a weight), cuda")
    args = parser.parse_args(argv)

    def run() -> int:
        checkpoint = _find(args.run, args.step)
        kind = "adapter" if args.adapter_only else "merged"
        out = args.out or checkpoint.run / kind / f"global_step_{checkpoint.step}"
        if out.exists() and not args.overwrite:
            raise DataError(f"{out}: exists; give another --out, or --overwrite to replace it")
        try:
            if args.adapter_only:
                export_adapter(checkpoint, out, args.dtype)
            else:
                export(checkpoint, out, args.device, args.dtype)
        except MergeError as error:
            print(f"merge: nothing was written: {error}", file=sys.stderr)
            return 1
        print(out)
        return 0

    return exit_status("merge", run)


if __name__ == "__main__":
    unwind_on_sigterm()
    end_with(main)
