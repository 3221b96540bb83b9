"""Which teacher is asked, and the options of each: an endpoint, vLLM on this machine, vLLM on a Ray cluster."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from recipe.core.entities import DataError
from recipe.cot.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from recipe.cot.questions import Feed, Reply

ENDPOINT, VLLM, RAY = TEACHERS = ("endpoint", "vllm", "ray")
MAX_TOKENS = 4096


class Teacher(Protocol):
    """Who is asked. `tokenizer` is that of its model where it is at hand."""

    tokenizer: PreTrainedTokenizerBase | None

    def answers(self, feed: Feed) -> Iterator[Reply]: ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """A teacher, not started yet, and the settings that its answers depend on; nothing secret among them."""

    teacher: Teacher
    settings: dict[str, object]


def choose(args: argparse.Namespace, meter: Meter, models: tuple[str, ...]) -> Chosen:
    """The teacher that the options name. DataError for options that don't go together or a model that isn't there.

    An endpoint is looked at here, so that a wrong key or name costs seconds and no money.
    """
    _check_numbers(args)
    if args.teacher == ENDPOINT:
        return _endpoint(args, meter, models)
    for name in ("base_url", "api_key_env", "body"):
        if getattr(args, name) is not None:
            raise DataError(f"--{name.replace('_', '-')}: is for --teacher endpoint")
    if len(models) > 1:
        raise DataError(f"--teacher {args.teacher}: holds one model at a time; two need --teacher endpoint")
    from recipe.cot import local

    model = local.load(
        models[0],
        args.max_model_len,
        args.max_tokens or None,
        args.dtype,
        args.tensor_parallel_size,
        args.batch,
        args.temperature or 0.0,
        args.seed or 0,
    )
    # One teacher, wherever it runs: what was begun on one machine goes on on a cluster.
    settings = {"teacher": VLLM, **model.settings}
    if args.teacher == VLLM:
        return Chosen(local.Local(model, meter), settings)
    from recipe.cot.ray_data import OnRay

    return Chosen(OnRay(model, meter, args.replicas), settings)


def _endpoint(args: argparse.Namespace, meter: Meter, models: tuple[str, ...]) -> Chosen:
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
    named = ("temperature", "max_tokens", "seed", "body")
    settings = {"teacher": ENDPOINT, "model": models[0], **{name: getattr(options, name) for name in named}}
    return Chosen(endpoint, settings)


def _check_numbers(args: argparse.Namespace) -> None:
    for name in ("concurrency", "attempts", "batch", "tensor_parallel_size", "replicas", "max_model_len"):
        if (value := getattr(args, name)) is not None and value < 1:
            raise DataError(f"--{name.replace('_', '-')} {value}: at least 1 is needed")
    for name in ("timeout", "backoff"):
        if not 0 < getattr(args, name) < float("inf"):
            raise DataError(f"--{name} {getattr(args, name)}: more than 0 seconds are needed")
    for name in ("max_tokens", "max_requests", "price_input", "price_output"):
        if (value := getattr(args, name)) is not None and not 0 <= value < float("inf"):
            raise DataError(f"--{name.replace('_', '-')} {value}: 0 or more is needed")
    if args.temperature is not None and not 0 <= args.temperature <= 2:
        raise DataError(f"--temperature {args.temperature}: between 0 and 2 is needed")
    if (args.price_input is None) != (args.price_output is None):
        raise DataError("--price-input and --price-output: give both or neither")


def new_meter(args: argparse.Namespace) -> Meter:
    """A meter with the prices and the limit of the options."""
    return Meter(args.price_input, args.price_output, args.max_requests)


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
