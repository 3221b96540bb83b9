"""A text and its mentions become an example: places, names as they are seen, types, and what is counted."""

from collections import Counter

import pytest

from recipe.corpora import Reading
from recipe.corpora.annotated import Annotated, Mention, example_of, joiner, of_tokens
from recipe.corpora.records import Wrong, spelled


def read(annotated, types=("org", "place"), names=None):
    noted = Counter()
    example, residual = example_of(annotated, types, names or {}, "toy", Reading(noted=noted))
    return example, residual, {key: number for key, number in noted.items() if number}


def places(example):
    return [(entity.name, entity.type, entity.start) for entity in example.entities]


def test_tokens_are_joined_and_a_second_occurrence_keeps_its_place():
    annotated = of_tokens(["Ulm", "is", "not", "Ulm", "Nord"], [(3, 5, "PLACE")])
    assert (annotated.text, annotated.mentions) == ("Ulm is not Ulm Nord", (Mention("PLACE", 11, 19),))
    assert places(read(annotated)[0]) == [("Ulm Nord", "place", 11)]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("浙江省", "浙江省"),
        (["東京", "タワー", "に", "行く"], "東京タワーに行く"),
        (["กรุงเทพ", "เป็น"], "กรุงเทพเป็น"),
        (["서울", "은"], "서울 은"),
        (["1", "2", "3"], "1 2 3"),
        (["EU", "和", "Ulm", "City"], "EU 和 Ulm City"),
    ],
)
def test_a_script_without_spaces_is_joined_without_one(tokens, text):
    assert of_tokens(list(tokens), []).text == text
    assert joiner(list(tokens)) == ("" if text == "".join(tokens) else " ")


def test_the_user_says_how_tokens_are_joined():
    assert of_tokens(["浙", "江"], [(1, 2, "x")], join=" ") == Annotated("浙 江", (Mention("x", 2, 3),))
    assert of_tokens(["a", "b"], [(0, 2, "x")], join="") == Annotated("ab", (Mention("x", 0, 2),))


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u200b", "\n"])
def test_what_nobody_sees_is_taken_off_a_name_and_counted(space):
    text = f"so {space}EU{space} said EU"
    example, _, noted = read(Annotated(text, (Mention("ORG", 3, 7),)))
    assert places(example) == [("EU", "org", 4)]
    assert noted == {"trimmed_name": 1}


def test_a_name_that_contradicts_its_place_decides_and_is_counted():
    example, _, noted = read(Annotated("EU met UN", (Mention("ORG", 0, 2, "UN"), Mention("ORG", 7, 9, "UN"))))
    assert places(example) == [("UN", "org", 7), ("UN", "org", None)]
    assert noted == {"contradicting_place": 1}


def test_a_name_with_other_white_space_is_spelt_as_in_the_text():
    example, _, noted = read(Annotated("in New\u00a0 York", (Mention("place", 3, 12, "New York"),)))
    assert places(example) == [("New\u00a0 York", "place", 3)]
    assert noted == {"respelled_name": 1}


@pytest.mark.parametrize("place", [(0, 0), (3, 2), (-1, 2), (0, 99), (None, 2)])
def test_a_place_outside_of_the_text_is_refused(place):
    with pytest.raises(Wrong, match=r"entity 1 is at .* of 5 characters") as wrong:
        read(Annotated("EU ok", (Mention("org", *place),)))
    assert wrong.value.reason == "bad_place"


def test_a_name_of_which_nothing_is_seen_is_refused():
    with pytest.raises(Wrong, match="nothing is seen"):
        spelled("a\u200b b", "org", None, 1, 2, Counter())


def test_the_same_mention_twice_counts_once_and_nested_ones_stay():
    mentions = (Mention("org", 0, 7), Mention("ORG", 0, 7), Mention("place", 0, 7), Mention("place", 4, 7))
    example, _, noted = read(Annotated("SSV Ulm won", mentions))
    assert places(example) == [("SSV Ulm", "org", 0), ("SSV Ulm", "place", 0), ("Ulm", "place", 4)]
    assert noted == {"repeated_entity": 1}


def test_types_are_renamed_residual_ones_left_out_and_unknown_ones_refused():
    annotated = Annotated("Ada in Ulm", (Mention("LOC", 7, 10), Mention("MISC", 0, 3)))
    example, residual, _ = read(annotated, names={"loc": "place"})
    assert (places(example), residual) == ([("Ulm", "place", 7)], 1)
    with pytest.raises(Wrong, match="entity 1 is of type 'person'"):
        read(Annotated("Ada", (Mention("Person", 0, 3),)))


def test_a_text_may_be_asked_for_types_of_its_own():
    example, _, _ = read(Annotated("Ada", (Mention("person", 0, 3),), types=("Person", "tool", "misc")))
    assert example.types == ("person", "tool")
    with pytest.raises(Wrong, match="no type to ask for"):
        read(Annotated("Ada", (), types=("misc",)))


def test_entities_come_in_the_order_of_the_text_and_without_a_place_at_the_end():
    mentions = (Mention("org", name="UN"), Mention("org", 7, 9), Mention("org", 0, 2))
    assert places(read(Annotated("EU met UN", mentions))[0]) == [
        ("EU", "org", 0),
        ("UN", "org", 7),
        ("UN", "org", None),
    ]
