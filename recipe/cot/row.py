"""A row to annotate: a text, its types and its gold, and the answer format that it is asked in."""

import json
from dataclasses import dataclass
from hashlib import blake2b

from recipe.answers.control_tokens import find_control_token
from recipe.core.entities import DEFAULT_FORMAT, Entity, Example, Fact, Relation, has_lone_surrogate
from recipe.cot.facts import to_texts


def digest(*texts: str) -> str:
    """16 hex digits that depend on the texts alone."""
    return blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A text to annotate in an answer format. `types` is None if the teacher chooses them, `gold` is None without gold.

    As in an Example, the last of `types` are those of relations.
    """

    sentence: str
    source: str
    types: tuple[str, ...] | None = None
    gold: tuple[Fact, ...] | None = None
    format: str = DEFAULT_FORMAT
    relation_types: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """16 hex digits that only a row of the same content has."""
        content = [self.source, self.sentence, self.types, self.gold_texts]
        if self.format != DEFAULT_FORMAT:
            content += [self.format, self.relation_types]
        return digest(json.dumps(content))

    @property
    def gold_texts(self) -> list[list[str]] | None:
        """The gold as JSON: `[["Ada", "person"], ...]` (recipe.cot.facts)."""
        return None if self.gold is None else [*map(to_texts, self.gold)]

    @property
    def example(self) -> Example:
        """The row with its gold; of types that the teacher chooses there are none."""
        gold = self.gold or ()
        entities = tuple(fact for fact in gold if isinstance(fact, Entity))
        relations = tuple(fact for fact in gold if isinstance(fact, Relation))
        types = self.types or ()
        return Example(self.sentence, types, entities, self.source, None, self.format, relations, self.relation_types)


def of_example(example: Example) -> Row:
    """The row of an example with gold."""
    return Row(example.sentence, example.dataset, example.types, example.facts, example.format, example.relation_types)


def unaskable(row: Row, tokenizer: object = None) -> tuple[str, str] | None:
    """Why a teacher can't be asked about the row, as a reason and a line for people; None if it can be.

    A tokenizer finds the control tokens that only its own model knows.
    """
    names = [mention.name for fact in row.gold or () for mention in fact.mentions]
    if any(has_lone_surrogate(text) for text in (row.sentence, *names)):
        return "lone_surrogate", "the text holds half of a surrogate pair"
    for text in (row.sentence, *names):
        if token := find_control_token(text, tokenizer):
            return "control_token", f"the text holds the control token {token!r}"
    return None
