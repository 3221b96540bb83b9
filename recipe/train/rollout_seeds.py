"""A seed of its own for every answer that a GRPO run samples, so that the run can be repeated.

    answer_seed(1, 7, [{"role": "user", "content": "..."}], 42, 3)    # of seed 1, step 7, row 42, its fourth answer

vLLM draws without a seed, and verl's `rollout.full_determinism` gives all answers to a prompt one seed, so that they
are equal and teach nothing. This is verl's single-turn agent loop with a seed in each request. hydra_configs names it
as `rollout.agent.default_agent_loop`, and AGENT_LOOPS, which recipe.train gives to verl, says where it is. The seed of
the run is `data.seed`; where that is null, answers are drawn as verl draws them.

What stays is the order of sums in floating point: an answer's logits depend in the last digits on the requests that
vLLM happens to compute beside it. Two runs give the same answers until such a digit tips a draw.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

AGENT_LOOPS = Path(__file__).with_suffix(".yaml")


def answer_seed(seed: int, step: int, prompt: Iterable[Mapping[str, Any]], row: int, sample: int) -> int:
    """The seed of one answer, in [0, 2^63): of the run's seed, the step, the prompt and its row, and the sample."""
    told = json.dumps([int(seed), int(step), [dict(message) for message in prompt], int(row), int(sample)], default=str)
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") >> 1


def seeded_single_turn(**given: Any) -> SingleTurnAgentLoop:
    """verl's agent loop, seeded; `given` is what verl makes one with."""
    return _seeded()(**given)


@functools.cache
def _seeded() -> type[SingleTurnAgentLoop]:
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

    class Seeded(SingleTurnAgentLoop):
        async def run(self, sampling_params: dict[str, Any], priority: int = 0, **row: Any):
            if (seed := self.config.data.seed) is not None:
                own = answer_seed(seed, row["global_steps"], row["raw_prompt"], row["index"], row["session_id"])
                sampling_params = {**sampling_params, "seed": own}
            return await super().run(sampling_params, priority, **row)

    return Seeded
