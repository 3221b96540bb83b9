"""The replay buffer of a run is verl's own, whatever the run's settings, but for interval and order."""

from types import SimpleNamespace

import pytest

from recipe.train.config import compose
from recipe.train.replay_buffer import replay_buffer

pytestmark = pytest.mark.slow  # verl

FILTER = ["algorithm.filter_groups.enable=true", "algorithm.filter_groups.metric=f1"]


def buffers(overrides=()):
    """The buffer that verl makes of a configuration by itself, and the one that ours names."""
    from verl.trainer.ppo.v1.trainer_base import PPOTrainer

    made = []
    for custom in ((), ("trainer.v1.sampler.custom_sampler.path=null",)):
        config = compose("grpo_tiny", [*overrides, *custom])
        trainer = SimpleNamespace(
            config=config, trainer_mode=config.trainer.v1.trainer_mode, _add_prompts_to_generate=print
        )
        trainer._resolve_filter_groups_metric = lambda trainer=trainer: PPOTrainer._resolve_filter_groups_metric(
            trainer
        )
        made.append(PPOTrainer._build_replay_buffer(trainer))
    return made


def settings(buffer):
    return {key: value for key, value in vars(buffer).items() if key not in ("poll_interval", "sampler_kwargs")}


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        FILTER,
        [*FILTER, "algorithm.filter_groups.max_inflight_gen_batches=3"],
        ["+data.gen_batch_size=4"],
        ["trainer.v1.sampler.sync_refill_failed_groups=true"],
        ["trainer.v1.trainer_mode=colocate_async", *FILTER],
    ],
)
def test_it_is_the_one_that_verl_would_make(overrides):
    ours, verls = buffers(overrides)
    assert isinstance(ours, type(verls))
    assert settings(ours) == settings(verls)


def test_it_looks_more_often_than_verls_which_is_no_longer_needed_once_verls_does():
    ours, verls = buffers()
    assert (ours.poll_interval, verls.poll_interval) == (0.1, 2.0)


def test_answers_to_one_prompt_are_side_by_side_in_the_order_in_which_prompts_came(monkeypatch):
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    class Batch:
        def __init__(self):
            self.keys = ["b_0", "a_0", "b_1", "c_0", "a_1", "b_2"]

        def reorder(self, places):
            self.keys = [self.keys[place] for place in places]

    monkeypatch.setattr(ReplayBuffer, "sample", lambda self, **_: (Batch(), {"figure": 1}))
    batch, figures = buffers()[0].sample(global_steps=1, partition_id="train", batch_size=3)
    assert batch.keys == ["b_0", "b_1", "b_2", "a_0", "a_1", "c_0"]
    assert figures == {"figure": 1}


def test_a_filter_without_a_metric_is_refused_as_verl_does():
    kwargs = {**compose("grpo_tiny").trainer.v1.sampler.sampler_kwargs, "filter_groups": {"enable": True}}
    with pytest.raises(ValueError, match=r"algorithm.filter_groups.metric"):
        replay_buffer(trainer_mode="sync", sampler_kwargs=kwargs)
