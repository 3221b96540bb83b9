"""verl's replay buffer, quicker to see that a batch is there, with the answers to a prompt side by side and looked at.

By itself verl looks every two seconds, gives the answers in the order in which they came, and keeps the parts of their
reward to itself. `trainer.v1.sampler` in hydra_configs/method/grpo_loop.yaml names this one. Its `sampler_kwargs` hold
the interval and what verl gives its own buffer, but no other: how groups without spread are filtered, and how failed
ones are replaced. verl's buffer replaces groups without spread for as long as it takes; here
`filter_groups.max_num_gen_batches` ends it, which that buffer doesn't read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from recipe.train.answer_figures import answer_figures

if TYPE_CHECKING:
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


def replay_buffer(*, trainer_mode: str, sampler_kwargs: Mapping[str, Any], **given: Any) -> ReplayBuffer:
    """The buffer that verl would make for `trainer_mode`, but for interval (`poll_interval`, seconds) and order.

    ValueError where groups are to be filtered and no metric is named, as in verl.
    """
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

    groups, refills = sampler_kwargs["filter_groups"] or {}, bool(sampler_kwargs["sync_refill_failed_groups"])
    metric = groups.get("metric") if groups.get("enable") else None
    if groups.get("enable") and not metric:
        raise ValueError("algorithm.filter_groups.metric must be set when group filtering is enabled")
    given |= {"filter_groups_metric": metric, "sync_refill_failed_groups": refills}
    given |= {"poll_interval": sampler_kwargs["poll_interval"], "sampler_kwargs": sampler_kwargs}
    if trainer_mode != "sync":
        return _side_by_side(ReplayBufferAsync)(trainer_mode=trainer_mode, **given)
    batch = sampler_kwargs["train_batch_size"]
    most = batch * int(groups.get("max_num_gen_batches") or 0)
    return _side_by_side(ReplayBuffer, most)(
        trainer_mode=trainer_mode,
        train_batch_size=batch,
        gen_batch_size=1 if metric or refills else sampler_kwargs["gen_batch_size"] or batch,
        max_inflight_gen_batches=groups.get("max_inflight_gen_batches", 1) if metric else 1,
        **given,
    )


def _side_by_side(buffer: type[ReplayBuffer], most_flat: int = 0) -> type[ReplayBuffer]:
    """The buffer, giving the answers to one prompt one after another: they can share a micro-batch and its work.

    The prompts stand in an order that the prompts themselves give, not the time at which their answers came: a run can
    be repeated. A training step's answers add their figures to the step's. Once `most_flat` groups without spread were
    replaced in a step, those that follow are taken as they are; 0: all are replaced, as long as it takes.
    """

    class SideBySide(buffer):
        replaced = 0

        def sample(self, *args, **kwargs):
            import transfer_queue as tq

            self.replaced = 0
            batch, metrics = super().sample(*args, **kwargs)
            trains = batch.partition_id == "train"
            fields = ["prompts", "rm_scores", "extra_fields"] if trains else ["prompts"]
            data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
            prompts = [hashlib.sha256(prompt.numpy().tobytes()).digest() for prompt in data["prompts"].unbind()]
            if trains:
                scores = [score.sum().item() for score in data["rm_scores"].unbind()]
                parts = [getattr(told, "data", told).get("reward_extra_info", {}) for told in data["extra_fields"]]
                metrics = {**metrics, **answer_figures(scores, parts, [key.split("_")[0] for key in batch.keys])}
            batch.reorder(sorted(range(len(prompts)), key=lambda place: (prompts[place], *_place(batch.keys[place]))))
            return batch, metrics

        def _dapo_filtered_keys(self, partition_id):
            if most_flat and self.replaced >= most_flat:
                return set(), Counter()
            return super()._dapo_filtered_keys(partition_id)

        def _evict_terminal_groups(self, global_steps, partition_id, eviction_reasons):
            self.replaced += len(eviction_reasons[1])
            return super()._evict_terminal_groups(global_steps, partition_id, eviction_reasons)

    return SideBySide


def _place(key: str) -> tuple[int, int]:
    """Of `{uid}_{sample}_{output}`: numbers, so that the tenth answer comes after the second."""
    _, sample, output = key.rsplit("_", 2)
    return int(sample), int(output)
