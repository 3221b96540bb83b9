"""The first weights of a LoRA adapter drawn from the run's seed, so that a run with LoRA can be repeated, too.

verl draws them as the process happens to stand. Its engines have a `seed`, which it reads where `full_determinism` is
on, and nowhere else. The experiments set it to the run's.
"""

from __future__ import annotations

import torch


class SeededAdapter:
    """A training engine of verl's whose new adapter is the same on every rank and in every run of one seed."""

    def _build_lora_module(self, module):
        with torch.random.fork_rng(devices=[]):  # what else is drawn stays as it was; weights are made on the CPU
            torch.default_generator.manual_seed(self.engine_config.seed)
            return super()._build_lora_module(module)
