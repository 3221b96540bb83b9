"""A run's folder without a run: whole checkpoints as verl lays them out, and the figures of validations."""

from __future__ import annotations

import json
import zipfile


def save(run, *steps, tracked=None, actor="actor"):
    """Checkpoints as GRPO leaves them (SFT: `actor=""`), the tracker file at the last, or at `tracked`."""
    for step in steps:
        folder = run / f"global_step_{step}" / actor
        (folder / "huggingface").mkdir(parents=True)
        for name in ("config.json", "tokenizer_config.json"):
            (folder / "huggingface" / name).write_text("{}")
        (folder / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 1}))
        for name in ("model", "optim", "extra_state"):
            zipfile.ZipFile(folder / f"{name}_world_size_1_rank_0.pt", "w").close()
        (run / f"global_step_{step}" / "data.pt").write_bytes(b"1234")
    (run / "latest_checkpointed_iteration.txt").write_text(str(tracked or steps[-1]))
    return run


def validate(run, figures, key="val-core/toy/acc/mean@1", start="1"):
    """Step -> figure, as the `file` logger of one start leaves them."""
    (run / "metrics").mkdir(exist_ok=True)
    with (run / "metrics" / f"{start}.jsonl").open("a") as file:
        for step, value in figures.items():
            file.write(json.dumps({"step": step, "data": {key: value}}) + "\n")
