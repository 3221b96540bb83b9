"""One corpus in every layout: the same rows, and random sentences through each layout and back."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import layouts
import pyarrow.parquet as pq
import pytest
from random_corpus import TYPES, sentences

from data_prep.to_parquet import main as to_parquet
from recipe import answers, corpora
from recipe.answers.queries import ask, merge
from recipe.core.align import place
from recipe.core.entities import DataError, Entity, Example
from recipe.corpora import Reading
from recipe.corpora.dataset import Dataset
from recipe.corpora.datasets import dataset_at, dataset_of_file, read_dataset
from recipe.evaluate.verdict import compare, count_overlaps, keys

# Layout -> the file (brat: the folder) of a split. NER-CoT's file is given apart, with --ner-cot.
FILES = {
    "brat": "test",
    "conll": "test.conll",
    "conversations": "test.json",
    "doccano": "test.jsonl",
    "gliner": "test.json",
    "hugging_face": "test.jsonl",
    "instructuie": "test.json",
    "label_studio": "test.json",
    "mrc": "mrc-ner.test",
    "prodigy": "test.jsonl",
    "spacy": "test.json",
}
NAMES = ("ner",)  # what the files of these layouts are for
FLAT = ("conll", "hugging_face")  # a word has one tag
WITHOUT_PLACES = ("conversations",)
CORPUS = (
    Example(
        "May met May in Ulm , not Ulm Nord .",
        TYPES,
        (Entity("May", "person", 8), Entity("Ulm", "place", 15), Entity("Ulm Nord", "place", 25)),
    ),
    Example("Nothing here .", TYPES),
    Example("Ọ̀yọ́ ni Ọ̀yọ́", TYPES, (Entity("Ọ̀yọ́", "place", 0), Entity("Ọ̀yọ́", "gene-x", 9))),
)


def flat(example):
    """True if no two entities overlap."""
    ends = sorted((entity.start, entity.start + len(entity.name)) for entity in example.entities)
    return all(end <= start for (_, end), (start, _) in pairwise(ends))


def write(folder, layout, examples):
    """The dataset `toy` in a folder of its layout's own."""
    path = folder / layout / "toy" / FILES[layout]
    path.parent.mkdir(parents=True)
    getattr(layouts, layout)(path, list(examples))
    return folder / layout


def as_said(examples, places=True):
    return [
        (one.sentence, one.types, [(e.name, e.type, e.start if places else None) for e in one.entities])
        for one in examples
    ]


def rows(corpus, answer_format="json"):
    out = corpus / "out"
    assert to_parquet(["eval", "--corpora", str(corpus), "--out", str(out), "--answer-format", answer_format]) == 0
    return pq.read_table(out / "test.parquet").to_pylist()


def test_every_layout_is_here():
    apart = {"recipe.corpora.b2nerd", "recipe.corpora.ner_cot"}  # InstructUIE's files; a file that is given apart
    known = {
        getattr(each, "name", None) or each.__name__ for each in corpora.LAYOUTS if corpora.tasks_of(each) == ("ner",)
    } - apart
    assert len(known) == len(FILES)


@pytest.mark.parametrize("answer_format", ["json", "bio", "entity_tags"])
def test_the_same_corpus_gives_the_same_rows_in_every_layout(tmp_path, answer_format):
    told = [layout for layout in FILES if layout not in WITHOUT_PLACES]
    written = {layout: rows(write(tmp_path, layout, CORPUS), answer_format) for layout in told}
    assert {row["data_source"] for row in written["brat"]} == {"toy"}
    for layout in told:
        assert written[layout] == written["brat"], layout


def test_without_places_the_rows_are_the_same_where_alignment_finds_these(tmp_path):
    names = (Entity("Ada", "person", 0), Entity("Bob", "gene-x", 8), Entity("Ulm", "place", 15))
    first = [CORPUS[1], Example("Ada met Bob in Ulm", TYPES, names)]
    written = {layout: rows(write(tmp_path, layout, first)) for layout in ("conversations", "brat")}
    assert written["conversations"] == written["brat"]


def test_b2nerd_and_ner_cot_say_the_same(tmp_path):
    folder = tmp_path / "NER_en" / "toy"
    folder.mkdir(parents=True)
    layouts.instructuie(folder / "test.json", CORPUS)
    layouts.ner_cot(tmp_path / "toy.jsonl", CORPUS)
    assert dataset_at(folder).layout.__name__ == "recipe.corpora.b2nerd"
    in_b2nerd = list(read_dataset(dataset_at(folder), "test"))
    in_ner_cot = list(read_dataset(dataset_of_file(tmp_path / "toy.jsonl"), "train", Reading(cot="none")))
    assert as_said(in_b2nerd) == as_said(in_ner_cot) == as_said(CORPUS)


@pytest.mark.parametrize("layout", FILES)
def test_random_sentences_come_back_as_they_went(tmp_path, layout):
    wanted = [one for one in sentences(300, seed=7, nested=layout not in FLAT) if layout not in FLAT or flat(one)]
    assert len(wanted) > 200
    dataset = dataset_at(write(tmp_path, layout, wanted) / "toy")
    noted = Counter()
    found = list(read_dataset(dataset, "test", Reading(noted=noted)))
    if layout in WITHOUT_PLACES:
        for one, other in zip(wanted, found, strict=True):
            assert (one.sentence, one.types) == (other.sentence, other.types)
            assert Counter(one.entities) == Counter(other.entities)
    else:
        assert as_said(found) == as_said(wanted)
    assert +noted == Counter()


@pytest.mark.parametrize("answer_format", ["json", "bio", "entity_tags"])
def test_gold_against_itself_scores_100_by_every_rule(answer_format, tmp_path):

    said = 0
    for example in sentences(300, seed=11, nested=True):
        questions = ask(replace(example, format=answer_format))
        try:
            completions = [answers.render_answer(question) for question in questions]
        except DataError:
            assert not flat(example)
            continue
        merged = merge(questions, completions) if len(questions) > 1 else None
        verdict = compare(merged.example, merged.completion) if merged else compare(questions[0], completions[0])
        said += 1
        assert verdict.disagreements == ()
        assert Counter(verdict.gold_spans) == Counter(place(example.sentence, example.entities))
        for rule in ("strict", "published", "span"):
            predicted, gold = keys(verdict, rule)
            assert Counter(predicted) == Counter(gold)
        assert [counts.f1 for counts in count_overlaps(verdict)] == [1, 1]
    assert said > 200


def test_a_dataset_is_of_one_layout_alone(tmp_path):
    for layout in FILES:
        folder = write(tmp_path, layout, CORPUS) / "toy"
        claiming = [each for each in corpora.LAYOUTS if each.found(folder)]
        assert claiming[0] is dataset_at(folder).layout
        assert len(claiming) == 1, (layout, claiming)
        assert isinstance(dataset_at(folder), Dataset)
