"""The CPUs that verl's actors ask Ray for. A run on a node that offers fewer would not fail: it would wait for ever.

Read in verl 0.9.1 and TransferQueue 0.1.11, and held against both by a test. On a node with `slots` ranks:

    3 a slot          its placement group (ResourcePoolManager.max_colocate_count)
    1 a storage unit  TransferQueue's, dealt out to the nodes in turn, each bound to its node
    1                 TransferQueue's controller, on one node or another
    1                 free: any other actor wants one while it is placed and then none (Ray's default), and vLLM's
                      server is bound to the node of its ranks

They are logical: an actor takes no core of its own for them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omegaconf import DictConfig

CPUS_A_SLOT = 3
CPUS_KEY = "ray_kwargs.ray_init.num_cpus"
UNITS_KEY = "transfer_queue.backend.SimpleStorage.num_data_storage_units"
UNITS = 8  # verl's default


def cpus_a_node(slots: int, held: int = UNITS, nodes: int = 1) -> int:
    """CPUs that each of `nodes` nodes must offer, with `slots` ranks on each and `held` of one CPU over all of them."""
    return CPUS_A_SLOT * slots + math.ceil(held / nodes) + 2


def cpus_needed(config: DictConfig) -> int:
    """CPUs that each node of a GRPO run must offer."""
    return cpus_a_node(int(config.trainer.n_gpus_per_node), held(config), int(config.trainer.nnodes))


def held(config: DictConfig) -> int:
    """Actors that keep a CPU each, beside the ranks and the controller: storage units, and processes for rewards."""
    from omegaconf import OmegaConf

    simple = OmegaConf.select(config, "transfer_queue.backend.storage_backend", default="SimpleStorage")
    units = int(OmegaConf.select(config, UNITS_KEY, default=UNITS)) if simple == "SimpleStorage" else 0
    remote = OmegaConf.select(config, "reward.reward_manager.name") == "remote"
    return units + int(config.reward.num_workers) ** 2 * remote  # each of verl's reward workers starts as many
