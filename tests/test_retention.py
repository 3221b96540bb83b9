"""Which checkpoints go when a run resumes or saves: those beyond what it keeps, and nothing that isn't understood."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from run_folders import save, validate

from recipe.models import retention
from recipe.models.retention import AfterSave, Kept, kept, replaced, tidy
from recipe.train import config

TWO = Kept(2, "trainer.max_ckpt_to_keep")


@pytest.fixture
def make(tmp_path):
    """`make(4, 8, tracked=8)`: checkpoints as GRPO leaves them, the tracker file at the last, or at `tracked`."""

    def make(*numbers, tracked=None, actor="actor"):
        return save(tmp_path, *numbers, tracked=tracked, actor=actor)

    return make


def there(run):
    return sorted(int(path.name.rpartition("_")[2]) for path in run.glob("global_step_*"))


@pytest.mark.parametrize("actor", ["actor", ""])
def test_what_a_run_before_the_resume_left_goes_but_for_the_newest(make, actor):
    run = make(10, 20, 30, 100, actor=actor)
    assert [line.split(":")[0] for line in tidy(run, TWO)] == [f"removed    {run}/global_step_{n}" for n in (10, 20)]
    assert there(run) == [30, 100]


def test_a_run_that_keeps_all_loses_nothing(make):
    run = make(10, 20, 30)
    (run / "global_step_10" / "actor" / "fsdp_config.json").unlink()
    assert tidy(run, kept({"trainer": {"max_actor_ckpt_to_keep": None}})) == tidy(run, kept({"trainer": {}})) == []
    assert there(run) == [10, 20, 30]


def test_the_one_that_the_tracker_names_stays_and_whole_newer_ones_do(make):
    run = make(10, 20, 30, 40, tracked=20)
    tidy(run, Kept(1, ""))
    assert there(run) == [20, 30, 40]


def test_a_folder_that_a_kill_left_half_written_or_half_removed_goes(make):
    run = make(10, 20, 30, tracked=20)
    (run / "global_step_30" / "actor" / "model_world_size_1_rank_0.pt").write_bytes(b"PK\x03\x04 and no more")
    shell = run / "global_step_5"  # verl removes the actor alone
    shell.mkdir(), (shell / "data.pt").touch()
    assert len([line for line in tidy(run, TWO) if "not whole" in line]) == 2
    assert there(run) == [10, 20]


def test_a_first_checkpoint_that_was_half_written_goes(make):
    run = make(10)
    (run / "latest_checkpointed_iteration.txt").unlink()
    (run / "global_step_10" / "actor" / "fsdp_config.json").unlink()
    tidy(run, TWO)
    assert there(run) == []


@pytest.mark.parametrize("place", ["global_step_10/notes.txt", "global_step_10/actor/best.safetensors"])
def test_a_folder_with_something_of_the_users_stays(make, place):
    run = make(10, 20, 30)
    (run / place).touch()
    assert tidy(run, TWO) == []


def test_nothing_goes_where_the_trackers_own_checkpoint_is_not_whole(make):
    run = make(10, 20, 30, 40)
    (run / "global_step_40" / "actor" / "model_world_size_1_rank_0.pt").unlink()
    assert tidy(run, TWO) == []
    (run / "latest_checkpointed_iteration.txt").write_text("forty")
    assert tidy(run, TWO) == []


def test_links_and_other_folders_stay(make, tmp_path_factory):
    run, elsewhere = make(20, 30, 40), tmp_path_factory.mktemp("elsewhere")
    (run / "global_step_10").symlink_to(elsewhere)
    (run / "global_step_best").mkdir()
    tidy(run, Kept(1, ""))
    assert {path.name for path in run.glob("global_step_*")} == {"global_step_10", "global_step_40", "global_step_best"}
    assert elsewhere.is_dir()


def test_what_makes_room_is_what_goes_and_what_will_be_replaced(make):
    run = make(10, 20, 30)
    whole = sum(path.stat().st_size for path in run.glob("global_step_*/**/*") if path.is_file())
    assert replaced(run, TWO) == whole
    assert replaced(run, Kept(None, "")) == replaced(run / "none", TWO) == 0


@pytest.mark.parametrize("name", ["grpo_tiny", "grpo_qwen3_8b"])
def test_verl_calls_it_after_each_new_checkpoint(make, capsys, name):
    from verl.trainer.ppo.checkpoint_callback import build_checkpoint_callback

    run = make(10, 20, 30)
    hook = build_checkpoint_callback(config.compose(name, [f"trainer.default_local_dir={run}"]))
    assert isinstance(hook, AfterSave)
    hook.on_save(trainer=None, global_step=30, checkpoint_dir=str(run / "global_step_30"), async_save=False)
    assert there(run) == [20, 30]
    assert "trainer.max_actor_ckpt_to_keep=2" in capsys.readouterr().out


def test_nothing_goes_while_a_checkpoint_can_not_be_read(make, monkeypatch):
    run = make(10, 20, 30)
    read = Path.open

    def stale(path, *args, **kwargs):
        if path.name.startswith("model_world") and "global_step_20" in str(path):
            raise OSError(errno.ESTALE, "Stale file handle")
        return read(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", stale)
    (line,) = tidy(run, TWO)
    assert "can't be looked at" in line
    assert there(run) == [10, 20, 30]
    AfterSave({"trainer": {"default_local_dir": str(run), "max_actor_ckpt_to_keep": 2}}).on_save()


def test_what_can_not_be_removed_is_said_and_ends_nothing(make, monkeypatch):
    run = make(10, 20, 30)
    monkeypatch.setattr(retention.shutil, "rmtree", lambda _: (_ for _ in ()).throw(OSError("busy")))
    assert [line.split()[0] for line in tidy(run, TWO)] == ["kept"]


# ----------------------------------------------------------------------------------------------------------- the best
def test_the_best_by_validation_stays_beside_the_newest(make):
    run = make(10, 20, 30, 40, 50)
    validate(run, {0: 0.9, 10: 0.3, 20: 0.5, 30: 0.5, 40: 0.4})  # GRPO's newest is validated after it is saved
    tidy(run, TWO)
    assert there(run) == [20, 40, 50]


def test_of_a_loss_the_least_is_the_best(make):
    run = make(10, 20, 30, 40, actor="")
    validate(run, {10: 2.0, 20: 1.0, 30: 1.5, 40: 1.2}, "val/loss")
    tidy(run, Kept(1, ""))
    assert there(run) == [20, 40]


def test_a_run_loses_no_best_one_from_save_to_save(make, tmp_path):
    """As verl's GRPO goes: a checkpoint, then its validation."""
    figures = {10: 0.3, 20: 0.6, 30: 0.5, 40: 0.2, 50: 0.7, 60: 0.1, 70: 0.2}
    most = 0
    for step, figure in figures.items():
        make(step)
        most = max(most, len(there(tmp_path)))
        tidy(tmp_path, keep := Kept(1, "", best=True))
        validate(tmp_path, {step: figure})
        best = max(figures, key=lambda one: figures[one] if one <= step else 0)
        assert set(there(tmp_path)) >= {best, step}
    assert (there(tmp_path), most) == ([50, 70], keep.most)


def test_verl_itself_removes_none(tmp_path):
    settings = config.compose("grpo_tiny", [f"trainer.default_local_dir={tmp_path}"])
    assert AfterSave(settings).keep == Kept(2, "trainer.max_actor_ckpt_to_keep", best=True)
    assert settings.trainer.max_actor_ckpt_to_keep is None
    settings = config.compose("sft_tiny", [f"trainer.default_local_dir={tmp_path}"])
    assert AfterSave(settings).keep == Kept(2, "trainer.max_ckpt_to_keep", best=False)
    assert settings.trainer.max_ckpt_to_keep is None
