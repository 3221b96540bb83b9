"""TRL's GRPOTrainer for a few steps, as JSON: the peer's half of grpo_step_against_trl.py, which starts it.

    PYTHON trl_grpo_step.py SETTINGS.json OUT.json

PYTHON is another environment's, with trl 1.16, and this repository in PYTHONPATH for the reward, which needs the
standard library alone. Seconds are a whole optimizer step's, from before it generates until its weights have changed;
`generate` and `reward` are parts of them, tokenizing and decoding counted in `generate`:

    {"versions": {"trl": "1.16.0", ...}, "steps": [{"step": 1, "seconds": 30.1, "phases": {"generate": 12.0, ...},
     "tokens": 18855, "prompt_length": 147.0, "answer_length": 49.4, "score": 7.5, "loss": 0.01, "grad_norm": 0.2}]}
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from statistics import mean


def train(settings: dict) -> list[dict]:
    """The steps' figures, of all steps."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(settings["threads"])
    compute_score = getattr(import_module(settings["reward_module"]), settings["reward_name"])
    steps: list[dict] = []
    now: dict = {}  # the step that is going on

    def reward(prompts, completions, data_source, ground_truth, **_):
        texts = [completion[0]["content"] for completion in completions]
        rows = zip(data_source, texts, ground_truth, strict=True)
        return [compute_score(*row, **settings["reward_kwargs"])["score"] for row in rows]

    class Timed(GRPOTrainer):
        def _generate(self, prompts):
            began = time.perf_counter()
            output = super()._generate(prompts)
            now["phases"]["generate"] = time.perf_counter() - began
            asked, answered = ([len(ids) for ids in output[part]] for part in (0, 1))
            now["tokens"] = sum(asked) + sum(answered)
            now["prompt_length"], now["answer_length"] = mean(asked), mean(answered)
            return output

        def _calculate_rewards(self, *args, **kwargs):
            began = time.perf_counter()
            output = super()._calculate_rewards(*args, **kwargs)
            now["phases"]["reward"] = time.perf_counter() - began
            return output

    class Clock(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            now.clear()
            now.update(step=state.global_step + 1, began=time.perf_counter(), phases={})

        def on_step_end(self, args, state, control, **kwargs):
            phases = now["phases"]
            seconds = time.perf_counter() - now.pop("began")
            phases["update"] = seconds - phases["generate"] - phases["reward"]
            steps.append({**now, "seconds": seconds})

        def on_log(self, args, state, control, logs, **kwargs):
            if "loss" in logs:  # not the summary of the whole run
                steps[-1] |= {"score": logs["reward"], "loss": float(logs["loss"]), "grad_norm": logs["grad_norm"]}

    beta1, beta2 = settings["betas"]
    sequences = settings["prompts"] * settings["answers"]
    on_cpu = settings["device"] == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            max_steps=settings["steps"],
            # How the batch is split changes no update: the loss is divided by the tokens of all its parts.
            per_device_train_batch_size=settings["micro_batch"],
            gradient_accumulation_steps=sequences // settings["micro_batch"],
            num_generations=settings["answers"],
            max_completion_length=settings["answer_limit"],
            shuffle_dataset=False,
            temperature=settings["temperature"],
            top_p=settings["top_p"],
            top_k=settings["top_k"],
            learning_rate=settings["lr"],
            lr_scheduler_type="constant",
            adam_beta1=beta1,
            adam_beta2=beta2,
            weight_decay=settings["weight_decay"],
            max_grad_norm=settings["grad_clip"],
            beta=0.0,
            epsilon=settings["clip_low"],
            epsilon_high=settings["clip_high"],
            delta=settings["clip_negative"],
            loss_type=settings["loss_type"],
            scale_rewards="group",
            model_init_kwargs={"dtype": "float32", "attn_implementation": "sdpa"},
            bf16=not on_cpu,  # of the computation: the weights are fp32
            use_cpu=on_cpu,
            gradient_checkpointing=False,
            seed=settings["seed"],
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            **settings["options"],
        )
        trainer = Timed(
            model=settings["model"],
            args=config,
            reward_funcs=reward,
            train_dataset=Dataset.from_list(settings["rows"]),
            processing_class=AutoTokenizer.from_pretrained(settings["model"]),
            callbacks=[Clock()],
        )
        trainer.train()
    return steps


def main(settings: str, out: str) -> None:
    steps = train(json.loads(Path(settings).read_text(encoding="utf-8")))
    versions = {package: version(package) for package in ("trl", "torch", "transformers", "accelerate")}
    Path(out).write_text(json.dumps({"versions": versions, "steps": steps}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
