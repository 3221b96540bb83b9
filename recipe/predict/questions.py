"""What a model is asked about a text: the windows of the text, and one prompt or one a type about each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.prompt import check_template
from recipe.answers.queries import ask, wording
from recipe.core.entities import DEFAULT_FORMAT, DataError, Example
from recipe.corpora.texts import Record
from recipe.predict.windows import Window

if TYPE_CHECKING:
    from recipe.answers import Grammar


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts are asked about.

    `window`: at most so many "tokens" or "words" of text at a time, such as (200, "words"); None: as many as there is
    room for. `max_reasoning_tokens`: a longer think block is closed. `constrained`: the answer keeps to its layout and
    to the types. `samples`: so many answers a text, of which an entity needs the share `min_agreement`. `all_mentions`:
    a name that is found is marked wherever it stands, not as often as the answer gives it. `relation_types`: those of
    relations, or the roles of an event's arguments, where a model's answers have them beside entities or events.
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
    all_mentions: bool = False
    relation_types: tuple[str, ...] = ()
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
        name = self.answer_format or DEFAULT_FORMAT
        types, of_relations = answers.asked_types(name, types, self.relation_types)
        return ask(Example(text, types, format=name, relation_types=of_relations))

    def prompt(self, example: Example) -> str:
        """What is asked about an example; about a type that wasn't trained on, without worked examples."""
        return answers.render_prompt(example, wording(example, self.template, self.wordings))

    def grammar(self, types: tuple[str, ...], text: str) -> Grammar | None:
        """What holds an answer about a text to its layout, where answers are constrained."""
        if not self.constrained:
            return None
        name = self.answer_format or DEFAULT_FORMAT
        types, of_relations = answers.asked_types(name, types, self.relation_types)
        return answers.grammar(name, types, text, False, of_relations)


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked about one record: its windows and their prompts as token ids, as many about each.

    None of either with an `error`.
    """

    record: Record
    windows: tuple[Window, ...] = ()
    prompts: tuple[tuple[int, ...], ...] = ()
    error: str | None = None
