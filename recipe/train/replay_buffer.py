"""verl's replay buffer, looking ten times a second whether a batch's answers are there: by itself it looks every two.

`trainer.v1.sampler` in hydra_configs/method/grpo_loop.yaml names it. Its `sampler_kwargs` hold the interval and what
verl gives its own buffer, but no other: how groups without spread are filtered, and how failed ones are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer


def replay_buffer(*, trainer_mode: str, sampler_kwargs: Mapping[str, Any], **given: Any) -> ReplayBuffer:
    """The buffer that verl would make for `trainer_mode`, with another interval (`poll_interval`, seconds).

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
        return ReplayBufferAsync(trainer_mode=trainer_mode, **given)
    batch = sampler_kwargs["train_batch_size"]
    return ReplayBuffer(
        trainer_mode=trainer_mode,
        train_batch_size=batch,
        gen_batch_size=1 if metric or refills else sampler_kwargs["gen_batch_size"] or batch,
        max_inflight_gen_batches=groups.get("max_inflight_gen_batches", 1) if metric else 1,
        **given,
    )
