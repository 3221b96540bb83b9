"""Teachers: which one is asked, the options of each, and how a step goes through its rows with the one it has.

A teacher is an OpenAI-compatible endpoint, vLLM on this machine, or vLLM on a Ray cluster.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from recipe.core.entities import DataError
from recipe.cot import store
from recipe.cot.questions import Feed, Meter, Question, Reply
from recipe.generate.bar import bar
from recipe.generate.engine import LOG

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ENDPOINT, VLLM, RAY = TEACHERS = ("endpoint", "vllm", "ray")
MAX_TOKENS = 4096
CHARACTERS = 4  # of a token, where no tokenizer says better


class Teacher(Protocol):
    """Who is asked. `tokenizer`: the one of its model, where it is at hand."""

    tokenizer: PreTrainedTokenizerBase | None

    def answers(self, feed: Feed) -> Iterator[Reply]: ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A teacher, not started yet, its meter, and the settings that a step's results depend on; no secret in them."""

    teacher: Teacher
    settings: dict[str, object]
    meter: Meter


# ---------------------------------------------------------------------------------------------------------- choice


def choose(args: argparse.Namespace, models: tuple[str, ...], settings: Mapping[str, object]) -> Chosen:
    """The teacher that the options name. DataError for options that don't go together or a model that isn't there.

    `settings` are the step's own. An endpoint is looked at here, so that a wrong key or name costs seconds and no
    money.
    """
    _check_numbers(args)
    meter = Meter(args.price_input, args.price_output, args.max_requests)
    teacher, answers_depend_on = (_endpoint if args.teacher == ENDPOINT else _folder)(args, models, meter)
    return Chosen(teacher, {**answers_depend_on, **settings}, meter)


def _folder(args: argparse.Namespace, models: tuple[str, ...], meter: Meter) -> tuple[Teacher, dict[str, object]]:
    for name in ("base_url", "api_key_env", "body"):
        if getattr(args, name) is not None:
            raise DataError(f"{_option(name)}: is for --teacher endpoint")
    if len(models) > 1:
        raise DataError(f"--teacher {args.teacher}: holds one model at a time; two need --teacher endpoint")
    from recipe.cot.local import Local, load

    model = load(models[0], args)
    # One teacher, wherever it runs: what was begun on one machine goes on on a cluster.
    settings = {"teacher": VLLM, **model.settings}
    if args.teacher == VLLM:
        return Local(model, meter, args.work / LOG), settings
    from recipe.cot.ray_data import OnRay

    return OnRay(model, meter, args.replicas), settings


def _endpoint(args: argparse.Namespace, models: tuple[str, ...], meter: Meter) -> tuple[Teacher, dict[str, object]]:
    from recipe.cot.endpoint import OPENAI, Endpoint, Options, check_url, read_body, read_key

    options = Options(
        model=models[0],
        base_url=check_url(args.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI),
        temperature=args.temperature,
        max_tokens=(MAX_TOKENS if args.max_tokens is None else args.max_tokens) or None,
        seed=args.seed,
        body=read_body(args.body),
        concurrency=args.concurrency,
        attempts=args.attempts,
        timeout=args.timeout,
        first_wait=args.backoff,
    )
    endpoint = Endpoint(options, read_key(args.api_key_env), meter)
    if not args.dry_run:
        endpoint.check(models)
    # Not the address: a server that comes back elsewhere is the same teacher.
    named = ("model", "temperature", "max_tokens", "seed", "body")
    return endpoint, {"teacher": ENDPOINT, **{name: getattr(options, name) for name in named}}


# --------------------------------------------------------------------------------------------------------- options


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def at_least_one(args: argparse.Namespace, *names: str) -> None:
    """DataError for an option that is given and below 1."""
    for name in names:
        if (value := getattr(args, name)) is not None and value < 1:
            raise DataError(f"{_option(name)} {value}: at least 1 is needed")


def _check_numbers(args: argparse.Namespace) -> None:
    at_least_one(args, "concurrency", "attempts", "batch", "tensor_parallel_size", "replicas", "max_model_len")
    for name in ("timeout", "backoff"):
        if not 0 < getattr(args, name) < float("inf"):
            raise DataError(f"{_option(name)} {getattr(args, name)}: more than 0 seconds are needed")
    for name in ("max_tokens", "max_requests", "price_input", "price_output"):
        if (value := getattr(args, name)) is not None and not 0 <= value < float("inf"):
            raise DataError(f"{_option(name)} {value}: 0 or more is needed")
    if args.temperature is not None and not 0 <= args.temperature <= 2:
        raise DataError(f"--temperature {args.temperature}: between 0 and 2 is needed")
    if (args.price_input is None) != (args.price_output is None):
        raise DataError("--price-input and --price-output: give both or neither")


def _temperature(text: str) -> float | None:
    return None if text == "none" else float(text)


def add_arguments(parser: argparse.ArgumentParser, temperature: float) -> None:
    """The options of all teachers."""
    add = parser.add_argument
    add("--teacher", choices=TEACHERS, required=True, help="an OpenAI-compatible endpoint, vLLM here, vLLM on Ray")
    add("--temperature", type=_temperature, default=temperature, metavar="T",
        help=f"default {temperature}; none: the endpoint's own")  # fmt: skip
    add("--seed", type=int, metavar="N", help="default: 0 for vLLM, none is sent to an endpoint")
    add("--max-tokens", type=int, metavar="N",
        help=f"of an answer; {MAX_TOKENS}, or half of what a local model holds; 0: the endpoint's own")  # fmt: skip
    add("--max-requests", type=int, metavar="N",
        help="stop with status 3 after so many in this folder and step; a larger number goes on")  # fmt: skip
    add("--price-input", type=float, metavar="X", help="of a million tokens, in any currency, for the cost")
    add("--price-output", type=float, metavar="X", help="of a million tokens")
    add("--retry-failed", action="store_true", help="ask again about the rows that failed")
    add("--dry-run", action="store_true", help="print a prompt, counts and an estimate of tokens; ask nothing")
    add("--tokenizer", metavar="MODEL", help="counts the tokens of --dry-run; without it: 4 characters each")
    http = parser.add_argument_group("endpoint")
    add = http.add_argument
    add("--base-url", metavar="URL", help="such as http://localhost:8000/v1; default: OPENAI_BASE_URL, or OpenAI's")
    add("--api-key-env", metavar="NAME", help="environment variable with the key; default OPENAI_API_KEY")
    add("--concurrency", type=int, default=64, metavar="N", help="questions under way at a time; default 64")
    add("--attempts", type=int, default=6, metavar="N", help="requests for a row, at most; default 6")
    add("--timeout", type=float, default=600.0, metavar="SECONDS", help="of a request; default 600")
    add("--backoff", type=float, default=1.0, metavar="SECONDS", help="before the second request, then doubled")
    add("--body", metavar="JSON", help="sent along, such as '{\"max_completion_tokens\": 4096}'")
    vllm = parser.add_argument_group("vllm and ray")
    add = vllm.add_argument
    add("--max-model-len", type=int, metavar="N", help="prompt and answer, tokens; 8192, or what the model holds")
    add("--dtype", default="auto", choices=("auto", "bfloat16", "float16", "float32"), help="default: the model's own")
    add("--tensor-parallel-size", type=int, default=1, metavar="N", help="GPUs that share the model; default 1")
    add("--batch", type=int, default=256, metavar="N", help="sequences decoded at a time; default 256")
    add("--replicas", type=int, metavar="N", help="copies of the model on the cluster; default: one on each GPU")


# ------------------------------------------------------------------------------------------------------------ steps


@contextlib.contextmanager
def results(
    args: argparse.Namespace,
    step: str,
    chosen: Chosen,
    rows: int,
    count: Callable[[Collection[str]], int],
    note: str = "",
) -> Iterator[tuple[set[str], Callable[[Mapping], None]]]:
    """The ids that a step's file holds, and a function that adds a record to it, under a bar over the `rows`.

    `count` says how many of the rows are among ids. At the end a line says what was added, and the `note`.
    """
    if args.retry_failed:
        store.drop_failed(args.work, step)
    with store.open_store(args.work, step, chosen.settings) as (done, add):
        chosen.meter.before(store.read(args.work, step))
        new: Counter[str] = Counter()
        with bar(rows, count(done), step, "row") as shown:

            def keep(record: Mapping) -> None:
                add(record)
                new[record["reason"] or record["status"]] += 1
                shown.set_postfix_str(str(chosen.meter), refresh=False)
                shown.update()

            yield done, keep
    summary = ", ".join(f"{number:,} {name}" for name, number in new.most_common()) or "nothing to do"
    print(f"{step}: {summary}{note}; in all {chosen.meter}", file=sys.stderr)


def dry_run(args: argparse.Namespace, step: str, questions: Iterable[Question]) -> None:
    """Print a whole prompt, how many would be asked, and the tokens that they have."""
    count, asked, tokens = _counter(args), 0, 0
    for asked, question in enumerate(questions, 1):
        if asked == 1:
            for message in question.messages:
                print(f"--- {message['role']} ---\n{message['content']}")
            print("---")
        tokens += sum(count(message["content"]) for message in question.messages)
    how = "counted by the tokenizer" if args.tokenizer else f"at {CHARACTERS} characters each; --tokenizer counts them"
    print(f"{asked:,} to {step}, about {tokens:,} input tokens ({how})")
    if args.price_input is not None:
        print(f"input costs about {args.price_input * tokens / 1e6:.4g}; what answers cost depends on the teacher")


def _counter(args: argparse.Namespace) -> Callable[[str], int]:
    if not args.tokenizer:
        return lambda text: -(-len(text) // CHARACTERS)
    from recipe.models.folder import load_tokenizer

    tokenizer = load_tokenizer(args.tokenizer)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])
