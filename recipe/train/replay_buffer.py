"""verl's replay buffer, quicker to see that a batch is there, and with the answers to a prompt side by side.

By itself verl looks every two seconds, and gives the answers in the order in which they came. `trainer.v1.sampler` in
hydra_configs/method/grpo_loop.yaml names this one. Its `sampler_kwargs` hold the interval and what verl gives its own
buffer, but no other: how groups without spread are filtered, and how failed ones are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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
    return _side_by_side(ReplayBuffer)(
        trainer_mode=trainer_mode,
        train_batch_size=batch,
        gen_batch_size=1 if metric or refills else sampler_kwargs["gen_batch_size"] or batch,
        max_inflight_gen_batches=groups.get("max_inflight_gen_batches", 1) if metric else 1,
        **given,
    )


def _side_by_side(buffer: type[ReplayBuffer]) -> type[ReplayBuffer]:
    """The buffer, giving the answers to one prompt one after another: they can share a micro-batch and its work."""

    class SideBySide(buffer):
        def sample(self, *args, **kwargs):
            batch, metrics = super().sample(*args, **kwargs)
            prompts = [key.split("_")[0] for key in batch.keys]
            first = {prompt: place for place, prompt in reversed(list(enumerate(prompts)))}
            batch.reorder(sorted(range(len(prompts)), key=lambda place: first[prompts[place]]))
            return batch, metrics

    return SideBySide
