"""Examples written as files of each layout: `<layout>(path, examples)`, a ValueError for what it can't say."""

from collections.abc import Sequence
from pathlib import Path

from recipe.core.entities import Example


def conll(path: Path, examples: Sequence[Example]) -> None:
    """Columns: words, or characters if no sentence has a space. Entities end where tokens do and don't overlap."""
    by_word = any(" " in example.sentence for example in examples)
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            tokens = example.sentence.split(" ") if by_word else list(example.sentence)
            tags = ["O"] * len(tokens)
            starts = [sum(len(token) + by_word for token in tokens[:number]) for number in range(len(tokens))]
            ends = [start + len(token) for start, token in zip(starts, tokens, strict=True)]
            for entity in example.entities:
                at = example.sentence.find(entity.name) if entity.start is None else entity.start
                first, last = starts.index(at), ends.index(at + len(entity.name))
                if tags[first : last + 1] != ["O"] * (last + 1 - first):
                    raise ValueError(f"entities overlap in {example.sentence!r}")
                tags[first : last + 1] = [f"B-{entity.type}"] + [f"I-{entity.type}"] * (last - first)
            file.writelines(f"{token}\t{tag}\n" for token, tag in zip(tokens, tags, strict=True))
            file.write("\n")
