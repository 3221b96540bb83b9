"""Time of one optimizer step without a GPU: verl's engine, ours, and ours with one of its steps left out.

    python tests/benchmarks/cpu_update.py [--model recipe/tiny_model/base] [--prompts 4] [--answers 8] [--threads 1]

Prompts and answers of data_prep/sample, as GRPO (every prompt with `answers` of the answers) and as SFT sees them. Each
variant is a process of its own; seconds are the CPU's (all threads), of the cheapest of three steps, so that other work
on the machine counts little. Prints a table and writes cpu_update.json beside this file.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import process_time

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

# name: (GRPO or SFT, verl's name of the engine's vendor, tokens a micro-batch, the step that is left out)
VARIANTS = {
    "GRPO, verl's engine": ("grpo", "none", 1024, None),
    "GRPO, verl's engine, larger micro-batches": ("grpo", "none", 4096, None),
    "GRPO, ours": ("grpo", "cpu", 4096, None),
    "GRPO, ours, small micro-batches": ("grpo", "cpu", 1024, None),
    "GRPO, ours, a prompt for each answer": ("grpo", "cpu", 4096, "prompts"),
    "GRPO, ours, the vocabulary at every token": ("grpo", "cpu", 4096, "logits"),
    "GRPO, ours, SDPA with a mask": ("grpo", "cpu", 1024, "attention"),
    "SFT, verl's engine": ("sft", "none", 1024, None),
    "SFT, ours": ("sft", "cpu", 4096, None),
    "SFT, ours, the vocabulary at every token": ("sft", "cpu", 4096, "logits"),
    "SFT, ours, SDPA with a mask": ("sft", "cpu", 1024, "attention"),
}


def rows(tokenizer, prompts: int, answers: int) -> tuple[list[list[int]], list[list[int]]]:
    """Prompts, each `answers` times, and an answer to each, as token ids."""
    from recipe.answers import json_answer
    from recipe.answers.prompt import fill
    from recipe.answers.think import template_reasoning
    from recipe.corpora import datasets

    found, _ = datasets.find_datasets(ROOT / "data_prep" / "sample" / "IE_INSTRUCTIONS" / "NER")
    read = [example for dataset in found for example in datasets.read_dataset(dataset, "train")][: prompts * answers]
    asked = [fill(example, json_answer.DEFAULT_TEMPLATE) for example in read[:prompts]]
    said = [json_answer.render_entities(example.entities, template_reasoning(example)) for example in read]
    messages = [[{"role": "user", "content": prompt}] for prompt in asked for _ in range(answers)]
    ids = [tokenizer.apply_chat_template(m, add_generation_prompt=True, return_dict=False) for m in messages]
    return ids, [tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in said]


def train_engine(model: str, lr: float, **settings):
    """The engine that VERL_ENGINE_VENDOR names, set as in hydra_configs/hardware/cpu.yaml but for `settings`."""
    from verl.trainer.config import CheckpointConfig
    from verl.utils.distributed import initialize_global_process_group
    from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
    from verl.workers.engine import EngineRegistry

    initialize_global_process_group()
    fp32 = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    engine = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(
            path=model, enable_gradient_checkpointing=False, override_config={"attn_implementation": "sdpa"}
        ),
        engine_config=FSDPEngineConfig(
            **{"strategy": "fsdp2", "use_torch_compile": False, "mixed_precision": fp32} | settings
        ),
        optimizer_config=FSDPOptimizerConfig(lr=lr, total_training_steps=3),
        checkpoint_config=CheckpointConfig(),
    )
    engine.initialize()
    return engine


def jagged(tensors: list):
    """Tensors of different lengths as verl's batches have them."""
    import torch

    return torch.nested.as_nested_tensor(tensors, layout=torch.jagged)


def whole_rows(asked: list[list[int]], said: list[list[int]]) -> dict:
    """The fields of a batch that GRPO and SFT have in common: prompts with their answers."""
    import torch

    whole = [torch.tensor(prompt + answer) for prompt, answer in zip(asked, said, strict=True)]
    return {"input_ids": jagged(whole), "position_ids": jagged([torch.arange(len(row)) for row in whole])}


def grpo_batch(asked: list[list[int]], said: list[list[int]], answers: int, tokens: int) -> tuple[dict, dict]:
    """A batch of GRPO but for its `old_log_probs`: tensors, and numbers. Each group's rewards are 0, 1, 2, ..."""
    import torch

    ones = jagged([torch.ones(len(answer), dtype=torch.long) for answer in said])
    middle = (answers - 1) / 2
    fields = whole_rows(asked, said) | {
        "prompts": jagged([torch.tensor(prompt) for prompt in asked]),
        "responses": jagged([torch.tensor(answer) for answer in said]),
        "response_mask": ones,
        "loss_mask": ones,
        "advantages": jagged([torch.full((len(answer),), i % answers - middle) for i, answer in enumerate(said)]),
    }
    numbers = {"use_dynamic_bsz": True, "max_token_len_per_gpu": tokens, "global_batch_size": len(said)}
    return fields, numbers | {"temperature": 0.8, "calculate_entropy": False}


def grpo_loss(answers: int, mode: str = "vanilla"):
    """verl's loss of GRPO with its default clip, or another `policy_loss.loss_mode`."""
    from functools import partial

    from verl.workers.config import FSDPActorConfig, PolicyLossConfig
    from verl.workers.utils.losses import ppo_loss

    of = {"strategy": "fsdp2", "rollout_n": answers, "use_dynamic_bsz": True}
    return partial(ppo_loss, config=FSDPActorConfig(**of, policy_loss=PolicyLossConfig(loss_mode=mode)))


def measure(model: str, prompts: int, answers: int, kind: str, tokens: int, without: str | None) -> dict:
    """Three steps of the engine that VERL_ENGINE_VENDOR names, in this process."""
    from functools import partial

    import torch
    from verl.utils import tensordict_utils as tu
    from verl.workers.utils.losses import sft_loss

    from recipe.engines import cpu as cpu_engine

    engine = train_engine(model, lr=1e-4)
    if without == "attention":
        engine.by_row = False
        engine.module.set_attn_implementation("sdpa")
    elif without == "logits":
        cpu_engine.read_positions = lambda rows, mask: torch.arange(rows.values().numel())
    shape = (prompts, answers) if kind == "grpo" else (prompts * answers, 1)
    asked, said = rows(engine.model_config.tokenizer, *shape)
    count = sum(map(len, asked + said))
    if kind == "grpo":
        loss = grpo_loss(answers)
        fields, numbers = grpo_batch(asked, said, answers, tokens)
        fields["old_log_probs"] = jagged([torch.full((len(answer),), -5.0) for answer in said])
        if without == "prompts":
            engine.forward_backward_batch = partial(super(cpu_engine.CpuEngine, engine).forward_backward_batch)
            once = cpu_engine.without_repeats
            cpu_engine.without_repeats = lambda rows, prompts: once(rows, None)
    else:
        loss = partial(sft_loss, config=None)
        fields = whole_rows(asked, said)
        fields["loss_mask"] = jagged(
            [(torch.arange(len(p) + len(a)) >= len(p)).long() for p, a in zip(asked, said, strict=True)]
        )
        numbers = {"use_dynamic_bsz": True, "max_token_len_per_gpu": tokens, "global_batch_size": len(said)}
        numbers["temperature"] = 1.0
    taken, losses, norms = [], [], []
    with engine.train_mode():
        for _ in range(3):
            before = process_time()
            done = engine.train_batch(
                tu.get_tensordict(tensor_dict=dict(fields), non_tensor_dict=dict(numbers)), loss_function=loss
            )
            taken.append(process_time() - before)
            losses.append(sum(done["loss"]))
            norms.append(done["metrics"]["grad_norm"])
    return {
        "tokens": count,
        "seconds": round(min(taken), 2),
        "tokens_per_second": round(count / min(taken)),
        "loss": round(losses[-1], 5),
        "gradient_norm": round(norms[-1], 4),
    }


def in_a_process(script: str, arguments: list[str], threads: int, vendor: str) -> dict:
    """The JSON in the last line of what the script prints; it has the environment of a training process."""
    from recipe import cpu

    environment = {**cpu.ENVIRONMENT, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    environment |= {"MASTER_PORT": "0", "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    environment |= {"VERL_ENGINE_VENDOR": vendor, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, *arguments], env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=str(ROOT / "recipe" / "tiny_model" / "base"))
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--answers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        kind, _, tokens, without = VARIANTS[args.only]
        print(json.dumps(measure(args.model, args.prompts, args.answers, kind, tokens, without)))
        return
    from recipe.core.files import write_json

    results = {}
    for name, (_, vendor, _, _) in VARIANTS.items():
        results[name] = result = in_a_process(__file__, [*sys.argv[1:], "--only", name], args.threads, vendor)
        print(
            f"{name:44} {result['tokens']:>6} tokens {result['seconds']:>7.2f} s {result['tokens_per_second']:>7}/s"
            f"  loss {result['loss']:.5f}  gradient {result['gradient_norm']:.4f}",
            flush=True,
        )
    write_json(Path(__file__).with_suffix(".json"), {"threads": args.threads, "variants": results})


if __name__ == "__main__":
    main()
