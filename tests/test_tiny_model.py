"""The tiny model: its tokenizer, its chat template, the questions it is trained on, and the shipped weights."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from random_model import make_random

from recipe.core.entities import DataError
from recipe.tiny_model import __main__ as tiny_model
from recipe.tiny_model import questions as tiny_questions
from recipe.tiny_model.__main__ import SAMPLE, build_model, build_tokenizer

SHIPPED = Path(tiny_model.__file__).parent / "base"
STRINGS = [
    "Naloxone reverses hypertension .",
    "  two  spaces\n\n\tand\r\nlines \n ",
    "café ﬁ Å ① 孔浣 🙂\u200d\u2028\ufeff",
    '12,345.67 \' s don\'t {"a": [\n  "b"\n]}',
    "<think>\nx\n</think>\n",
    "",
]


@pytest.fixture(scope="session")
def corpus():
    return tiny_questions.read_corpus(SAMPLE)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return make_random(tmp_path_factory.mktemp("tiny") / "model", vocab_size=512, hidden_size=32, layers=2)


@pytest.fixture(scope="session")
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="session")
def shipped():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(SHIPPED, dtype="float32")
    return model.eval(), AutoTokenizer.from_pretrained(SHIPPED)


# ---------------------------------------------------------------------------------------------------- tokenizer


@pytest.mark.parametrize("text", STRINGS)
def test_any_text_comes_back_byte_for_byte(tokenizer, text):
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_every_code_point_comes_back(tokenizer):
    rng = random.Random(0)
    text = "".join(chr(c) for c in (rng.randrange(0x110000) for _ in range(2000)) if not 0xD800 <= c < 0xE000)
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_the_vocabulary_is_exactly_as_large_as_the_tokenizer(folder, tokenizer):
    config = json.loads((folder / "config.json").read_text())
    assert config["vocab_size"] == len(tokenizer) == 512


def test_think_is_one_token_and_survives_decoding(tokenizer):
    ids = tokenizer("<think>a</think>").input_ids
    assert ids[0] == tokenizer.convert_tokens_to_ids("<think>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>a</think>"


def test_chat_tokens_are_special(tokenizer):
    ids = tokenizer("<|im_start|>a<|im_end|><|endoftext|>").input_ids
    assert len(ids) == 4
    assert tokenizer.decode(ids, skip_special_tokens=True) == "a"


def test_end_and_padding_are_end_of_text_but_a_chat_ends_with_its_own(folder, tokenizer):
    end, turn_end = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    assert tokenizer.eos_token_id == tokenizer.pad_token_id == end
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == end
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [end, turn_end]


def test_a_vocabulary_without_room_for_all_bytes_is_refused():
    with pytest.raises(DataError, match="261"):
        build_tokenizer(["a"], 260)


# -------------------------------------------------------------------------------------------------- chat template


def chat(tokenizer, *messages, **options):
    turns = [{"role": role, "content": content} for role, content in messages]
    return tokenizer.apply_chat_template(turns, tokenize=False, **options)


def test_a_prompt_opens_the_assistant_turn(tokenizer):
    text = chat(tokenizer, ("system", "s"), ("user", "q"), add_generation_prompt=True)
    assert text == "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"


def test_thinking_switched_off_is_an_empty_think_block(tokenizer):
    text = chat(tokenizer, ("user", "q"), add_generation_prompt=True, enable_thinking=False)
    assert text.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def test_the_reasoning_of_earlier_turns_is_left_out(tokenizer):
    text = chat(tokenizer, ("user", "q"), ("assistant", "<think>\nt\n</think>\na"), ("user", "r"))
    assert "<|im_start|>assistant\na<|im_end|>\n" in text
    assert "think>" not in text


def test_an_assistant_message_on_its_own_loses_its_reasoning(tokenizer):
    assert chat(tokenizer, ("assistant", "<think>\nt\n</think>\na")) == "<|im_start|>assistant\na<|im_end|>\n"


def test_the_last_answer_keeps_its_reasoning_in_qwens_layout(tokenizer):
    text = chat(tokenizer, ("user", "q"), ("assistant", "<think>\nt\n</think>\na"))
    assert text.endswith("<|im_start|>assistant\n<think>\nt\n</think>\n\na<|im_end|>\n")


# ------------------------------------------------------------------------------------------- questions and training


def test_no_sentence_of_a_dev_or_test_split_is_trained_on(corpus):
    held_out = set()
    for path in SAMPLE.glob("IE_INSTRUCTIONS/NER/*/*.json"):
        if path.stem in ("dev", "test"):
            held_out |= {tiny_questions.key(row["sentence"]) for row in json.loads(path.read_text("utf-8"))}
    assert corpus.dropped > 0
    assert not held_out & {tiny_questions.key(sentence) for sentence in corpus.sentences}


def test_what_a_question_asks_for_can_be_copied_from_its_sentence(corpus):
    rng = random.Random(0)
    for _ in range(300):
        for ask in (tiny_questions.some_entities, tiny_questions.some_rules):
            question = ask(corpus, rng)
            assert all(name in question.sentence and kind in question.types for name, kind in question.found)


def test_the_measured_form_reads_back_what_it_wrote(corpus):
    for record in corpus.dev["CrossNER_science"]:
        question = tiny_questions.ask_entities(record)
        assert tiny_questions.read_plain(tiny_questions.write_plain(question)[1]) == set(question.found)


def test_no_row_holds_a_chat_turn_a_think_block_or_our_prompt(corpus):
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(tiny_questions.write(tiny_questions.some_entities(corpus, rng), rng))
        assert not any(mark in text for mark in ("<|im", "think>", '"entities"', "information extraction assistant"))


def test_a_step_has_the_same_batch_every_time(corpus, tokenizer):
    (ids, weights), (again, _) = (tiny_model.batch(corpus, tokenizer, step=3, steps=9, seed=1) for _ in range(2))
    assert ids.shape == weights.shape == (tiny_model.SEQUENCES, tiny_model.SEQUENCE + 1)
    assert (ids == again).all()


def test_a_few_steps_lower_the_loss(corpus, tokenizer):
    model = build_model(len(tokenizer), hidden_size=32, layers=1)
    losses = tiny_model.train(model, tokenizer, corpus, steps=12, lr=2e-2, compiled=False)
    assert losses[-1] < losses[0] - 0.5


def test_training_goes_on_from_a_checkpoint(corpus, tokenizer, tmp_path):
    shape = {"vocab_size": len(tokenizer), "hidden_size": 32, "layers": 1}
    torch = pytest.importorskip("torch")
    whole, halves = build_model(**shape), build_model(**shape)
    tiny_model.train(whole, tokenizer, corpus, steps=4, compiled=False)
    out = tmp_path / "out"
    first = tiny_model.train(halves, tokenizer, corpus, 4, out=out, minutes=0, compiled=False)
    halves = build_model(**shape, seed=5)
    rest = tiny_model.train(halves, tokenizer, corpus, 4, out=out, compiled=False)
    assert (len(first), len(rest)) == (1, 3)
    torch.testing.assert_close(whole.state_dict(), halves.state_dict(), atol=1e-4, rtol=1e-3)


# --------------------------------------------------------------------------------------------------- command line


def test_wrong_data_is_one_line_and_status_2(tmp_path, capsys):
    assert tiny_model.main(["--out", str(tmp_path / "x"), "--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_broken_file_is_named(tmp_path, capsys):
    broken = tmp_path / "IE_INSTRUCTIONS" / "NER" / "X"
    broken.mkdir(parents=True)
    (broken / "labels.json").write_text("[]")
    (broken / "train.json").write_text('[{"text": 1}]')
    assert tiny_model.main(["--out", str(tmp_path / "x"), "--data", str(tmp_path)]) == 2
    assert "train.json" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- shipped weights


def test_the_shipped_folder_is_small():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 10e6


def test_the_shipped_model_is_qwen3_in_bf16():
    config = json.loads((SHIPPED / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert (config["dtype"], config["vocab_size"], config["tie_word_embeddings"]) == ("bfloat16", 4096, True)


def test_the_shipped_tokenizer_has_a_name_in_the_same_tokens_with_and_without_quotes(shipped):
    tokenize = shipped[1].tokenize
    name = tokenize("Naloxone")
    assert tokenize("of Naloxone .")[2:-1] == tokenize('"Naloxone"')[1:-1] == name


def test_the_shipped_model_finds_names_in_sentences_it_has_not_seen(corpus, shipped):
    two = {name: corpus.dev[name] for name in ("bc5cdr", "Broad Tweet Corpus")}
    scores = tiny_model.evaluate(*shipped, replace(corpus, dev=two), sentences=50)
    assert min(scores.values()) > 0.3
