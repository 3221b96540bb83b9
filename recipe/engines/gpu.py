"""verl's FSDP engine for NVIDIA's GPUs, which also tells how much of an update the rollouts carry.

recipe.train names this module as the model's `external_lib`: verl imports it in its workers, before it picks an engine.
"""

from verl.workers.engine import EngineRegistry
from verl.workers.engine.fsdp.transformer_impl import FSDPEngineWithLMHead

from recipe.engines.rollout_rounding import Tells

VENDOR = "nvidia"  # verl's own is registered without a vendor, for what has none of its own


@EngineRegistry.register("language_model", ["fsdp", "fsdp2"], device="cuda", vendor=VENDOR)
class GpuEngine(Tells, FSDPEngineWithLMHead):
    """verl's, and `actor/update_carried`."""
