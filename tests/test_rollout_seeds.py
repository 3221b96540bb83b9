"""Every answer of a run has a seed of its own, which the same run gives it again."""

import asyncio
from importlib.resources import files
from types import SimpleNamespace

import pytest
import yaml

from recipe.train.rollout_seeds import AGENT_LOOPS, answer_seed, seeded_single_turn

PROMPT = [{"role": "user", "content": "Find the cities."}]


def test_seed_step_prompt_row_and_sample_each_make_another_seed():
    other = [{"role": "user", "content": "Find the names."}]
    given = [(1, 7, PROMPT, 3, 0), (2, 7, PROMPT, 3, 0), (1, 8, PROMPT, 3, 0), (1, 7, other, 3, 0)]
    given += [(1, 7, PROMPT, 4, 0), *((1, 7, PROMPT, 3, sample) for sample in range(1, 8))]
    seeds = [answer_seed(*one) for one in given]
    assert len(set(seeds)) == len(given)
    assert seeds == [answer_seed(*one) for one in given]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_numbers_may_be_numpys():
    import numpy as np

    assert answer_seed(1, np.int64(7), PROMPT, np.int64(3), 0) == answer_seed(1, 7, PROMPT, 3, 0)


@pytest.fixture
def asked(monkeypatch):
    """What the loop asks of vLLM's server: the sampling parameters of each call."""
    from verl.experimental.agent_loop.single_turn_agent_loop import SingleTurnAgentLoop

    calls = []

    async def run(self, sampling_params, priority=0, **row):
        calls.append(sampling_params)

    monkeypatch.setattr(SingleTurnAgentLoop, "run", run)
    monkeypatch.setattr(SingleTurnAgentLoop, "__init__", lambda self, config: setattr(self, "config", config))
    return calls


@pytest.mark.slow  # verl
@pytest.mark.parametrize(("seed", "sampled"), [(5, True), (None, False)])
def test_each_request_has_its_seed_unless_the_run_has_none(asked, seed, sampled):
    loop = seeded_single_turn(config=SimpleNamespace(data=SimpleNamespace(seed=seed)))
    given = {"temperature": 1.0}
    for sample in range(3):
        row = {"raw_prompt": PROMPT, "global_steps": 2, "index": 9, "session_id": sample}
        asyncio.run(loop.run(given, **row))
    assert given == {"temperature": 1.0}  # shared by the answers to a prompt
    wanted = [{"temperature": 1.0, "seed": answer_seed(5, 2, PROMPT, 9, sample)} for sample in range(3)]
    assert asked == (wanted if sampled else [given] * 3)


@pytest.mark.slow
def test_verls_full_determinism_still_gives_all_answers_to_a_prompt_one_seed():
    """Once it doesn't, this loop is no longer needed."""
    server = (files("verl") / "workers/rollout/vllm_rollout/vllm_async_server.py").read_text()
    assert 'sampling_params.setdefault("seed", self.replica_rank + self.config.seed)' in server


def test_the_loop_that_the_experiments_name_is_the_one_that_verl_is_given():
    from recipe.train.config import compose

    [loop] = yaml.safe_load(AGENT_LOOPS.read_text())
    assert loop["_target_"] == f"{seeded_single_turn.__module__}.{seeded_single_turn.__name__}"
    assert compose("grpo_tiny").actor_rollout_ref.rollout.agent.default_agent_loop == loop["name"]


def test_one_setting_seeds_all_of_a_run():
    from recipe.train.config import compose

    config = compose("grpo_tiny", ["seed=7"])
    actor = config.actor_rollout_ref.actor
    assert (config.data.seed, actor.data_loader_seed, actor.fsdp_config.seed) == (7, 7, 7)
    config = compose("sft_tiny", ["seed=7"])
    assert (config.trainer.seed, config.engine.seed) == (7, 7)
