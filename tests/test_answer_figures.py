"""What a step's figures say of its answers: the parts of the reward, and what their mean hides."""

from recipe.core.entities import Entity, Example
from recipe.core.ground_truth import to_ground_truth
from recipe.train.answer_figures import answer_figures

NONE, RIGHT, WRONG = '{"entities": {}}', '{"entities": {"city": ["Rome"]}}', '{"entities": {"city": ["Ann"]}}'
NAMED = Example("Rome hired Ann .", ("city",), (Entity("Rome", "city"),))
EMPTY = Example("It rains .", ("city",), ())


def scored(example, *answers):
    from reward_fns.ner import compute_score

    return [compute_score("x", f"<think>\nx\n</think>\n{answer}", to_ground_truth(example)) for answer in answers]


def figures(*groups):
    parts = [part for group in groups for part in group]
    owners = [number for number, group in enumerate(groups) for _ in group]
    found = answer_figures([part["score"] for part in parts], parts, owners)
    return {name.removeprefix("answers/"): value for name, value in found.items()}


def test_silence_is_seen_though_it_raises_the_mean_f1():
    loud = figures(scored(NAMED, RIGHT, WRONG), scored(EMPTY, WRONG, WRONG))
    still = figures(scored(NAMED, NONE, NONE), scored(EMPTY, NONE, NONE))
    assert still["f1"] > loud["f1"]
    assert (loud["names_nothing"], still["names_nothing"]) == (0, 1)
    assert (loud["f1_with_entities"], still["f1_with_entities"]) == (0.5, 0)
    assert (loud["f1_without_entities"], still["f1_without_entities"]) == (0, 1)


def test_precision_and_recall_are_pooled():
    found = figures(scored(NAMED, RIGHT, WRONG, NONE), scored(EMPTY, WRONG))
    assert (found["precision"], found["recall"]) == (1 / 3, 1 / 3)


def test_an_answer_that_cant_be_read_is_not_silent():
    found = figures(scored(NAMED, "{", "nothing"))
    assert (found["unparsable"], found["names_nothing"]) == (1, 0)


def test_a_flat_group_has_one_score():
    assert figures(scored(NAMED, RIGHT, RIGHT), scored(NAMED, RIGHT, WRONG))["flat_groups"] == 0.5


def test_what_a_batch_has_no_answers_for_is_left_out():
    assert {"f1_with_entities", "names_nothing"} & figures(scored(EMPTY, NONE)).keys() == set()
    assert "f1_without_entities" not in figures(scored(NAMED, RIGHT))


def test_another_reward_gives_the_mean_of_its_numbers():
    parts = [
        {"score": 1.0, "acc": 1.0, "politeness": 1, "data_source": "x"},
        {"score": 0.0, "acc": 0.0, "politeness": 0},
    ]
    assert answer_figures([1.0, 0.0], parts, [0, 0]) == {"answers/politeness": 0.5, "answers/flat_groups": 0.0}
    assert answer_figures([], [], []) == {}
