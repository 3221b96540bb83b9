"""Which checkpoints go when a run resumes or saves: those beyond what it keeps, and nothing that isn't understood."""

from __future__ import annotations

import errno
import json
import zipfile
from pathlib import Path

import pytest

from recipe.models import retention
from recipe.models.retention import AfterSave, Kept, kept, replaced, tidy
from recipe.train import config

TWO = Kept(2, "trainer.max_ckpt_to_keep")


@pytest.fixture
def make(tmp_path):
    """`make(4, 8, tracked=8)`: checkpoints as GRPO leaves them, the tracker file at the last, or at `tracked`."""

    def make(*numbers, tracked=None, actor="actor"):
        for number in numbers:
            folder = tmp_path / f"global_step_{number}" / actor
            (folder / "huggingface").mkdir(parents=True)
            for name in ("config.json", "tokenizer_config.json"):
                (folder / "huggingface" / name).write_text("{}")
            (folder / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": 1}))
            for name in ("model", "optim", "extra_state"):
                zipfile.ZipFile(folder / f"{name}_world_size_1_rank_0.pt", "w").close()
            (tmp_path / f"global_step_{number}" / "data.pt").write_bytes(b"1234")
        (tmp_path / "latest_checkpointed_iteration.txt").write_text(str(tracked or numbers[-1]))
        return tmp_path

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
    assert tidy(run, kept({"max_actor_ckpt_to_keep": None})) == tidy(run, kept({})) == []
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
