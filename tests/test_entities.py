import pytest

from recipe.core.entities import (
    DataError,
    Entity,
    Example,
    clean_types,
    has_lone_surrogate,
    normalize_type,
)
from recipe.core.ground_truth import from_ground_truth, to_ground_truth


def test_a_type_is_stripped_and_lower_cased():
    assert normalize_type("  Average Ratings\n") == "average ratings"


@pytest.mark.parametrize("label", ["Work\u00a0of art", "work  of\tart", "\ufeffwork of art\u200b", "WORK of\u00ad art"])
def test_what_nobody_sees_makes_no_other_type(label):
    assert normalize_type(label) == "work of art"


def test_types_are_sorted_without_repeats_and_residual_labels():
    assert clean_types(["Person", "else", "MISC", "N A", "na", "nan", "other", " ", "GENE", "person"]) == (
        "gene",
        "person",
    )


def test_types_may_be_empty():
    assert clean_types(["else"]) == ()


def test_a_lone_surrogate_is_told_from_an_emoji():
    assert has_lone_surrogate("a\ud83d")
    assert not has_lone_surrogate("a\U0001f600")


@pytest.mark.parametrize("name", ['"C + +"', "été", "\U0001f600", "a\nb", "{}"])
def test_ground_truth_comes_back_as_it_was(name):
    example = Example(f"{name} .", ("person", "place"), (Entity(name, "person"), Entity(name, "person")))
    assert from_ground_truth(to_ground_truth(example)) == example


def test_ground_truth_keeps_characters_readable():
    assert "été" in to_ground_truth(Example("été", ("season",)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{}",
        "[" * 20000,
        '{"types": "ab", "entities": [], "sentence": "s"}',
        '{"types": ["a"], "entities": {}, "sentence": "s"}',
        '{"types": ["a"], "entities": ["x"], "sentence": "s"}',
        '{"types": ["a"], "entities": [{"name": 1, "type": "a"}], "sentence": "s"}',
        '{"types": [1], "entities": [], "sentence": "s"}',
        '{"types": [], "entities": [], "sentence": null}',
    ],
)
def test_anything_else_is_no_ground_truth(text):
    with pytest.raises(DataError, match="write the Parquet file again"):
        from_ground_truth(text)
