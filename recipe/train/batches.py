"""How a run's batches divide over its ranks: what `recipe.preflight` demands of a run and `recipe.plan` of a plan."""

from collections.abc import Mapping
from typing import Any

from recipe.core.entities import DataError
from recipe.train.config import stage_of


def batch_size(config: Mapping[str, Any], world: int) -> int:
    """Rows or prompts of a step. DataError unless they go evenly over `world` ranks."""
    batch = int(config["data"]["train_batch_size"])
    if stage_of(config) == "sft":
        if batch % world:
            raise DataError(f"data.train_batch_size={batch} does not divide by {world} ranks; change one of them")
        return batch
    actor, rollout = config["actor_rollout_ref"]["actor"], config["actor_rollout_ref"]["rollout"]
    mini, completions = int(actor["ppo_mini_batch_size"]), int(rollout["n"])
    if batch % mini:
        raise DataError(f"data.train_batch_size={batch} does not divide by ppo_mini_batch_size={mini}; change one")
    if mini * completions % world:
        raise DataError(
            f"ppo_mini_batch_size={mini} x rollout.n={completions} completions do not divide by {world} ranks"
        )
    tensor_parallel = int(rollout["tensor_model_parallel_size"])
    if world % tensor_parallel:
        raise DataError(f"rollout.tensor_model_parallel_size={tensor_parallel} does not divide {world} ranks")
    return batch
