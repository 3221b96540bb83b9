"""Finding a run's checkpoint, and what is said where one isn't whole."""

import json
import zipfile

import pytest

from recipe.core.entities import DataError
from recipe.models.checkpoints import find_checkpoint, steps


@pytest.fixture
def make(tmp_path):
    """`make(4, actor=True)`: a folder as verl lays it out, with empty archives for shards."""

    def make(step, actor=False, ranks=2):
        folder = tmp_path / f"global_step_{step}" / ("actor" if actor else "")
        (folder / "huggingface").mkdir(parents=True)
        for name in ("config.json", "tokenizer_config.json"):
            (folder / "huggingface" / name).write_text("{}")
        (folder / "fsdp_config.json").write_text(json.dumps({"FSDP_version": 2, "world_size": ranks}))
        for rank in range(ranks):
            zipfile.ZipFile(folder / f"model_world_size_{ranks}_rank_{rank}.pt", "w").close()
        return folder

    return make


def test_sft_shards_stand_in_the_steps_folder(make, tmp_path):
    folder = make(4)
    assert find_checkpoint(tmp_path).folder == folder


def test_grpo_shards_stand_in_actor(make, tmp_path):
    folder = make(4, actor=True)
    assert find_checkpoint(tmp_path).folder == folder


def test_shards_are_in_order_of_rank(make, tmp_path):
    make(4, ranks=12)
    names = [path.name for path in find_checkpoint(tmp_path).shards]
    assert names == [f"model_world_size_12_rank_{rank}.pt" for rank in range(12)]


def test_steps_are_ordered_as_numbers(make, tmp_path):
    for step in (100, 8, 20):
        make(step)
    assert steps(tmp_path) == [8, 20, 100]


def test_latest_is_what_verls_tracker_says(make, tmp_path):
    make(4), make(8)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
    assert find_checkpoint(tmp_path).step == 4


def test_without_tracker_latest_is_the_highest_whole_one(make, tmp_path):
    make(4), (make(8) / "model_world_size_2_rank_1.pt").unlink()
    assert find_checkpoint(tmp_path).step == 4


def test_a_steps_folder_may_be_given_itself(make, tmp_path):
    make(4), make(8)
    checkpoint = find_checkpoint(tmp_path / "global_step_4")
    assert (checkpoint.run, checkpoint.step) == (tmp_path, 4)


def test_an_unknown_step_is_answered_with_those_there_are(make, tmp_path):
    make(4), make(8)
    with pytest.raises(DataError, match="no checkpoint of step 5; there are 4, 8"):
        find_checkpoint(tmp_path, 5)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        find_checkpoint(tmp_path / "nowhere")


def test_a_run_without_checkpoint_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no checkpoint \(global_step_N\) in it"):
        find_checkpoint(tmp_path)


def test_missing_shards_are_counted_against_the_world_size(make, tmp_path):
    (make(4) / "model_world_size_2_rank_1.pt").unlink()
    with pytest.raises(DataError, match=r"1 of 2 shards missing \(model_world_size_2_rank_1.pt\)"):
        find_checkpoint(tmp_path, 4)


def test_a_shard_that_is_cut_off_is_named(make, tmp_path):
    (make(4) / "model_world_size_2_rank_0.pt").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(DataError, match=r"rank_0.pt: cut off or damaged"):
        find_checkpoint(tmp_path, 4)


def test_a_missing_tokenizer_is_named(make, tmp_path):
    (make(4) / "huggingface" / "tokenizer_config.json").unlink()
    with pytest.raises(DataError, match=r"huggingface/tokenizer_config.json: missing"):
        find_checkpoint(tmp_path, 4)


def test_a_checkpoint_that_was_not_written_to_its_end_is_refused(make, tmp_path):
    (make(4) / "fsdp_config.json").unlink()
    with pytest.raises(DataError, match="not written to its end"):
        find_checkpoint(tmp_path, 4)


def test_a_tracker_that_holds_no_step_is_refused(make, tmp_path):
    make(4)
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("four")
    with pytest.raises(DataError, match="holds 'four', not a step"):
        find_checkpoint(tmp_path)
