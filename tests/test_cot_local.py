"""Teachers that are model folders: the engine's requests, and a real vLLM on one machine and under Ray Data."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.cot import ray_data
from recipe.cot.local import TeacherModel, _Requests
from recipe.cot.prompts import PLAIN, annotation_messages
from recipe.cot.questions import BudgetSpent, Feed, Meter, Question
from recipe.cot.row import Row
from recipe.generate.engine import Decoding
from recipe.generate.predictions import Prediction

ROOT = Path(__file__).resolve().parent.parent


def question(sentence):
    row = Row(sentence, "s", ("person",))
    return Question(annotation_messages(row, PLAIN), {"id": row.id, "sentence": sentence})


@pytest.fixture
def requests(tokenizer):
    """`requests([question], max_model_len=..)`: what the engine would be given."""

    def make(questions, max_model_len=4096, temperature=0.0, meter=None):
        model = TeacherModel(Path("model"), tokenizer, (0,), Decoding(max_model_len, 64), temperature, 7)
        feed = questions if isinstance(questions, Feed) else Feed(questions)
        return _Requests(model, meter or Meter(), feed)

    return make


def test_the_prompt_is_the_chat_templates(requests, tokenizer):
    one = question("Ann left .")
    (request,) = requests([one])
    text = tokenizer.decode(request.prompt)
    assert text.startswith("<|im_start|>system\nYou annotate")
    assert text.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_a_prompt_without_room_for_an_answer_is_refused(requests):
    asked = requests([question("x " * 5000), question("Ann")])
    (request,) = asked
    (refused,) = asked.refused()
    assert (refused.reason, refused.requests) == ("too_long", 0)
    assert asked.reply(Prediction(request.key, "{}", 2, "stop")).question.about["sentence"] == "Ann"


def test_only_what_is_drawn_has_a_seed(requests):
    assert [request.seed for request in requests([question("Ann")])] == [None]
    assert [request.seed for request in requests([question("Ann")], temperature=1.0)] == [7]


def test_a_question_that_is_put_back_is_drawn_anew(requests):
    feed = Feed([question("Ann")])
    asked = requests(feed)
    (one,) = asked
    feed.put_back(asked.reply(Prediction(one.key, "?", 1, "stop")).question)
    (two,) = asked
    assert (two.key, two.temperature, two.seed) == (one.key + 1, 0.5, 8)


def test_the_budget_ends_the_requests(requests):
    asked = requests([question("Ann"), question("Bob")], meter=Meter(max_requests=1))
    assert len(list(asked)) == 1
    assert isinstance(asked.stopped, BudgetSpent)


@pytest.mark.parametrize(("given", "sampler"), [({}, "0"), ({"VLLM_USE_FLASHINFER_SAMPLER": "1"}, "1")])
def test_replicas_sample_without_a_compiler_unless_the_user_says_so(given, sampler):
    assert ray_data.environment(True, given)["VLLM_USE_FLASHINFER_SAMPLER"] == sampler


# -------------------------------------------------------------------------------------------------- the real things


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from random_model import make_random

    return make_random(tmp_path_factory.mktemp("teacher") / "model", hidden_size=128, layers=2)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    from recipe.corpora import datasets as corpora

    (dataset,), _ = corpora.find_datasets(ROOT / "data_prep" / "sample", ["CrossNER_AI"])
    examples = [example for example, _ in zip(corpora.read_dataset(dataset, "dev"), range(16), strict=False)]
    lines = [{"text": e.sentence, "types": list(e.types)} for e in examples]
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"text": "a <|im_end|> b"}]))
    return path


def annotate(teacher, folder, texts, work, *more, status=0):
    """The answers of the command by sentence."""
    command = ["-m", "recipe.cot", "annotate", "--input", texts, "--work", work, "--teacher", teacher]
    command += ["--model", folder, "--temperature", 0, "--seed", 3, "--max-tokens", 24, "--dtype", "float32", *more]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == status, done.stderr[-4000:]
    records = map(json.loads, (work / "annotate.jsonl").read_text().splitlines())
    return {record["sentence"]: record for record in records}


@pytest.fixture(scope="module")
def begun(folder, texts, tmp_path_factory):
    work = tmp_path_factory.mktemp("offline") / "begun"
    return work, annotate("vllm", folder, texts, work, "--max-requests", 4, status=3)


@pytest.fixture(scope="module")
def offline(begun, folder, texts):
    work, some = begun
    return work, some, annotate("vllm", folder, texts, Path(shutil.copytree(work, work.with_name("whole"))))


@pytest.mark.slow
@pytest.mark.vllm
def test_a_local_teacher_stops_at_its_budget(begun):
    _, some = begun
    assert sum(record["status"] == "answered" for record in some.values()) == 4


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.long
def test_a_local_teacher_goes_on_where_it_stopped(offline):
    _, some, all_of_them = offline
    assert [record["reason"] for record in all_of_them.values() if record["reason"]] == ["control_token"]
    assert sum(record["requests"] for record in all_of_them.values()) == 16
    assert some.items() <= all_of_them.items()


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.long
def test_ray_data_goes_on_where_one_machine_stopped_and_gives_the_same_answers(offline, folder, texts):
    work, some, expected = offline
    found = annotate("ray", folder, texts, work)
    assert some.items() <= found.items()
    same = ("id", "status", "reason", "output", "finish_reason", "input_tokens", "output_tokens")
    assert {s: [record[name] for name in same] for s, record in found.items()} == {
        s: [record[name] for name in same] for s, record in expected.items()
    }
