"""What a run's validations say: the best step, which of them can be merged, and when there has been no better one."""

from __future__ import annotations

import math

import pytest
from run_folders import save, validate

from recipe.core.entities import DataError
from recipe.models.validation import best, best_checkpoint, early_stop, patience_of, validation, validations
from recipe.train.config import compose


def test_a_figure_is_the_mean_over_datasets():
    two = {"val-aux/a/f1/mean@1": 0.2, "val-core/b/f1/mean@1": 0.4, "val-core/b/acc/mean@1": 0.9, "actor/loss": 1.0}
    assert (str(validation(two)), validation(two).datasets) == ("F1 0.300", {"a": 0.2, "b": 0.4})
    assert str(validation({"val/loss": 1.5, "train/loss": 2.0})) == "loss 1.5000"
    assert validation({"train/loss": 2.0}) is None


def test_the_best_is_the_first_of_equals_and_a_number(tmp_path):
    validate(tmp_path, {0: math.nan, 5: 0.4, 10: 0.6, 20: 0.6, 30: 0.5})
    assert best(validations(tmp_path)) == 10
    assert best({}) is None


def test_the_best_checkpoint_is_named_with_its_figure_and_the_lasts(tmp_path):
    validate(save(tmp_path, 10, 20, 30), {10: 0.3, 20: 0.5, 30: 0.4})
    checkpoint, lines = best_checkpoint(tmp_path)
    assert checkpoint.folder == tmp_path / "global_step_20" / "actor"
    assert lines == ["step 20 is the best by validation: F1 0.500; the last, step 30: F1 0.400"]


def test_a_better_step_without_a_whole_checkpoint_is_named(tmp_path):
    validate(save(tmp_path, 10, 20, 30), {0: 0.1, 10: 0.3, 15: 0.6, 20: 0.5, 30: 0.4})
    assert "step 15 was better (F1 0.600), but has no whole checkpoint" in best_checkpoint(tmp_path)[1]
    (tmp_path / "global_step_20" / "actor" / "model_world_size_1_rank_0.pt").unlink()
    assert best_checkpoint(tmp_path)[0].step == 30


def test_without_validations_and_without_their_checkpoints_there_is_no_best(tmp_path):
    with pytest.raises(DataError, match="no checkpoint"):
        best_checkpoint(tmp_path)
    save(tmp_path, 10, 20)
    with pytest.raises(DataError, match=r"no validation in its metrics.*set trainer.test_freq and data.val_files"):
        best_checkpoint(tmp_path)
    validate(tmp_path, {15: 0.5, 30: 0.5})
    with pytest.raises(DataError, match="validated were steps 15, 30, checkpoints are of 10, 20; give --step N"):
        best_checkpoint(tmp_path)
    with pytest.raises(DataError, match=f"for the best of the run give its folder, {tmp_path}$"):
        best_checkpoint(tmp_path / "global_step_20")


def test_a_run_ends_where_patience_validations_were_no_better(tmp_path):
    validate(save(tmp_path, 10, 20, 30), {0: 0.1, 10: 0.5, 20: 0.4, 30: 0.5})
    assert [bool(early_stop(tmp_path, patience)) for patience in (None, 1, 2, 3)] == [False, True, True, False]
    assert early_stop(tmp_path, 2).startswith("2 validations in a row were not better than step 10's F1 0.500; ")


def test_what_no_checkpoint_holds_does_not_end_it(tmp_path):
    validate(save(tmp_path, 10, 20, 30, tracked=20), {10: 0.5, 20: 0.4, 30: 0.4})
    assert early_stop(tmp_path, 2) is None
    assert early_stop(tmp_path / "none", 1) is None


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("grpo_tiny", ["++patience=0"], "1 or more"),
        ("grpo_tiny", ["++patience=soon"], "1 or more"),
        ("sft_tiny", ["++patience=2"], "set data.val_files and trainer.test_freq"),
        ("sft_tiny", ["++patience=2", "data.val_files=dev.parquet"], "set data.val_files and trainer.test_freq"),
        ("grpo_tiny", ["++patience=2", "trainer.test_freq=-1"], "set data.val_files and trainer.test_freq"),
        ("grpo_tiny", ["++patience=2", "trainer.logger=[console]"], "add file to trainer.logger"),
        ("grpo_tiny", ["++patience=2", "trainer.save_freq=-1"], "set trainer.save_freq"),
    ],
)
def test_patience_that_could_end_nothing_is_refused(name, settings, problem):
    with pytest.raises(DataError, match=problem):
        patience_of(compose(name, settings))


def test_patience_is_a_number_or_none():
    assert patience_of(compose("grpo_tiny")) is None
    assert patience_of(compose("grpo_tiny", ["++patience=3"])) == 3
    sft = ["++patience=3", "data.val_files=dev.parquet", "trainer.test_freq=after_each_epoch"]
    assert patience_of(compose("sft_tiny", sft)) == 3
