"""What a type means, in one sentence: the entity-tag format's prompts say it.

describe("person", "CrossNER_politics")   # "A person who is not a politician ..."

The sentences are in type_descriptions.yaml: under `any` what a type means in general, under `datasets` where a
dataset's guidelines narrow or widen that.
"""

import functools
from collections.abc import Mapping
from pathlib import Path

from recipe.core.entities import DataError, normalize_type

DESCRIPTIONS = Path(__file__).with_suffix(".yaml")


def plain_description(label: str) -> str:
    """What is said of a type that nobody has described."""
    return f"An entity of the type {label}."


def describe(label: str, dataset: str = "", file: Path = DESCRIPTIONS) -> str:
    """The sentence for a type of a dataset, for the type in general, or the one for types that have none.

    DataError for a file that doesn't hold such sentences.
    """
    general, by_dataset = _load(file)
    label = normalize_type(label)
    return by_dataset.get(dataset, {}).get(label) or general.get(label) or plain_description(label)


@functools.lru_cache(maxsize=8)
def _load(file: Path) -> tuple[Mapping[str, str], Mapping[str, Mapping[str, str]]]:
    import yaml

    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file}: cannot be read ({' '.join(str(error).split())[:80]}); correct it") from error
    general, by_dataset = (tree.get("any"), tree.get("datasets")) if isinstance(tree, dict) else (None, None)
    sections = [general, *(by_dataset.values() if isinstance(by_dataset, dict) else [None])]
    if not all(isinstance(section, dict) for section in sections):
        raise DataError(f"{file}: needs `any: {{type: sentence}}` and `datasets: {{name: {{type: sentence}}}}`")
    for section in sections:
        for label, sentence in section.items():
            if not isinstance(label, str) or not isinstance(sentence, str) or label != normalize_type(label):
                raise DataError(f"{file}: {label!r}: needs a type in lower case and a sentence")
    return general, by_dataset
