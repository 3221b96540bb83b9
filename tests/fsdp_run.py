"""Runs of a few AdamW steps with verl's own FSDP engine, and what their forward passes computed with.

    torchrun --standalone --nproc_per_node 2 tests/fsdp_run.py MODEL OUT bf16_2e-5 fp32_1e-6 default_2e-4_4

makes a run for each name: precision, learning rate and LoRA rank, if any; `default` configures no precision.
OUT/bf16_2e-5/global_step_10 is verl's checkpoint, config.yaml has the engine's settings, forward.safetensors the
weights as the layers get them after the last step, gathered and cast by FSDP2. Not a test module:
test_policy_export.py runs it.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from safetensors.torch import save_file
from transformers import AutoTokenizer
from verl.trainer.config import CheckpointConfig
from verl.workers.config import FSDPEngineConfig, FSDPOptimizerConfig, HFModelConfig
from verl.workers.engine import EngineRegistry

from recipe.merge.fidelity import task_sequences

STEPS = 10


def build(source: str, run: Path, precision: str, lr: str, rank: str = "0"):
    """verl's engine, with the settings that RUN/config.yaml then has."""
    engine = {"strategy": "fsdp2", "use_torch_compile": False}
    if precision != "default":
        engine["mixed_precision"] = {"param_dtype": precision, "reduce_dtype": "fp32", "buffer_dtype": "fp32"}
    model = {"path": source, "lora_rank": int(rank), "lora_alpha": 2 * int(rank)}
    run.mkdir(parents=True, exist_ok=True)  # by either rank
    (run / "config.yaml").write_text(yaml.safe_dump({"model": model, "engine": engine}))
    made = EngineRegistry.new(
        model_type="language_model",
        backend="fsdp2",
        model_config=HFModelConfig(**model, use_remove_padding=False, override_config={"attn_implementation": "sdpa"}),
        engine_config=FSDPEngineConfig(**engine),
        optimizer_config=FSDPOptimizerConfig(lr=float(lr), total_training_steps=STEPS),
        checkpoint_config=CheckpointConfig(save_contents=["model"], load_contents=["model"]),
    )
    made.initialize()
    return made


def train(engine, ids: torch.Tensor) -> None:
    """AdamW steps on the task's answers, forward and backward as the engine does them."""
    precision = engine._autocast_dtype  # verl's own resolution of the configuration
    for _ in range(STEPS):
        engine.optimizer_zero_grad()
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = engine.module(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), ids[0, 1:])
        loss.backward()
        engine.optimizer_step()


def seen_by_layers(engine, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """Name -> weight, as it stands in the modules while they compute: what FSDP2 gathered and cast."""
    seen, names = {}, {module: name for name, module in engine.module.named_modules()}

    def look(module, *_):
        for name, weight in module.named_parameters(recurse=False):
            if not hasattr(weight, "placements"):  # gathered
                seen[f"{names[module]}.{name}"] = weight.detach().clone()

    hooks = [module.register_forward_pre_hook(look) for module in names]
    with torch.no_grad():
        engine.module(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    return seen


if __name__ == "__main__":
    source, out, *names = sys.argv[1:]
    dist.init_process_group("gloo")
    ids = torch.tensor([task_sequences(AutoTokenizer.from_pretrained(source))[dist.get_rank()]])
    for name in names:
        torch.manual_seed(0)
        run = Path(out) / name
        engine = build(source, run, *name.split("_"))
        engine.module.train()
        train(engine, ids)
        seen = seen_by_layers(engine, ids)
        if dist.get_rank() == 0:
            save_file(seen, run / "forward.safetensors")
        engine.save_checkpoint(str(run / f"global_step_{STEPS}"), global_step=STEPS)
    dist.destroy_process_group()
