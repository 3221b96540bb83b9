"""Corpora on disk: finds datasets, reads their records as `Example`s, and says which record of which file is wrong.

    InstructUIE   <Dataset>/{train,dev,test}.json, one JSON list of
                  {"sentence": "EU rejects", "entities": [{"name": "EU", "type": "organization", "pos": [0, 2]}]}
                  and <Dataset>/labels.json: ["organization", "person"]
    B2NERD        the same in {NER_en,NER_zh,NER_en_other}/<Dataset>; a dataset may lack a split, an entity `pos`, and
                  a record may have "labels", the types that may be asked for in its sentence
    CoNLL/BIO     <Dataset>/{train,dev,test}.txt, .conll, .bio, .iob2, .tsv in columns (see recipe.corpora.conll), and
                  perhaps labels.json or labels.txt: the types, or {"PER": "person"}, which renames the tags' types
    MRC           <Dataset>/mrc-ner.{train,dev,test}: a question about each type of each sentence (see
    recipe.corpora.mrc) NER-CoT       a JSON list, or JSON Lines where the file's name ends in .jsonl, of
                  {"sentence": "EU rejects", "schema": ["organization"], "source": "Pile-NER", "cot": "EU is ...",
                   "entities": [{"text": "EU", "label": "organization"}], "guid": "17"}

The files in a dataset's folder tell its layout. Memory holds one record and a read buffer, whatever a file's size.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.core.entities import IGNORED_TYPES, DataError, Entity, Example, has_lone_surrogate, normalize_type
from recipe.corpora import conll, mrc
from recipe.corpora.json_files import read_lines, read_list, read_text
from recipe.corpora.records import (
    Wrong,
    check_record,
    check_text,
    ignored_types,
    note,
    read_entities,
    read_schema,
    refuse,
    unknown_type,
)

# ReasoningNER, section on RL data and tables of supervised and zero-shot results; the names are InstructUIE's folders.
IN_DOMAIN = (
    "ACE 2005", "AnatEM", "bc2gm", "bc4chemd", "bc5cdr", "Broad Tweet Corpus", "CoNLL 2003", "FabNER", "FindVehicle",
    "GENIA_NER", "HarveyNER", "mit-movie", "mit-restaurant", "MultiNERD", "ncbi", "Ontonotes", "PolyglotNER",
    "TweetNER7", "WikiANN en", "WikiNeural",
)  # fmt: skip
CROSS_DOMAIN = (
    "mit-movie", "mit-restaurant",
    "CrossNER_AI", "CrossNER_literature", "CrossNER_music", "CrossNER_politics", "CrossNER_science",
)  # fmt: skip
LISTS = {
    "in_domain": IN_DOMAIN,
    # The paper trains on the two MIT sets and also calls them out of domain; this list makes the claim true.
    "in_domain_clean": tuple(name for name in IN_DOMAIN if name not in CROSS_DOMAIN),
    "cross_domain": CROSS_DOMAIN,
}
SPLITS = ("train", "dev", "test")

_DEEPEST = 3  # folders between the one that is named and a dataset's
_RESAMPLED = re.compile(r"_sample_\d+$")


# -------------------------------------------------------------------------------------------------------- datasets


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's folder, and its name without `_sample_15000`: resampling makes no other dataset."""

    name: str
    folder: Path

    @property
    def in_columns(self) -> bool:
        """True for CoNLL/BIO files, False for JSON; a folder that holds both is JSON."""
        return not _has_json(self.folder) and self.folder.is_dir() and conll.has_split(self.folder)

    @property
    def in_questions(self) -> bool:
        """True for reading-comprehension files; a folder that holds InstructUIE's JSON, too, is that."""
        return not _has_json(self.folder) and _has_questions(self.folder)

    def file(self, split: str) -> Path:
        """The split's file, or the one that should be there."""
        if self.in_questions:
            return _questions(self.folder, split)
        if self.in_columns:
            return conll.split_file(self.folder, split) or self.folder / f"{split}.txt"
        return self.folder / f"{split}.json"

    @property
    def label_files(self) -> tuple[Path, ...]:
        """The files that the types are read from: all splits, where tags alone tell them."""
        if self.in_questions:
            return ()
        if not self.in_columns:
            return (self.folder / "labels.json",)
        named = [path for path in (self.folder / "labels.json", self.folder / "labels.txt") if path.is_file()]
        return tuple(named[:1] or conll.split_files(self.folder).values())

    @property
    def may_lack_splits(self) -> bool:
        """True in B2NERD, where datasets are for training or for testing."""
        return self.folder.parent.name in ("NER_en", "NER_zh", "NER_en_other")


def _has_json(folder: Path) -> bool:
    return any((folder / f"{split}.json").is_file() for split in SPLITS)


def _has_questions(folder: Path) -> bool:
    return any(_questions(folder, split).is_file() for split in SPLITS)


def _questions(folder: Path, split: str) -> Path:
    return folder / f"mrc-ner.{split}"


def dataset_name(folder: str) -> str:
    """`"CoNLL 2003_sample_15000"` -> `"CoNLL 2003"`."""
    return _RESAMPLED.sub("", folder) or folder


def find_datasets(root: Path, names: Sequence[str] | None = None) -> tuple[list[Dataset], list[str]]:
    """The datasets of those names in their order, and the names that are not there; None for all, sorted.

    Where both `X` and `X_sample_15000` are there, `X` is the dataset. DataError if `root` holds no folder, one
    dataset is named twice, or a name is that of several folders.
    """
    root = next((path for path in (root / "IE_INSTRUCTIONS" / "NER", root / "NER") if path.is_dir()), root)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the one that holds a folder for each dataset")
    folders = [folder for path in _subfolders(root) for folder in _dataset_folders(path, 1) or [path]]
    if not folders:
        raise DataError(f"{root}: holds no folder; give the one that holds a folder for each dataset")
    by_folder: dict[str, list[Path]] = {}
    for folder in folders:
        by_folder.setdefault(folder.name, []).append(folder)
    # The shortest name of a dataset is the one that is not resampled.
    by_name = {dataset_name(name): name for name in sorted(by_folder, key=lambda name: (-len(name), name))}

    def dataset(name: str) -> Dataset:
        first, *others = by_folder[name]
        if others:
            places = f"{first.parent.relative_to(root)} and {others[0].parent.relative_to(root)}"
            raise DataError(f"{root}: {name} stands in {places}; give the folder of one of them")
        return Dataset(dataset_name(name), first)

    if names is None:
        return [dataset(by_name[name]) for name in sorted(by_name)], []
    found: list[Dataset] = []
    missing = []
    for wanted in names:
        folder = wanted if wanted in by_folder else by_name.get(wanted)
        if folder is None:
            missing.append(wanted)
        elif any(known.name == dataset_name(folder) for known in found):
            raise DataError(f"{wanted}: named twice; name each dataset once")
        else:
            found.append(dataset(folder))
    return found, missing


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _dataset_folders(folder: Path, depth: int) -> list[Path]:
    """The folder itself if it holds a dataset's files, else those below it that do."""
    if (folder / "labels.json").is_file() or _has_json(folder) or _has_questions(folder) or conll.has_split(folder):
        return [folder]
    if depth == _DEEPEST:
        return []
    return [found for path in _subfolders(folder) for found in _dataset_folders(path, depth + 1)]


def read_names(path: Path) -> tuple[str, ...]:
    """Dataset names from a text file: one on a line; blank lines and lines that begin with # do not count."""
    lines = (line.strip() for line in read_text(path).splitlines())
    names = tuple(line for line in lines if line and not line.startswith("#"))
    if not names:
        raise DataError(f"{path}: names no dataset; write one name on each line")
    return names


# --------------------------------------------------------------------------------------------------------- records


def read_labels(
    dataset: Dataset, keep_else: bool = False, columns: conll.Columns = conll.FIRST_AND_LAST
) -> tuple[str, ...]:
    """The types that may be asked for, normalised and sorted; without the residual ones, unless `keep_else`."""
    names = _label_names(dataset, columns)
    types = tuple(sorted(set(names.values()) - ignored_types(keep_else)))
    if not types:
        first, *_ = dataset.label_files
        remedy = "list the types of the dataset" if first.stem == "labels" else "is --columns right?"
        raise DataError(f"{first}: leaves no type to ask for ({len(names)} labels); {remedy}")
    return types


def read_dataset(
    dataset: Dataset,
    split: str,
    skipped: Counter | None = None,
    noted: Counter | None = None,
    keep_else: bool = False,
    columns: conll.Columns = conll.FIRST_AND_LAST,
) -> Iterator[Example]:
    """The examples of one split in file order, whatever the dataset's layout.

    A bad record raises DataError; where `skipped` is given it is left out and counted there by reason instead.
    `noted` counts what is kept but worth knowing: `residual_entity` (an entity of a type that is none, such as
    `else`; the entity is left out), `name_not_in_sentence`, and `repaired_entity` (tags in no right order).
    With `keep_else`, `else`, `misc` and `other` are types like any other. `columns` are those of CoNLL files.
    """
    if dataset.in_questions:
        return mrc.read_sentences(dataset.file(split), dataset.name, skipped, noted, keep_else)
    if dataset.in_columns:
        return read_columns(dataset, split, skipped, noted, keep_else, columns)
    return read_instructuie(dataset, split, skipped, noted, keep_else)


def read_instructuie(
    dataset: Dataset,
    split: str,
    skipped: Counter | None = None,
    noted: Counter | None = None,
    keep_else: bool = False,
) -> Iterator[Example]:
    """The examples of one split in InstructUIE's or B2NERD's layout; see `read_dataset`."""
    ignored = ignored_types(keep_else)
    types = read_labels(dataset, keep_else)
    path = dataset.file(split)
    for number, record in enumerate(read_list(path), 1):
        try:
            check_record(record, "sentence", "entities")
            own = read_schema(record["labels"], "labels", ignored) if "labels" in record else types
            entities, residual = read_entities(record["entities"], "name", "type", own, ignored)
        except Wrong as wrong:
            refuse(f"{path}: record {number}", wrong, skipped)
            continue
        yield note(Example(record["sentence"], own, entities, dataset.name), residual, noted)


def read_columns(
    dataset: Dataset,
    split: str,
    skipped: Counter | None = None,
    noted: Counter | None = None,
    keep_else: bool = False,
    columns: conll.Columns = conll.FIRST_AND_LAST,
) -> Iterator[Example]:
    """The examples of one split in CoNLL/BIO columns: tokens joined by one space; see `read_dataset`."""
    ignored = ignored_types(keep_else)
    names, types = _label_names(dataset, columns), read_labels(dataset, keep_else, columns)
    path = dataset.file(split)
    for sentence in conll.read_sentences(path, columns):
        try:
            if isinstance(sentence, conll.Fault):
                raise Wrong(sentence.reason, sentence.message)
            entities = []
            for mention in sentence.mentions:
                label = normalize_type(mention.label)
                label = names.get(label, label)
                if label in types:
                    entities.append(Entity(sentence.name(mention), label))
                elif label not in ignored:
                    raise Wrong("unknown_type", unknown_type(f"{sentence.name(mention)[:40]!r}", label, types))
        except Wrong as wrong:
            refuse(f"{path}: line {sentence.line}", wrong, skipped)
            continue
        if noted is not None:
            noted["repaired_entity"] += sentence.repaired
        residual = len(sentence.mentions) - len(entities)
        yield note(Example(sentence.text, types, tuple(entities), dataset.name), residual, noted)


def _label_names(dataset: Dataset, columns: conll.Columns) -> dict[str, str]:
    """What each label of the dataset's files is called, both normalised."""
    first, *_ = dataset.label_files
    if first.stem == "labels":
        labels = _read_labels(first, dataset.in_columns)
    else:
        labels = {label: label for file in dataset.label_files for label in conll.survey(file, columns).labels}
    return {normalize_type(label): normalize_type(name) for label, name in labels.items()}


def _read_labels(path: Path, in_columns: bool) -> Mapping[str, str]:
    """Label -> name. A list that has `O` in it is one of tags, of which the types count."""
    if path.suffix == ".txt":
        labels: object = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    elif in_columns and read_text(path).lstrip().startswith("{"):
        labels = _read_object(path)
    else:
        labels = list(read_list(path))
    pairs = labels.items() if isinstance(labels, dict) else [(label, label) for label in labels]
    for number, pair in enumerate(pairs, 1):
        if any(not isinstance(label, str) or has_lone_surrogate(label) for label in pair):
            raise DataError(f"{path}: record {number}: a type name must be a string of valid text")
    if in_columns and isinstance(labels, list) and "O" in labels:
        return {label: label for label in (conll.tag_type(tag) or tag for tag in labels if tag != "O")}
    return dict(pairs)


def _read_object(path: Path) -> object:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f'{path}: not valid JSON; a list of types or {{"PER": "person"}} belongs here') from error


def read_ner_cot(
    path: Path, skipped: Counter | None = None, noted: Counter | None = None, cot: bool = True
) -> Iterator[Example]:
    """The examples of a NER-CoT file with their reasoning; counters as in `read_dataset`.

    Without `cot` that column is not looked at. A row without `source` belongs to a dataset of the file's name.
    """
    for number, record in enumerate(read_lines(path) if path.suffix == ".jsonl" else read_list(path), 1):
        try:
            check_record(record, "sentence", "entities", "schema")
            types = read_schema(record["schema"], "schema", IGNORED_TYPES)
            entities, residual = read_entities(record["entities"], "text", "label", types, IGNORED_TYPES)
            source = check_text(record.get("source") or path.stem, "bad_source", "'source'")
            reasoning = check_text(record.get("cot"), "no_cot", "'cot'") if cot else None
        except Wrong as wrong:
            refuse(f"{path}: record {number}", wrong, skipped)
            continue
        yield note(Example(record["sentence"], types, entities, source, reasoning), residual, noted)
