"""When a GRPO run with patience ends: verl's own loop, its logger and its hook for checkpoints, without a model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from run_folders import save

from recipe.models import retention
from recipe.models.checkpoints import newest, steps
from recipe.models.run_log import read_metrics
from recipe.train import config

pytestmark = pytest.mark.slow  # verl


@pytest.fixture
def grpo(tmp_path, monkeypatch):
    """`grpo({10: 0.5, ...}, patience=2)`: the last step of verl's own fit() where validations have these figures.

    verl begins after the newest checkpoint. No model, no Ray: a step trains nothing.
    """
    from verl.trainer.ppo.checkpoint_callback import build_checkpoint_callback
    from verl.trainer.ppo.v1 import trainer_base
    from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

    class Untrained(PPOTrainerSync):
        def __init__(self, settings, figures, last):
            self.config, self.figures, self.checkpoint_callback = settings, figures, build_checkpoint_callback(settings)
            self.global_steps, self.total_training_steps, self.steps_per_epoch = newest(tmp_path), last, last
            self.use_critic, self.trainer_mode = False, "sync"
            self.train_dataloader, self.actor_rollout_wg = SimpleNamespace(state_dict=dict), self

        def save_checkpoint(self, folder, remote, step, max_ckpt_to_keep):  # the workers'
            assert max_ckpt_to_keep is None, "verl would remove one"
            save(tmp_path, step)

        def step(self, metrics, timing):
            return SimpleNamespace(keys=[], partition_id="train")

        def _validate(self):
            return {"val-core/toy/acc/mean@1": self.figures[self.global_steps]}

        def nothing(self, *_, **__):
            pass

        on_step_end = _compute_metrics = _log_rollout_data = nothing
        _reissue_inflight_prompts = _start_profiling = _stop_profiling = nothing

        def _shutdown_dump_executor(self):
            self.ended = True  # the last thing that fit() does

    monkeypatch.setattr(trainer_base, "tq", SimpleNamespace(kv_clear=lambda **_: None))
    (tmp_path / "metrics").mkdir()

    def grpo(figures, patience, last=60, often=10, test=10, first=False):
        begun = len(list((tmp_path / "metrics").iterdir()))
        monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "metrics" / f"{begun}.jsonl"))
        settings = [f"trainer.default_local_dir={tmp_path}", f"trainer.val_before_train={first}"]
        settings += [f"trainer.save_freq={often}", f"trainer.test_freq={test}", "trainer.logger=[file]"]
        settings += [f"++patience={patience}"] if patience else []
        trainer = Untrained(config.compose("grpo_tiny", settings), figures, last)
        trainer.fit(None)
        assert trainer.ended
        return max(read_metrics(tmp_path))

    return grpo


def test_grpo_ends_after_so_many_validations_without_a_better_one(grpo, tmp_path, capsys):
    assert grpo({10: 0.5, 20: 0.4, 30: 0.6, 40: 0.6, 50: 0.5}, patience=2) == 50
    why = "2 validations in a row were not better than step 30's F1 0.600; the last, step 50: F1 0.500"
    assert f"stops after step 50: {why}" in capsys.readouterr().out.splitlines()
    assert steps(tmp_path) == [30, 40, 50]


def test_the_model_that_it_begins_with_may_have_been_the_best(grpo):
    assert grpo({0: 0.9, 10: 0.5, 20: 0.6}, patience=2, first=True) == 20


def test_without_patience_it_goes_to_its_last_step_and_loses_no_best_one(grpo, tmp_path):
    assert grpo({10: 0.5, 20: 0.9, 30: 0.6, 40: 0.1, 50: 0.1, 60: 0.2}, patience=None) == 60
    assert steps(tmp_path) == [20, 50, 60]


def test_it_ends_where_a_checkpoint_has_the_last_validated_step(grpo):
    assert grpo({15: 0.5, 30: 0.5, 45: 0.4, 60: 0.4}, patience=2, last=90, often=20, test=15) == 60


def test_a_better_one_that_comes_with_that_checkpoint_counts(grpo):
    figures = {15: 0.5, 30: 0.5, 45: 0.4, 60: 0.6, 75: 0.4, 90: 0.4}
    assert grpo(figures, patience=2, last=90, often=20, test=15) == 90


def test_a_resumed_run_counts_on(grpo):
    assert grpo({10: 0.5, 20: 0.4}, patience=2, last=20) == 20
    assert grpo({30: 0.4}, patience=2) == 30


def test_figures_that_can_not_be_read_end_nothing(grpo, monkeypatch, capsys):
    monkeypatch.setattr(retention, "early_stop", lambda *_: (_ for _ in ()).throw(OSError("Stale file handle")))
    assert grpo({10: 0.5, 20: 0.4, 30: 0.3}, patience=1, last=30) == 30
    assert "its figures can't be read (Stale file handle)" in capsys.readouterr().out
