"""What bf16 does to a GRPO update without a GPU: the time it saves, and how far it turns the gradient.

    python tests/benchmarks/cpu_bf16.py [--model recipe/tiny_model/base ...] [--prompts 4] [--answers 8] [--threads 1]

Prompts of data_prep/sample and the model's own answers to them: one batch for all precisions, each a process of its
own. The ratio that GRPO clips is taken to old log-probabilities in fp32, as vLLM gives them here (`bypass_mode`), or to
those of a second pass in the update's own precision, whose time is then the step's. Or there is none: with one update a
batch it is 1, and `policy_loss.loss_mode=gpg` takes the same gradient from the log-probabilities alone. Gains and
cosines are against fp32 without a second pass; `clipped` is verl's `actor/pg_clipfrac`. Seconds are the CPU's (all
threads), of the cheapest of three. Prints a table and writes cpu_bf16.json beside this file.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from time import process_time

from cpu_update import ROOT, grpo_batch, grpo_loss, in_a_process, jagged, rows, train_engine

FLAGS = ("avx512_bf16", "amx_bf16")  # what makes a CPU multiply in bf16 itself
BF16 = {"param_dtype": "bf16", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
# name: what is set of `actor_rollout_ref.actor.fsdp_config`; what PyTorch is told of fp32 after the engine told it
PRECISIONS = {
    "fp32": ({}, None),
    "fp32, MKL's products": ({}, "highest"),
    "mixed_precision bf16": ({"mixed_precision": BF16}, None),
    "mixed_precision and model_dtype bf16": ({"mixed_precision": BF16, "model_dtype": "bf16"}, None),
}
OLD = ("fp32", "own", "none")  # whose log-probabilities the ratio is taken to
LONGEST = 128  # tokens of an answer
TOKENS = 4096  # of a micro-batch


def cpu_named() -> tuple[str, list[str]]:
    """The CPU's name, and those of FLAGS that it has."""
    import torch

    has = torch.cpu.get_capabilities()
    return has["cpu_name"], [flag for flag in FLAGS if has.get(flag)]


def answer(model: str, asked: list[list[int]], answers: int) -> list[list[int]]:
    """The model's answers to prompts that each stand in `asked` `answers` times, up to their end token."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    end = loaded.generation_config.eos_token_id
    ends = set(end if isinstance(end, list) else [end])
    how = {"do_sample": True, "temperature": 0.8, "top_k": 0, "top_p": 1.0, "max_new_tokens": LONGEST}
    said = []
    for prompt in asked[::answers]:
        ids = torch.tensor([prompt])
        given = loaded.generate(
            ids, attention_mask=ids.new_ones(ids.shape), num_return_sequences=answers, pad_token_id=min(ends), **how
        )
        for row in given[:, len(prompt) :].tolist():
            last = next((at for at, token in enumerate(row) if token in ends), len(row))
            said.append(row[: last + 1])
    return said


def measure(model: str, work: Path, precision: str, prompts: int, answers: int) -> dict:
    """Three passes and three steps, in this process; fp32 comes first and leaves in `work` what the others read."""
    import torch
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.padding import no_padding_2_padding

    settings, products = PRECISIONS[precision]
    engine = train_engine(model, lr=0.0, **settings)
    if products:
        torch.set_float32_matmul_precision(products)
    first = precision == "fp32"
    if first:
        asked, _ = rows(engine.model_config.tokenizer, prompts, answers)
        torch.save((asked, answer(model, asked, answers)), work / "rows.pt")
    asked, said = torch.load(work / "rows.pt")
    fields, numbers = grpo_batch(asked, said, answers, TOKENS)
    losses = {old: grpo_loss(answers, "gpg" if old == "none" else "vanilla") for old in OLD}

    def batch(**more):
        return tu.get_tensordict(tensor_dict=fields | more, non_tensor_dict=dict(numbers))

    def log_probs() -> list[torch.Tensor]:
        """Of each answer's tokens, as this precision has them."""
        padded = no_padding_2_padding(engine.infer_batch(batch())["model_output"]["log_probs"], batch())
        return [row[: len(tokens)].float() for row, tokens in zip(padded, said, strict=True)]

    passes, steps, found = [], [], {}
    with engine.train_mode():
        for _ in range(3):
            before = process_time()
            own = log_probs()
            passes.append(process_time() - before)
        if first:
            torch.save(own, work / "old.pt")
        for old in OLD:
            against = batch(old_log_probs=jagged(own if old == "own" else torch.load(work / "old.pt")))
            before = process_time()
            metrics = engine.train_batch(against, loss_function=losses[old])["metrics"]
            steps.append(process_time() - before)
            gradient = torch.cat([p.grad.full_tensor().double().flatten() for p in engine.module.parameters()])
            if first and old == "fp32":
                torch.save(gradient, work / "gradient.pt")
            cosine = torch.cosine_similarity(gradient, torch.load(work / "gradient.pt"), dim=0).item()
            clipped = metrics["actor/pg_clipfrac"].aggregate() if "actor/pg_clipfrac" in metrics else 0.0
            found[old] = {"cosine": round(cosine, 4), "clipped": round(clipped, 4)}
    counts = {"tokens": sum(map(len, asked + said)), "answer_tokens": sum(map(len, said))}
    return counts | {"step_seconds": round(min(steps), 2), "pass_seconds": round(min(passes), 2), "old": found}


def compare(model: str, threads: int, arguments: list[str]) -> dict:
    """What `measure` finds in each precision, with the gain of each; printed as it comes."""
    results = {}
    with tempfile.TemporaryDirectory() as work:
        for precision in PRECISIONS:
            only = [*arguments, "--model", model, "--only", work, precision]
            results[precision] = result = in_a_process(__file__, only, threads, "cpu")
            for old in OLD:
                taken = result["step_seconds"] + (result["pass_seconds"] if old == "own" else 0)
                row = result["old"][old]
                row["gain"] = round(results["fp32"]["step_seconds"] / taken, 2)
                print(
                    f"{precision:38} old: {old:4} {taken:>7.2f} s  gain {row['gain']:.2f}"
                    f"  cosine {row['cosine']:.4f}  clipped {row['clipped']:.2%}",
                    flush=True,
                )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=[str(ROOT / "recipe" / "tiny_model" / "base")])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        work, precision = args.only
        print(json.dumps(measure(args.model[0], Path(work), precision, args.prompts, args.answers)))
        return
    name, flags = cpu_named()
    if not flags:
        print(f"skipped: {name} has none of {', '.join(FLAGS)}")
        return
    from recipe.core.files import write_json

    models = {}
    for model in args.model:
        folder = Path(model).resolve()
        inside = folder.is_relative_to(ROOT)
        print(model, flush=True)
        models[str(folder.relative_to(ROOT)) if inside else folder.name] = compare(model, args.threads, sys.argv[1:])
    run = {"cpu": name, "flags": flags, "threads": args.threads, "prompts": args.prompts, "answers": args.answers}
    write_json(Path(__file__).with_suffix(".json"), run | {"models": models})


if __name__ == "__main__":
    main()
