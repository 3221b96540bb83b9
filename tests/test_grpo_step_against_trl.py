"""The comparison with TRL: what it takes for alike is so, and its figures are those of the warm steps."""

import sys
from pathlib import Path

import pytest
from benchmarks.grpo_step_against_trl import check_alike, our_step, peer_version, ratios, summary

from recipe.core.entities import DataError
from recipe.train.config import compose


def a_step(seconds: float, tokens: int, **phases: float) -> dict:
    return {"seconds": seconds, "tokens": tokens, "answer_length": 50.0, "score": 7.0, "phases": phases}


@pytest.mark.parametrize("hardware", ["cpu", "gpu_1"])
def test_the_experiment_is_what_the_peer_is_made_to_do(hardware):
    check_alike(compose("grpo_tiny", [f"hardware={hardware}"]))


@pytest.mark.parametrize(
    "override",
    [
        "actor_rollout_ref.actor.use_kl_loss=true",
        "actor_rollout_ref.actor.ppo_mini_batch_size=6",
        "actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum",
        "actor_rollout_ref.rollout.dtype=bfloat16",  # TRL's is fp32 on CPUs
    ],
)
def test_an_experiment_that_the_peer_cannot_do_is_refused(override):
    with pytest.raises(DataError, match=override.partition("=")[0].rpartition(".")[2]):
        check_alike(compose("grpo_tiny", [override]))


def test_an_environment_without_trl_is_refused_and_so_is_a_path_without_python(tmp_path):
    for python in (Path(sys.executable), tmp_path / "python"):
        with pytest.raises(DataError, match=r"trl==1\.16"):
            peer_version(python)


def test_what_verl_does_not_name_is_the_rest_of_a_step():
    names = ("perf/total_num_tokens", "prompt_length/mean", "response_length/mean", "critic/score/mean")
    data = dict.fromkeys((*names, "actor/pg_loss", "actor/grad_norm"), 1.0)
    data |= {"timing_s/step": 10.0, "timing_s/gen": 3.0, "timing_s/old_log_prob": 2.0}
    data |= {"timing_s/update_actor": 4.0, "timing_s/update_weights": 0.5, "timing_s/adv": 0.25}
    phases = our_step(2, data)["phases"]
    assert phases == {"generate": 3.0, "old_log_prob": 2.0, "update": 4.0, "weights": 0.5, "rest": 0.5}


def test_the_first_step_of_each_run_is_dropped():
    cold = a_step(1000.0, 1, generate=900.0)
    figures = summary([[cold, a_step(2.0, 100, generate=1.0)], [cold, a_step(4.0, 200, generate=2.0)]])
    assert figures["seconds_range"] == [2.0, 4.0]
    assert figures["tokens_per_second"] == 50.0
    assert figures["phases"] == {"generate": 1.5}


def test_a_ratio_above_one_says_that_ours_is_faster():
    cold = a_step(9.0, 1)
    ours = [[cold, a_step(1.0, 100)], [cold, a_step(1.0, 300)]]
    theirs = [[cold, a_step(2.0, 100)], [cold, a_step(2.0, 100)]]
    assert ratios(ours, theirs) == {"all": 4.0, "range": [2.0, 6.0]}
