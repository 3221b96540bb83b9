"""The replay buffer of a run is verl's own, whatever the run's settings, but for interval and order."""

from collections import Counter
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


class Batch:
    """Two answers to each of three prompts, in the order in which they came; of the last prompt both have one score."""

    def __init__(self, keys):
        self.keys, self.partition_id = keys, "train"

    def reorder(self, places):
        self.keys = [self.keys[place] for place in places]


CAME = ["b_10_0", "a_0_0", "b_2_0", "c_0_0", "a_1_0", "c_1_0"]
SCORES = {"a_0_0": 1.0, "a_1_0": 0.0, "b_10_0": 1.0, "b_2_0": 0.0, "c_0_0": 1.0, "c_1_0": 1.0}


def sampled(monkeypatch, keys):
    """The order of the answers, and the step's figures, where verl's buffer gave these keys."""
    import torch
    import transfer_queue
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    def stored(keys, partition_id, select_fields):
        prompts = [torch.tensor([ord(key[0]), 1, 2][: 1 + "abc".index(key[0])]) for key in keys]
        scores = [torch.tensor([0.0, SCORES[key]]) for key in keys]
        fields = {
            "prompts": torch.nested.as_nested_tensor(prompts, layout=torch.jagged),
            "rm_scores": torch.nested.as_nested_tensor(scores, layout=torch.jagged),
            "extra_fields": [{"reward_extra_info": {"f1": SCORES[key], "data_source": "x"}} for key in keys],
        }
        return {name: fields[name] for name in select_fields}

    monkeypatch.setattr(transfer_queue, "kv_batch_get", stored)
    monkeypatch.setattr(ReplayBuffer, "sample", lambda self, **_: (Batch(keys), {"figure": 1}))
    batch, figures = buffers()[0].sample(global_steps=1, partition_id="train", batch_size=3)
    return batch.keys, figures


def test_answers_to_one_prompt_are_side_by_side_in_an_order_that_arrival_doesnt_change(monkeypatch):
    order, _ = sampled(monkeypatch, list(CAME))
    assert [key for key in order if key[0] == "b"] == ["b_2_0", "b_10_0"]
    assert [key[0] for key in order[::2]] == [key[0] for key in order[1::2]]
    assert sampled(monkeypatch, CAME[::-1])[0] == order


def test_a_steps_figures_have_the_parts_of_its_reward(monkeypatch):
    figures = sampled(monkeypatch, list(CAME))[1]
    assert figures == {"figure": 1, "answers/f1": 4 / 6, "answers/flat_groups": pytest.approx(1 / 3)}


@pytest.mark.parametrize(("most", "filtered"), [(0, 4), (1, 2)])
def test_groups_without_spread_are_replaced_no_longer_than_is_said(monkeypatch, most, filtered):
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

    monkeypatch.setattr(ReplayBuffer, "_dapo_filtered_keys", lambda *_: ({f"{n}" for n in range(6)}, Counter({1.0: 6})))
    monkeypatch.setattr(ReplayBuffer, "_evict_terminal_groups", lambda *_: (set(), 0, 0, {}))
    settings = ["data.train_batch_size=12", f"algorithm.filter_groups.max_num_gen_batches={most}"]
    buffer = buffers([*FILTER, *settings])[0]
    found = []
    for _ in range(4):
        reasons = buffer._terminal_eviction_reasons(1, "train")
        buffer._evict_terminal_groups(1, "train", reasons)
        found.append(len(reasons[1]))
    assert found == [6] * filtered + [0] * (4 - filtered)


def test_a_filter_without_a_metric_is_refused_as_verl_does():
    kwargs = {**compose("grpo_tiny").trainer.v1.sampler.sampler_kwargs, "filter_groups": {"enable": True}}
    with pytest.raises(ValueError, match=r"algorithm.filter_groups.metric"):
        replay_buffer(trainer_mode="sync", sampler_kwargs=kwargs)
