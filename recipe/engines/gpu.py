"""verl's FSDP engine for NVIDIA's GPUs; it also seeds LoRA, and tells how much of an update the rollouts carry.

recipe.train names this module as the model's `external_lib`: verl imports it in its workers, before it picks an engine.
"""

from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from recipe.engines.rollout_rounding import Tells
from recipe.engines.seeded_adapter import SeededAdapter

VENDOR = "nvidia"  # verl's own is registered without a vendor, for what has none of its own


@EngineRegistry.register("language_model", ["fsdp", "fsdp2"], device="cuda", vendor=VENDOR)
class GpuEngine(Tells, SeededAdapter, FSDPEngineWithLMHead):
    """verl's, with `actor/update_carried`, and an adapter drawn from `engine.seed`."""
