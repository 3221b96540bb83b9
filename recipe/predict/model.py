"""A model that is asked about texts: its prompts, its completions as they come, and the rows that it was trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import DEFAULT_FORMAT, DataError, has_lone_surrogate
from recipe.corpora.texts import Record, as_records
from recipe.generate.engine import Decoding, Engine, Request, share_cores
from recipe.generate.predictions import Prediction
from recipe.generate.think_block import CLOSING_ROOM, reasoning_room
from recipe.models.chat import encode_prompt
from recipe.models.folder import MAX_NEW_TOKENS, fit_lengths, load_tokenizer, model_folder
from recipe.predict.questions import Inquiry, Settings
from recipe.predict.replies import Result, assemble
from recipe.predict.windows import cut

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MANIFEST = "data_manifest.json"  # recipe.merge put it there


@dataclass
class Predictor(AbstractContextManager):
    """A model folder, and how it is asked. vLLM is started by the first question; `close` ends its processes.

    With a `log`, all that is printed between goes there (recipe.generate.engine).
    """

    folder: Path
    settings: Settings
    decoding: Decoding
    tokenizer: PreTrainedTokenizerBase
    stop_ids: Sequence[int]
    log: Path | None = None
    _engine: Engine | None = field(default=None, init=False, repr=False)

    def __call__(self, text: str, types: Iterable[str]) -> Result:
        """What the model finds in one text."""
        return next(self.many([text], types))

    def many(self, texts: Iterable[str], types: Iterable[str]) -> Iterator[Result]:
        """What the model finds in each text, in the texts' order; all texts are read before the first is asked about.

        DataError for types that can't be asked for.
        """
        return self.results([self.inquiry(record) for record in as_records(texts, types)])

    def close(self) -> None:
        """End vLLM's processes."""
        if self._engine:
            self._engine.close()
            self._engine = None

    def __exit__(self, *error: object) -> None:
        engine, self._engine = self._engine, None
        if engine:
            engine.__exit__(*error)

    # ---------------------------------------------------------------------------------------------------- questions

    def inquiry(self, record: Record) -> Inquiry:
        """The questions about a record. A text that can't be asked about gets an inquiry with an error."""
        if not record.text.strip():
            return Inquiry(record)
        if has_lone_surrogate(record.text):
            return Inquiry(record, error="the text holds half of a surrogate pair; take it out")
        if token := find_control_token(record.text, self.tokenizer):
            return Inquiry(record, error=f"the text holds the control token {token!r}; take it out")
        if record.prompt is not None:
            others = self.settings.relation_types  # an evaluation row has types of both kinds in one list
            record = replace(record, types=tuple(label for label in record.types if label not in others))
            if [record.prompt] != self._questions(record.text, record.types):
                more = "; or its types of relations aren't those of --relation-types" if others else ""
                raise DataError(f"the row's prompt has another wording; give it with --prompt-template{more}")
        room = self.decoding.max_model_len - self.decoding.max_new_tokens
        made: dict[str, list[tuple[int, ...]]] = {}

        def fits(text: str) -> bool:
            if self._over_window(text):
                return False
            made[text] = self._encode(text, record.types)
            return all(len(prompt) <= room for prompt in made[text])

        try:
            windows = cut(record.text, fits)
            parts = [record.text[window.start : window.end] for window in windows]
            prompts = (prompt for part in parts for prompt in made.get(part) or self._encode(part, record.types))
            return Inquiry(record, windows, tuple(prompts))
        except DataError as error:
            return Inquiry(record, error=str(error))

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

    def requests(self, inquiries: Iterable[Inquiry]) -> Iterator[Request]:
        """A request for each sample of each question about each window, in this order, numbered from 0."""
        settings, number = self.settings, 0
        limit = settings.max_reasoning_tokens
        if settings.constrained and limit is None:
            limit = reasoning_room(self.decoding.max_new_tokens)
        for inquiry in inquiries:
            each = len(inquiry.prompts) // max(1, len(inquiry.windows))  # prompts about a window: 1, or 1 a type
            for place, prompt in enumerate(inquiry.prompts):
                window = inquiry.windows[place // each]
                text = inquiry.record.text[window.start : window.end]
                rules = settings.grammar(inquiry.record.types, text)
                for sample in range(settings.samples):
                    seed = settings.seed + sample if settings.temperature else None
                    yield Request(number, prompt, settings.temperature, seed, limit, rules)
                    number += 1

    # ------------------------------------------------------------------------------------------------------ answers

    def results(
        self,
        inquiries: Sequence[Inquiry],
        done: Mapping[int, Prediction] | None = None,
        save: Callable[[Prediction], None] | None = None,
    ) -> Iterator[Result]:
        """The results of inquiries, in their order, as soon as they and all before them are there.

        `done`: completions by the number of their request, which are not made again. `save` is given each new one.
        """
        there, known = dict(done or {}), frozenset(done or {})
        first = 0
        completions = self.completions((r for r in self.requests(inquiries) if r.key not in known), save)
        for index, inquiry in enumerate(inquiries):
            count = len(inquiry.prompts) * self.settings.samples
            numbers = range(first, first + count)
            while not all(number in there for number in numbers):
                prediction = next(completions)
                there[prediction.index] = prediction
            yield assemble(index, inquiry, [there.pop(number) for number in numbers], self.settings)
            first += count

    def completions(
        self, requests: Iterable[Request], save: Callable[[Prediction], None] | None = None
    ) -> Iterator[Prediction]:
        """What the model writes, `index` being the request's number, in the order in which it finishes."""
        if self._engine is None:
            seeded = self.settings.temperature > 0
            self._engine = Engine(self.folder, self.decoding, self.stop_ids, self.tokenizer, self.log, seeded)
        for prediction in self._engine.run(requests):
            if save:
                save(prediction)
            yield prediction

    @property
    def closed_by_limit(self) -> int:
        """Think blocks that this process closed because they were longer than allowed."""
        return self._engine.closed_by_limit if self._engine else 0


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
    log: Path | None = None,
    **settings: object,
) -> Predictor:
    """A model folder, or a model of the hub, ready to be asked. `settings` are the fields of `Settings`.

    What vLLM prints goes to the file `log`; without one its errors are printed here.

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
    share_cores()
    tokenizer = load_tokenizer(folder)
    decoding = Decoding(max_model_len, longest, dtype, tensor_parallel_size, batch)
    return Predictor(folder, chosen, decoding, tokenizer, wanted_eos(folder, tokenizer), log)
