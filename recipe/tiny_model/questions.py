"""Plain-text questions about sentences, with answers to copy: what `recipe.tiny_model` is trained on.

Two kinds of question share all forms. Entities: which names of a type a sentence has, from a corpus' train split.
Rules: capitalized words, numbers, the word after another, a span between two words, or the sentence itself; a model
learns to find and copy from those long before it learns what a chemical is. The words around a question are in
wordings.yaml. One row, a pair of prompt and answer:

    ('Read the text and list each chemical; disease.\\nText: Naloxone reverses hypertension .\\nAnswer:',
     ' {"chemical": ["Naloxone"], "disease": ["hypertension"]}')

No row holds a chat turn, a think block or the prompt of `recipe.answers`: a base model has seen none of them.
"""

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import yaml

from recipe.core.entities import DataError, clean_types, normalize_type

LONGEST_SENTENCE = 900  # characters
MOST_ANSWERS = 14
_WORDINGS = yaml.safe_load(Path(__file__).with_name("wordings.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Exercise:
    """A sentence, the types asked for, and (name, type) for each thing to copy, in sentence order."""

    sentence: str
    types: tuple[str, ...]
    found: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Annotated:
    """One corpus sentence with its mentions (start, end, type), sorted, without overlaps."""

    sentence: str
    mentions: tuple[tuple[int, int, str], ...]
    types: tuple[str, ...]
    dataset: str


@dataclass
class Corpus:
    """Train and dev records of some datasets, and the names of each type in train."""

    train: dict[str, list[Annotated]]
    dev: dict[str, list[Annotated]]
    dropped: int = 0
    names: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def words(self) -> list[str]:
        """Every word of the train sentences, once."""
        return list(dict.fromkeys(word for sentence in self.sentences for word in sentence.split()))

    @property
    def sentences(self) -> list[str]:
        """All train sentences, in the order of the files."""
        return [record.sentence for records in self.train.values() for record in records]


def key(sentence: str) -> str:
    """What two sentences share if one is the other but for case, spacing and punctuation."""
    return re.sub(r"[\W_]+", " ", sentence.lower()).strip()


def read_corpus(data: Path) -> Corpus:
    """Every dataset under `data`/IE_INSTRUCTIONS/NER; train without the sentences of any dev or test split."""
    root = data / "IE_INSTRUCTIONS" / "NER"
    folders = sorted(path.parent for path in root.glob("*/train.json"))
    if not folders:
        raise DataError(f"{root}: no <dataset>/train.json in it; pass the folder above IE_INSTRUCTIONS with --data")
    splits = {
        split: {folder.name: _read_split(folder, split) for folder in folders} for split in ("train", "dev", "test")
    }
    held_out = {key(r.sentence) for split in ("dev", "test") for rows in splits[split].values() for r in rows}
    train = {n: [r for r in rows if key(r.sentence) not in held_out] for n, rows in splits["train"].items()}
    dropped = sum(map(len, splits["train"].values())) - sum(map(len, train.values()))
    corpus = Corpus(train, splits["dev"], dropped)
    for record in (record for records in train.values() for record in records):
        for start, end, label in record.mentions:
            corpus.names.setdefault(label, []).append(record.sentence[start:end])
    return corpus


def _read_split(folder: Path, split: str) -> list[Annotated]:
    path = folder / f"{split}.json"
    if not path.exists():
        return []
    try:
        labels = clean_types(json.loads((folder / "labels.json").read_text("utf-8")))
        rows = json.loads(path.read_text("utf-8"))
        return [_record(row, labels, folder.name) for row in rows]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not in InstructUIE's layout ({type(error).__name__}: {error})") from error


def _record(row: dict, labels: tuple[str, ...], dataset: str) -> Annotated:
    mentions, last = [], 0
    for entity in sorted(row["entities"], key=lambda e: (e["pos"][0], -e["pos"][1])):
        (start, end), label = entity["pos"], normalize_type(entity["type"])
        # A lone "@" or "!" is tagged in some corpora; it names nothing.
        if start >= last and label in labels and any(c.isalnum() for c in entity["name"]):
            mentions.append((start, end, label))
            last = end
    return Annotated(row["sentence"], tuple(mentions), labels, dataset)


# ------------------------------------------------------------------------------------------------ what to ask for


def ask_entities(record: Annotated, types: Sequence[str] | None = None) -> Exercise:
    """The question for these types (all of the record's if None); each name once a type."""
    types = tuple(record.types if types is None else types)
    found = dict.fromkeys((record.sentence[a:b], label) for a, b, label in record.mentions if label in types)
    return Exercise(record.sentence, types, tuple(found))


def swap_names(record: Annotated, names: dict[str, list[str]], rng: random.Random) -> Annotated:
    """The record with some names exchanged for others of their type: what to copy can't be known by heart."""
    out, mentions, last, size = [], [], 0, 0
    for start, end, label in record.mentions:
        name = rng.choice(names[label]) if label in names and rng.random() < 0.6 else record.sentence[start:end]
        out += [record.sentence[last:start], name]
        size += start - last
        mentions.append((size, size + len(name), label))
        size += len(name)
        last = end
    return Annotated("".join([*out, record.sentence[last:]]), tuple(mentions), record.types, record.dataset)


def some_entities(corpus: Corpus, rng: random.Random) -> Exercise:
    """A question about the entities of a random train sentence; sentences without any come half as often."""
    weights = [len(records) ** 0.5 for records in corpus.train.values()]
    while True:
        record = rng.choice(corpus.train[rng.choices(list(corpus.train), weights)[0]])
        if len(record.sentence) <= LONGEST_SENTENCE and (record.mentions or rng.random() < 0.4):
            break
    if rng.random() < 0.4:
        record = swap_names(record, corpus.names, rng)
    types, dice = list(record.types), rng.random()
    if dice < 0.25:  # one type, more often one that occurs
        present = sorted({label for _, _, label in record.mentions})
        types = [rng.choice(present if present and rng.random() < 0.8 else types)]
    elif dice < 0.45:
        types = rng.sample(types, rng.randint(1, len(types)))
    if dice > 0.85:
        strangers = sorted(set(corpus.names) - set(record.types))
        types += rng.sample(strangers, min(len(strangers), rng.randint(1, 4)))
    if rng.random() < 0.7:
        types.sort()
    else:
        rng.shuffle(types)
    return ask_entities(record, types)


def some_rules(corpus: Corpus, rng: random.Random) -> Exercise:
    """A question a rule answers, about a random train sentence, or in half of the cases about unrelated words.

    What follows what in unrelated words can't be guessed, only copied: that is where copying is learned first.
    """
    while True:
        if rng.random() < 0.5:
            sentence = " ".join(rng.sample(corpus.words, rng.randint(5, 30)))
        else:
            sentence = rng.choice(corpus.train[rng.choice(list(corpus.train))]).sentence[:LONGEST_SENTENCE]
        words = [match.span() for match in re.finditer(r"[^ ]+", sentence)]
        if len(words) < 4:
            continue
        spans: dict[tuple[int, int, str], None] = {}
        types: list[str] = []
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            label, hits = _rule(sentence, words, rng)
            if label not in types and len(spans) + len(hits) <= MOST_ANSWERS:
                types.append(label)
                spans.update(dict.fromkeys((a, b, label) for a, b in hits))
        if types:
            found = dict.fromkeys((sentence[a:b], label) for a, b, label in sorted(spans))
            return Exercise(sentence, tuple(types), tuple(found))


def _rule(sentence: str, words: list[tuple[int, int]], rng: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """A rule's name and the spans it picks."""
    texts = [sentence[a:b] for a, b in words]
    i = rng.randrange(len(words))
    j = min(len(words) - 1, i + rng.randint(1, 6))

    def where(test) -> list[tuple[int, int]]:
        return [span for span, text in zip(words, texts, strict=True) if test(text)]

    rules = (
        # How often, relative to the others: long copies are seen more often. Its name. What it picks.
        (1, "capitalized word", where(lambda t: t[0].isupper())),
        (1, "number", where(lambda t: t[0].isdigit())),
        (1, "last word", words[-1:]),
        (1, "first word", words[:1]),
        (1, f"word ending in {texts[i][-1]}", where(lambda t: t[-1] == texts[i][-1])),
        (1, f"word starting with {texts[i][0]}", where(lambda t: t[0] == texts[i][0])),
        (1, "long word", where(lambda t: len(t) > 8)),
        (1, f"word after {texts[i]}", [w for w, t in zip(words[1:], texts, strict=False) if t == texts[i]]),
        (1, f"word before {texts[i]}", [w for w, t in zip(words, texts[1:], strict=False) if t == texts[i]]),
        (2, f"words from {texts[i]} to {texts[j]}", [(words[texts.index(texts[i])][0], words[j][1])]),
        (1, "words in brackets", [m.span(1) for m in re.finditer(r"\( ([^()]+) \)", sentence)]),
        (1, "first words", [(words[0][0], words[min(len(words) - 1, 3)][1])]),
        (3, "whole sentence", [(words[0][0], words[-1][1])]),
        (1, "capitalized name", [m.span() for m in re.finditer(r"(?<!\S)[A-Z]\S*(?: [A-Z]\S*)*", sentence)]),
    )
    _, label, spans = rng.choices(rules, [weight for weight, *_ in rules])[0]
    return label, spans


# --------------------------------------------------------------------------------------------- how it is written


def write(question: Exercise, rng: random.Random, others: Sequence[str] = ()) -> tuple[str, str]:
    """Prompt and answer in a random form. `others`: sentences that may stand in front as background."""
    one = len(question.types) == 1 and rng.random() < 0.7
    hint, answer = _answer_one(question, rng) if one else _answer_many(question, rng)
    if rng.random() < 0.15:
        second_hint, second = _answer_many(question, rng)
        hint, answer = f"{hint}, then {second_hint}", f"{answer}\n{second}"
    if one:
        ask = rng.choice(_WORDINGS["ask_one"]).format(question.types[0])
    else:
        types = list(question.types)
        listed = (json.dumps(types, ensure_ascii=False), ", ".join(types), "; ".join(types))
        ask = rng.choice(_WORDINGS["ask_many"]).format(rng.choices(listed, (3, 1, 1))[0])
    ask += rng.choice((f" ({hint})", f"\nFormat: {hint}", f"\nWrite {hint}."))
    parts = [ask, rng.choice(_WORDINGS["sentence"]).format(question.sentence)]
    if rng.random() < 0.3:
        parts.reverse()
    if rng.random() < 0.4:
        parts.insert(rng.choice((0, 0, 1)), " ".join(rng.sample(_WORDINGS["filler"], rng.randint(1, 7))))
    if others and rng.random() < 0.08:
        parts.insert(0, "Background: " + " ".join(rng.sample(others, 2))[:600])
    end = rng.choice(_WORDINGS["answer"])
    gap = rng.choice(("\n", "\n", "\n", "\n\n"))
    return gap.join([*parts, end]), rng.choice((" ", "\n")) + answer


def write_plain(question: Exercise) -> tuple[str, str]:
    """Prompt and answer in the one form that held-out scores are measured with: `"Naloxone" is a chemical.`"""
    types = json.dumps(list(question.types), ensure_ascii=False)
    prompt = f"Types: {types}\nFormat: sentences with quotes\nText: {question.sentence}\nAnswer:"
    return prompt, " " + _say(question)


def read_plain(answer: str) -> set[tuple[str, str]]:
    """(name, type) for each sentence of an answer in that form."""
    return set(re.findall(r'"([^\n]{1,200}?)" is an? ([^".\n]{1,40})\.', answer))


def _say(question: Exercise) -> str:
    said = [f'"{name}" is {_article(label)} {label}.' for name, label in question.found]
    return " ".join(said) or "Nothing is named here."


def _answer_one(question: Exercise, rng: random.Random) -> tuple[str, str]:
    """What the form is called, and the answer in it, for a single type."""
    names = list(dict.fromkeys(name for name, _ in question.found))
    forms = (
        ("one per line", "\n".join(names) or "none"),
        ("a list with semicolons", "; ".join(names) or "none"),
        ("in quotes", ", ".join(f'"{name}"' for name in names) or "none"),
        ("a JSON list", json.dumps(names, ensure_ascii=False)),
        ("an indented JSON list", json.dumps(names, ensure_ascii=False, indent=2)),
    )
    return rng.choice(forms)


def _answer_many(question: Exercise, rng: random.Random) -> tuple[str, str]:
    """What the form is called, and the answer in it, for any number of types."""
    by_type: dict[str, list[str]] = {label: [] for label in question.types}
    for name, label in question.found:
        by_type[label].append(name)
    full = {label: names for label, names in by_type.items() if names}
    match rng.choices(range(7), (4, 3, 4, 1, 1, 3, 3))[0]:
        case 0:
            return "a JSON object", json.dumps(by_type, ensure_ascii=False)
        case 1:
            return "an indented JSON object", json.dumps(full, ensure_ascii=False, indent=2)
        case 2:
            return "sentences with quotes", _say(question)
        case 3:
            said = [f"{name} is {_article(label)} {label}." for name, label in question.found]
            return "plain sentences", " ".join(said) or "Nothing is named here."
        case 4:
            return "name and type", "\n".join(f"{name} ({label})" for name, label in question.found) or "none"
        case 5:
            lines = [f"{label}: {'; '.join(names) or 'none'}" for label, names in by_type.items()]
            return "a line for each type", "\n".join(lines)
        case _:
            outer = rng.choice(("result", "names", "found", "answer", "output"))
            indent = rng.choice((None, 2, 2))
            text = json.dumps({outer: dict(sorted(full.items()))}, ensure_ascii=False, indent=indent)
            return f"a JSON object under {outer}" + (", indented" if indent else ""), text


def _article(noun: str) -> str:
    return "an" if noun[:1] in "aeiou" else "a"
