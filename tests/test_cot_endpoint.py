"""A teacher behind a real HTTP port: what is asked again, what fails a row, what stops all, and what must not leak."""

import json
import time

import pytest
from cot_server import TeacherServer

from recipe.core.entities import DataError
from recipe.cot.endpoint import Endpoint, Options, check_url, read_body, read_key
from recipe.cot.failures import redact, retry_after
from recipe.cot.prompts import PLAIN, annotation_messages
from recipe.cot.questions import BudgetSpent, Feed, Meter, Question
from recipe.cot.row import Row

pytest.importorskip("openai")

KEY = "sk-very-secret-0123456789"


@pytest.fixture
def server():
    with TeacherServer() as server:
        yield server


def question(sentence):
    row = Row(sentence, "s", ("person",))
    return Question(annotation_messages(row, PLAIN), {"id": row.id})


def endpoint(server, meter=None, key=KEY, **options):
    options = {"first_wait": 0.01, "attempts": 4, **options}
    return Endpoint(Options("teacher", server.url, **options), key, meter or Meter())


def ask(server, *sentences, **options):
    """Replies by sentence."""
    asked = [question(sentence) for sentence in sentences]
    replies = endpoint(server, **options).answers(Feed(asked))
    found = {reply.question.about["id"]: reply for reply in replies}
    return [found[one.about["id"]] for one in asked]


def collect(replies, found):
    """Put replies into a list that outlives the error at their end."""
    for reply in replies:
        found.append(reply)


# ---------------------------------------------------------------------------------------------------------- replies


def test_an_answer_with_its_tokens_and_cost(server):
    (reply,) = ask(server, "Ann left .", meter=Meter(price_input=2.0, price_output=10.0))
    assert reply.output.startswith('<think>\n"Ann" is')
    assert (reply.finish_reason, reply.requests, reply.input_tokens, reply.output_tokens) == ("stop", 1, 100, 20)
    assert reply.cost == pytest.approx((2 * 100 + 10 * 20) / 1e6)


@pytest.mark.parametrize(
    ("word", "requests"),
    [("@500twice", 3), ("@429", 2), ("@brokenjson", 2), ("@otherjson", 2), ("@html", 2), ("@cut", 2), ("@drop", 2)],
)
def test_what_may_pass_is_asked_again(server, word, requests):
    (reply,) = ask(server, f"Ann {word}")
    assert (reply.reason, reply.requests, server.asked(f"Ann {word}")) == (None, requests, requests)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("@400", "http_400"),
        ("@404", "http_404"),
        ("@413", "http_413"),
        ("@toolong", "too_long"),
        ("@refuse", "refused"),
    ],
)
def test_what_will_not_pass_fails_the_row_at_once(server, word, reason):
    (reply,) = ask(server, f"Ann {word}")
    assert (reply.reason, reply.requests, reply.output) == (reason, 1, None)


def test_a_row_that_fails_forever_does_not_stop_the_rest(server):
    bad, *good = ask(server, "Ann @500", *(f"Bob {i}" for i in range(20)))
    assert (bad.reason, bad.requests) == ("http_500", 4)
    assert all(reply.output for reply in good)


def test_no_answer_in_time_is_a_failure(server):
    (reply,) = ask(server, "Ann @never", timeout=0.2, attempts=2)
    assert (reply.reason, reply.requests) == ("timeout", 2)


def test_retry_after_is_waited_for(server):
    before = time.monotonic()
    ask(server, "Ann @429")
    assert time.monotonic() - before > 0.3


def test_a_date_to_retry_after_is_understood_and_nonsense_is_not():
    from email.utils import formatdate

    assert 5 < retry_after({"retry-after": formatdate(time.time() + 10, usegmt=True)}) <= 10
    assert [retry_after({"retry-after": text}) for text in ("", "soon", "-3", "nan", "inf")] == [None] * 5


def test_reasoning_in_a_field_of_its_own_becomes_the_think_block(server):
    (reply,) = ask(server, "Ann @reasoning")
    assert reply.output.startswith('<think>\n"Ann" is')


def test_no_more_questions_are_under_way_than_allowed():
    with TeacherServer(latency=0.05) as server:
        ask(server, *(f"Ann {i}" for i in range(30)), concurrency=7)
    assert server.most_at_once == 7


def test_questions_are_taken_when_there_is_room_for_them(server):
    taken = []

    def questions():
        for i in range(100):
            taken.append(i)
            yield question(f"Ann {i}")

    replies = endpoint(server, concurrency=5).answers(Feed(questions()))
    next(replies)
    assert len(taken) <= 10
    replies.close()


def test_a_question_that_is_put_back_is_asked_once_more(server):
    feed, seen = Feed([question("Ann left .")]), []
    for reply in endpoint(server, seed=5).answers(feed):
        seen.append(reply)
        if len(seen) < 3:
            feed.put_back(reply.question)
    assert [request.body["seed"] for request in server.log] == [5, 6, 7]
    assert [request.body.get("temperature") for request in server.log] == [None, 0.5, 0.5]


def test_settings_that_are_given_are_sent_and_no_others(server):
    ask(server, "Ann", temperature=0.3, body={"top_k": 5})
    body = server.log[0].body
    assert (body["temperature"], body["top_k"]) == (0.3, 5)
    assert body.keys() == {"model", "messages", "temperature", "top_k"}


# ------------------------------------------------------------------------------------------------------------ stops


def test_a_key_that_is_refused_later_stops_all_and_keeps_what_is_under_way():
    with TeacherServer(latency=0.05) as server:
        feed = Feed(question(s) for s in ["Ann @slow", "Ann @401", *(f"Bob {i}" for i in range(50))])
        got = []
        with pytest.raises(DataError, match=r"refused the key \(401\)"):
            collect(endpoint(server, concurrency=2).answers(feed), got)
    assert len(server.log) < 5
    assert len(got) == len(server.answered) == 1


def test_an_empty_account_stops_all(server):
    with pytest.raises(DataError, match="no money left"):
        ask(server, "Ann @quota", "Bob", concurrency=1)
    assert len(server.log) == 1


def test_the_budget_is_never_exceeded():
    with TeacherServer(latency=0.02) as server:
        meter, got = Meter(max_requests=10), []
        feed = Feed(question(f"Ann {i}") for i in range(50))
        with pytest.raises(BudgetSpent):
            collect(endpoint(server, meter, concurrency=4).answers(feed), got)
    assert len(server.log) == len(got) == meter.requests == 10


# ----------------------------------------------------------------------------------------------------- first look


def test_an_endpoint_that_is_there(server):
    endpoint(server).check(("teacher", "judge"))


def test_a_model_that_is_not_there(server):
    with pytest.raises(DataError, match=r"--model nobody: .* has no such model; it has judge, other, teacher"):
        endpoint(server).check(("nobody",))


def test_a_server_that_does_not_list_its_models():
    with TeacherServer(lists_models=False) as server:
        teacher = endpoint(server)
        teacher.check(("anything",))
        with pytest.raises(DataError, match="are --base-url and --model right"):
            next(teacher.answers(Feed([question("Ann @404")])))


def test_nobody_is_there():
    before = time.monotonic()
    with pytest.raises(DataError, match="can't be reached"):
        Endpoint(Options("teacher", "http://127.0.0.1:9/v1"), KEY, Meter()).check(("teacher",))
    assert time.monotonic() - before < 5


def test_a_wrong_key_is_said_and_not_shown():
    with TeacherServer(key="right") as server, pytest.raises(DataError, match="refused the key") as error:
        endpoint(server).check(("teacher",))
    assert KEY not in str(error.value)


# ------------------------------------------------------------------------------------------------------------- keys


def test_what_the_server_says_of_a_key_is_not_repeated():
    said = redact(f"Incorrect API key\nprovided: {KEY}. Bearer abc.def; sk-other**9012", KEY)
    assert said == "Incorrect API key provided: ***. *** ***"
    assert redact("unsupported risk-assessment", "none") == "unsupported risk-assessment"


def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert (read_key("MY_KEY"), read_key(None)) == (KEY, "none")
    with pytest.raises(DataError, match="NO_KEY"):
        read_key("NO_KEY")


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-sécret\nX: y")
    with pytest.raises(DataError, match="no key has") as error:
        read_key(None)
    assert "cret" not in str(error.value)


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://x/v1", "http://", "http://me:secret@x/v1", "http://x/v1?key=s"]
)
def test_a_base_url_that_is_none_or_holds_a_secret(url):
    with pytest.raises(DataError, match="--base-url") as error:
        check_url(url)
    assert "secret" not in str(error.value)


def test_the_body_is_a_json_object():
    assert read_body('{"top_k": 5}') == {"top_k": 5}
    for text in ("[1]", "x", json.dumps("s")):
        with pytest.raises(DataError, match="--body"):
            read_body(text)
