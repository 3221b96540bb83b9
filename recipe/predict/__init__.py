"""Text in, entities with offsets out: a model that is loaded once and asked as often as one likes.

    from recipe import predict

    with predict.load("models/grpo_qwen3_8b") as model:
        result = model("Ada Lovelace met Babbage in London .", ["person", "location"])
        for entity in result.entities:
            print(entity.type, entity.name, entity.start, entity.end)      # location London 28 34
        for result in model.many(texts, ["person", "location"]): ...       # in the texts' order, batched

The same from a shell, a record of JSON for each text:

    python -m recipe.predict models/grpo_qwen3_8b --types person,location --text "Ada Lovelace met Babbage in London ."
    {"index": 0, "sentence": "Ada Lovelace ...", "reasoning": "...", "entities": [{"type": "location", "name": "London",
     "start": 28, "end": 34}, ...], "not_in_text": [], "off_schema": [], "answers": 1, "unparsable": 0, "cut": 0}

A text is asked about as a row of the training data is, with the same tokens. One that is longer than the model has room
for is cut into windows (recipe.predict.windows). One that holds a control token, such as `<|im_end|>`, is not asked
about: its result says so in `error`. Importing this package loads nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.control_tokens import find_control_token
from recipe.answers.prompt import check_template
from recipe.answers.queries import ask, wording
from recipe.core.entities import DEFAULT_FORMAT, DataError, Example, has_lone_surrogate
from recipe.corpora.texts import Record, as_records
from recipe.generate.engine import Decoding, Engine, Request
from recipe.generate.predictions import Prediction
from recipe.models.chat import encode_prompt
from recipe.models.folder import MAX_NEW_TOKENS, fit_lengths, load_tokenizer, model_folder
from recipe.predict.readings import Result, join, read, together, vote
from recipe.predict.windows import Window, cut

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from recipe.answers import Grammar

MANIFEST = "data_manifest.json"  # recipe.merge put it there
ANSWER_ROOM = 1024  # tokens that a constrained answer has at least, or half of a smaller limit
CLOSING_ROOM = 16  # tokens that closing a think block may take, more than enough


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts are asked about.

    `window`: at most so many "tokens" or "words" of text at a time, such as (200, "words"); None: as many as there is
    room for. `max_reasoning_tokens`: a longer think block is closed. `constrained`: the answer keeps to its layout and
    to the types. `samples`: so many answers a text, of which an entity needs the share `min_agreement`.
    `answer_format`, `template` and, for questions about one type, `wordings` (type -> template): those that the model
    was trained on; None: `load` looks in the model's folder.
    """

    window: tuple[int, str] | None = None
    max_reasoning_tokens: int | None = None
    constrained: bool = False
    samples: int = 1
    temperature: float = 0.0
    min_agreement: float = 0.5
    seed: int = 0
    answer_format: str | None = None
    template: str | None = None
    wordings: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise DataError(f"--samples {self.samples}: at least 1 is needed")
        if self.temperature < 0:
            raise DataError(f"--temperature {self.temperature}: 0 or more is needed")
        if self.samples > 1 and self.temperature == 0:
            raise DataError(f"--samples {self.samples} with --temperature 0: all would be alike; raise the temperature")
        if not 0 < self.min_agreement <= 1:
            raise DataError(f"--min-agreement {self.min_agreement}: a share above 0, up to 1, is needed")
        if self.max_reasoning_tokens is not None and self.max_reasoning_tokens < 1:
            raise DataError(f"--max-reasoning-tokens {self.max_reasoning_tokens}: at least 1 is needed")
        if self.window and (self.window[0] < 1 or self.window[1] not in ("tokens", "words")):
            raise DataError(f"--window {self.window}: so many tokens or words, at least 1, are needed")
        if self.answer_format is not None:
            answers.check_format(self.answer_format)
        if self.constrained:
            answers.grammar(self.answer_format or DEFAULT_FORMAT, ())
        if self.template is not None:
            check_template(self.template)

    def asked(self, text: str, types: tuple[str, ...]) -> tuple[Example, ...]:
        """A text as the examples to ask about: one, or one for each type."""
        return ask(Example(text, types, format=self.answer_format or DEFAULT_FORMAT))

    def prompt(self, example: Example) -> str:
        """What is asked about an example; about a type that wasn't trained on, without worked examples."""
        return answers.render_prompt(example, wording(example, self.template, self.wordings))

    def grammar(self, types: tuple[str, ...], text: str) -> Grammar | None:
        """What holds an answer about a text to its layout, where answers are constrained."""
        return answers.grammar(self.answer_format or DEFAULT_FORMAT, types, text) if self.constrained else None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked about one record: its windows and their prompts as token ids, as many about each.

    None of either with an `error`.
    """

    record: Record
    windows: tuple[Window, ...] = ()
    prompts: tuple[tuple[int, ...], ...] = ()
    error: str | None = None


@dataclass
class Predictor:
    """A model folder, and how it is asked. vLLM is started by the first question; `close` ends its processes."""

    folder: Path
    settings: Settings
    decoding: Decoding
    tokenizer: PreTrainedTokenizerBase
    stop_ids: Sequence[int]
    _engine: Engine | None = field(default=None, init=False, repr=False)

    def __call__(self, text: str, types: Iterable[str]) -> Result:
        """What the model finds in one text."""
        return next(self.many([text], types))

    def many(self, texts: Iterable[str], types: Iterable[str]) -> Iterator[Result]:
        """What the model finds in each text, in the texts' order; all texts are read before the first is asked about.

        DataError for types that can't be asked for.
        """
        return self.results([self.plan(record) for record in as_records(texts, types)])

    def close(self) -> None:
        """End vLLM's processes."""
        if self._engine:
            self._engine.close()
            self._engine = None

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---------------------------------------------------------------------------------------------------- questions

    def plan(self, record: Record) -> Plan:
        """The questions about a record. A text that can't be asked about gets a plan with an error."""
        if not record.text.strip():
            return Plan(record)
        if has_lone_surrogate(record.text):
            return Plan(record, error="the text holds half of a surrogate pair; take it out")
        if token := find_control_token(record.text, self.tokenizer):
            return Plan(record, error=f"the text holds the control token {token!r}; take it out")
        if record.prompt is not None and [record.prompt] != self._questions(record.text, record.types):
            raise DataError("the row's prompt has another wording; give it with --prompt-template")
        made: dict[str, list[tuple[int, ...]]] = {}

        def fits(text: str) -> bool:
            if self._over_window(text):
                return False
            made[text] = self._encode(text, record.types)
            return all(len(prompt) <= self._prompt_room for prompt in made[text])

        try:
            windows = cut(record.text, fits)
            parts = [record.text[window.start : window.end] for window in windows]
            prompts = (prompt for part in parts for prompt in made.get(part) or self._encode(part, record.types))
            return Plan(record, windows, tuple(prompts))
        except DataError as error:
            return Plan(record, error=str(error))

    @property
    def _prompt_room(self) -> int:
        return self.decoding.max_model_len - self.decoding.max_new_tokens

    def _over_window(self, text: str) -> bool:
        if self.settings.window is None:
            return False
        limit, unit = self.settings.window
        pieces = self.tokenizer(text, add_special_tokens=False)["input_ids"] if unit == "tokens" else text.split()
        return len(pieces) > limit

    def _questions(self, text: str, types: tuple[str, ...]) -> list[str]:
        return [self.settings.prompt(example) for example in self.settings.asked(text, types)]

    def _encode(self, text: str, types: tuple[str, ...]) -> list[tuple[int, ...]]:
        messages = ([{"role": "user", "content": question}] for question in self._questions(text, types))
        return [tuple(encode_prompt(self.tokenizer, message)) for message in messages]

    def requests(self, plans: Iterable[Plan]) -> Iterator[Request]:
        """A request for each sample of each question about each window of each plan, numbered from 0, in this order."""
        settings, number = self.settings, 0
        limit = settings.max_reasoning_tokens
        if settings.constrained and limit is None:
            room = self.decoding.max_new_tokens
            limit = max(1, room - min(ANSWER_ROOM, room // 2) - CLOSING_ROOM)
        for plan in plans:
            each = len(plan.prompts) // max(1, len(plan.windows))  # prompts about a window: 1, or 1 a type
            for place, prompt in enumerate(plan.prompts):
                window = plan.windows[place // each]
                text = plan.record.text[window.start : window.end]
                rules = settings.grammar(plan.record.types, text)
                for sample in range(settings.samples):
                    seed = settings.seed + sample if settings.temperature else None
                    yield Request(number, prompt, settings.temperature, seed, limit, rules)
                    number += 1

    # ------------------------------------------------------------------------------------------------------ answers

    def results(
        self,
        plans: Sequence[Plan],
        done: Mapping[int, Prediction] | None = None,
        save: Callable[[Prediction], None] | None = None,
    ) -> Iterator[Result]:
        """The results of plans, in their order, as soon as they and all before them are there.

        `done`: completions by the number of their request, which are not made again. `save` is given each new one.
        """
        there, known = dict(done or {}), frozenset(done or {})
        first = 0
        completions = self.completions((r for r in self.requests(plans) if r.key not in known), save)
        for index, plan in enumerate(plans):
            count = len(plan.prompts) * self.settings.samples
            numbers = range(first, first + count)
            while not all(number in there for number in numbers):
                prediction = next(completions)
                there[prediction.index] = prediction
            yield assemble(index, plan, [there.pop(number) for number in numbers], self.settings)
            first += count

    def completions(
        self, requests: Iterable[Request], save: Callable[[Prediction], None] | None = None
    ) -> Iterator[Prediction]:
        """What the model writes, `index` being the request's number, in the order in which it finishes."""
        if self._engine is None:
            self._engine = Engine(self.folder, self.decoding, self.stop_ids, self.tokenizer)
        for prediction in self._engine.run(requests):
            if save:
                save(prediction)
            yield prediction

    @property
    def closed_by_limit(self) -> int:
        """Think blocks that this process closed because they were longer than allowed."""
        return self._engine.closed_by_limit if self._engine else 0


def assemble(index: int, plan: Plan, completions: Sequence[Prediction], settings: Settings) -> Result:
    """The result of a plan out of its completions: for each window and question in order as many as samples."""
    record, samples = plan.record, settings.samples
    votes, parsed = [], 0
    for number, window in enumerate(plan.windows):
        text = record.text[window.start : window.end]
        size = len(completions) // len(plan.windows)
        made = completions[number * size : (number + 1) * size]
        asked = settings.asked(text, record.types)
        each = [read(asked[place // samples], prediction.output) for place, prediction in enumerate(made)]
        readings = [together(each[sample::samples]) for sample in range(samples)]
        parsed += sum(reading.parsed for reading in each)
        votes.append(vote(readings, settings.min_agreement))
    return Result(
        index,
        record.text,
        record.types,
        **join(record.text, plan.windows, votes, samples),
        answers=len(completions),
        unparsable=len(completions) - parsed,
        cut=sum(prediction.finish_reason == "length" for prediction in completions),
        error=plan.error,
        id=record.id,
    )


def trained_on(folder: Path) -> dict[str, object]:
    """Answer format and wording of the rows that a model was trained on, as the data's manifest in its folder says."""
    try:
        entries = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).values()
        entry = next(iter(entries))
        arguments = entry["arguments"]
    except (OSError, ValueError, AttributeError, KeyError, TypeError, StopIteration):
        entry, arguments = {}, {}
    name = arguments.get("answer_format") or DEFAULT_FORMAT
    template = next((text for option, text in answers.wordings(name).items() if arguments.get(option)), None)
    by_dataset = entry.get("wordings") if isinstance(entry.get("wordings"), dict) else {}
    # A type that several datasets have is asked about as in the first of them.
    wordings = {label: text for name in sorted(by_dataset, reverse=True) for label, text in by_dataset[name].items()}
    return {
        "answer_format": name,
        "template": template,
        "wordings": wordings or None,
    }


def load(
    model: str | Path,
    *,
    max_model_len: int | None = None,
    max_new_tokens: int | None = None,
    dtype: str = "auto",
    tensor_parallel_size: int = 1,
    batch: int = 256,
    **settings: object,
) -> Predictor:
    """A model folder, or a model of the hub, ready to be asked. `settings` are those of `Settings`.

    DataError for a folder that is no model, and for settings that don't go together.
    """
    from recipe.eos import wanted_eos

    chosen, folder = Settings(**settings), model_folder(str(model))
    if chosen.answer_format is None:
        found = trained_on(folder)
        given = {"template": chosen.template, "wordings": chosen.wordings}
        chosen = replace(chosen, **found | {name: value for name, value in given.items() if value})
    max_model_len, longest = fit_lengths(folder, max_model_len, max_new_tokens)
    if max_new_tokens is None:  # half of a short model, so that there is room for texts
        longest = min(MAX_NEW_TOKENS, max_model_len // 2)
    limit = chosen.max_reasoning_tokens
    if limit is not None and limit + CLOSING_ROOM >= longest:
        raise DataError(
            f"--max-reasoning-tokens {limit}: leaves no room for an answer within {longest} new tokens; ask for fewer, "
            "or raise --max-new-tokens"
        )
    tokenizer = load_tokenizer(folder)
    decoding = Decoding(max_model_len, longest, dtype, tensor_parallel_size, batch)
    return Predictor(folder, chosen, decoding, tokenizer, wanted_eos(folder, tokenizer))
