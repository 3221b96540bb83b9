"""Checkpoints as verl's trainers leave them: an FSDP2 model on gloo ranks, saved by verl's own checkpoint manager.

    torchrun --standalone --nproc_per_node 2 tests/fsdp_checkpoint.py MODEL OUT

makes OUT/{sft,grpo,lora}: runs of one step. Their weights are MODEL's, moved as training would; "grpo" unties the
embeddings. Not a test module: test_merge.py runs it.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from omegaconf import OmegaConf
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from verl.utils.checkpoint.fsdp_checkpoint_manager import FSDPCheckpointManager


def write(source: str, folder: Path, tied: bool = True, lora: bool = False) -> None:
    torch.manual_seed(1)
    config = AutoConfig.from_pretrained(source)
    config.tie_word_embeddings = tied
    model = AutoModelForCausalLM.from_pretrained(source, config=config, dtype=torch.float32)
    if not tied:
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.05)
    if lora:
        from peft import LoraConfig, get_peft_model

        adapter = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
        model = get_peft_model(model, adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not lora or "lora_" in name:
                parameter += 0.02 * torch.randn_like(parameter)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),), mesh_dim_names=("fsdp",))
    for layer in (model.get_base_model() if lora else model).model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    manager = FSDPCheckpointManager(
        model=model,
        optimizer=None,
        processing_class=AutoTokenizer.from_pretrained(source),
        checkpoint_config=OmegaConf.create({"save_contents": ["model"], "load_contents": ["model"]}),
    )
    manager.save_checkpoint(str(folder), global_step=1)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    model, out = sys.argv[1], Path(sys.argv[2])
    write(model, out / "sft" / "global_step_1")
    write(model, out / "grpo" / "global_step_1" / "actor", tied=False)
    write(model, out / "lora" / "global_step_1", lora=True)
    dist.destroy_process_group()
