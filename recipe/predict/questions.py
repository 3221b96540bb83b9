"""What a model is asked about a text: the windows of the text, and one prompt or one a type about each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recipe import answers
from recipe.answers.prompt import check_template
from recipe.answers.queries import ask, wording
from recipe.core.entities import DEFAULT_FORMAT, DataError, Example
from recipe.corpora.texts import Record, check_types
from recipe.predict.windows import Window

if TYPE_CHECKING:
    from recipe.answers import Grammar


@dataclass(frozen=True, slots=True)
class Settings:
    """How texts are asked about.

    `window`: at most so many "tokens" or "words" of text at a time, such as (200, "words"); None: as many as there is
    room for. `max_reasoning_tokens`: a longer think block is closed. `constrained`: the answer keeps to its layout and
    to the types. `samples`: so many answers a text, of which a find needs the share `min_agreement`. `all_mentions`:
    a name that is found is marked wherever it stands, not as often as the answer gives it. `relation_types`: those of
    relations, or the roles of an event's arguments, where answers have them beside the types of entities or events.
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
    answer_format: str | None = None
    template: str | None = None
    wordings: Mapping[str, str] | None = None
    relation_types: tuple[str, ...] = ()

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
        if self.relation_types:
            checked = check_types(self.relation_types, "--relation-types")
            object.__setattr__(self, "relation_types", checked)  # a frozen dataclass
        if self.answer_format is not None:
            answers.asked_types(self.answer_format, (), self.relation_types)
            if self.all_mentions and self.finds != ("entities",):
                raise DataError("--all-mentions: is for entities alone, and this model finds others; leave it out")
        if self.constrained:
            answers.grammar(self.answer_format or DEFAULT_FORMAT, ())
        if self.template is not None:
            check_template(self.template)

    def asked(self, text: str, types: tuple[str, ...]) -> tuple[Example, ...]:
        """A text as the examples to ask about: one, or one for each type."""
        types, relation_types = answers.asked_types(self._format, types, self.relation_types)
        return ask(Example(text, types, format=self._format, relation_types=relation_types))

    def prompt(self, example: Example) -> str:
        """What is asked about an example; about a type that wasn't trained on, without worked examples."""
        return answers.render_prompt(example, wording(example, self.template, self.wordings))

    def grammar(self, types: tuple[str, ...], text: str) -> Grammar | None:
        """What holds an answer about a text to its layout, where answers are constrained."""
        if not self.constrained:
            return None
        types, relation_types = answers.asked_types(self._format, types, self.relation_types)
        return answers.grammar(self._format, types, text, relation_types=relation_types)

    @property
    def finds(self) -> tuple[str, ...]:
        """What records tell of: entities, relations, both, or events."""
        task = answers.task(self._format)
        if task == "ee":
            return ("events",)
        if task == "re":
            return ("entities", "relations") if self.relation_types else ("relations",)
        return ("entities",)

    @property
    def _format(self) -> str:
        return self.answer_format or DEFAULT_FORMAT


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What is asked about one record: its windows and their prompts as token ids, as many about each.

    None of either with an `error`.
    """

    record: Record
    windows: tuple[Window, ...] = ()
    prompts: tuple[tuple[int, ...], ...] = ()
    error: str | None = None
