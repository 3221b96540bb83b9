"""Which tokens end an answer, and what a model folder says about it."""

import json
from copy import deepcopy

import pytest

from recipe import eos
from recipe.core.entities import DataError

TEXT_END, TURN_END = "<|endoftext|>", "<|im_end|>"


@pytest.fixture
def folder(tokenizer, tmp_path):
    """A base model's folder: generation stops at the end of text alone."""
    tokenizer.save_pretrained(tmp_path)
    text_end = tokenizer.convert_tokens_to_ids(TEXT_END)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", "eos_token_id": text_end}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": text_end, "top_p": 0.9}))
    return tmp_path


@pytest.fixture
def ids(tokenizer):
    return [tokenizer.convert_tokens_to_ids(token) for token in (TURN_END, TEXT_END)]


def with_template(tokenizer, template):
    changed = deepcopy(tokenizer)
    changed.chat_template = template
    return changed


def test_a_turn_ends_with_the_special_token_after_the_answer(tokenizer, ids):
    assert eos.end_of_turn_id(tokenizer) == ids[0]


def test_what_follows_the_end_of_the_turn_does_not_count(tokenizer, ids):
    template = "{% for m in messages %}{{ m.content }}<|im_end|>\n<|endoftext|>{% endfor %}"
    assert eos.end_of_turn_id(with_template(tokenizer, template)) == ids[0]


def test_a_template_without_special_tokens_ends_with_the_tokenizers_eos(tokenizer, ids):
    assert (
        eos.end_of_turn_id(with_template(tokenizer, "{% for m in messages %}{{ m.content }}\n{% endfor %}")) == ids[1]
    )


def test_a_tokenizer_without_chat_template_is_refused(tokenizer):
    with pytest.raises(DataError, match="no chat template"):
        eos.end_of_turn_id(with_template(tokenizer, None))


def test_write_puts_both_ids_there_and_keeps_the_rest(folder, ids):
    assert eos.write_eos(folder) == ids
    assert json.loads((folder / "generation_config.json").read_text()) == {"eos_token_id": ids, "top_p": 0.9}


def test_where_nothing_can_be_written_the_line_has_the_remedy_and_nothing_stays(folder, capsys):
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").mkdir()  # stands for a disk that is read-only or full: root may write anywhere
    before = sorted(folder.iterdir())
    assert eos.main([str(folder)]) == 2
    assert capsys.readouterr().err.endswith("; copy the folder, and use the copy\n")
    assert sorted(folder.iterdir()) == before


def test_write_makes_a_missing_generation_config(folder, ids):
    (folder / "generation_config.json").unlink()
    eos.write_eos(folder)
    assert eos.read_eos(folder) == ids


def test_writing_twice_changes_nothing(folder):
    eos.write_eos(folder)
    before = (folder / "generation_config.json").stat().st_mtime_ns
    eos.write_eos(folder)
    assert (folder / "generation_config.json").stat().st_mtime_ns == before


def test_check_refuses_a_folder_that_runs_past_the_turn(folder):
    with pytest.raises(DataError, match=r"ends a turn with \d+ \(<\|im_end\|>\); run: python -m recipe.eos"):
        eos.check_eos(folder)


def test_check_accepts_what_write_wrote(folder, ids):
    eos.write_eos(folder)
    assert eos.check_eos(folder) == ids


@pytest.mark.parametrize("value", [2, [2], [2, 2]])
def test_one_id_and_a_list_of_it_mean_the_same(tmp_path, value):
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
    assert eos.read_eos(tmp_path) == [2]


@pytest.mark.parametrize("text", ['{"eos_token_id": null}', '{"eos_token_id": []}', "{}"])
def test_a_generation_config_that_names_none_leaves_it_to_config(tmp_path, text):
    (tmp_path / "generation_config.json").write_text(text)
    (tmp_path / "config.json").write_text('{"eos_token_id": 7}')
    assert eos.read_eos(tmp_path) == [7]


def test_no_file_names_no_end(tmp_path):
    assert eos.read_eos(tmp_path) == []


@pytest.mark.parametrize("value", ["2", True, 2.5, [[2]], ["2"], {"id": 2}, -1])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_what_is_no_id_is_refused_by_file_and_key(folder, name, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "generation_config.json").write_text("{}")
    (folder / name).write_text(json.dumps({**config, "eos_token_id": value}))
    for read in (eos.read_eos, eos.wanted_eos, eos.check_eos, eos.write_eos):
        with pytest.raises(DataError) as error:
            read(folder)
        assert str(folder / name) in str(error.value)
        assert "eos_token_id" in str(error.value)


@pytest.mark.parametrize("value", [[0], "0", False, 0.5])
@pytest.mark.parametrize("name", ["generation_config.json", "config.json"])
def test_a_pad_token_that_no_model_can_be_built_with_is_refused(folder, name, value):
    eos.write_eos(folder)
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, "pad_token_id": value}))
    with pytest.raises(DataError, match=rf"{name}: pad_token_id .*one number or null"):
        eos.check_eos(folder)


@pytest.mark.parametrize("value", [None, 0, -1])  # -1: "none", in models of old
def test_a_pad_token_is_a_number_or_none(folder, ids, value):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": value}))
    assert eos.write_eos(folder) == ids


def test_the_command_exits_2_with_one_line(tmp_path, capsys):
    assert eos.main([str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"eos: {tmp_path}: not a model folder (no config.json)\n"
