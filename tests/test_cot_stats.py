"""The funnel at every stage, and that its figures add up."""

import json
import tracemalloc

import pytest
from cot_case import annotation, failure, run, verdict, write

from recipe.core.entities import DataError
from recipe.cot.funnel import read_funnel

pytest.importorskip("datasketch")
pytest.importorskip("py3langid")


@pytest.fixture
def work(tmp_path):
    """Seven rows: one not answered, one cut off and not readable, two rejected by the judge and one not judged."""
    broken = annotation(
        1, finish_reason="length", output="<think>Well, I think that nobody knows", gold=[["Bob", "person"]]
    )
    rows = [failure(0), broken, *(annotation(n, gold=[["x", "place"]]) for n in range(2, 7))]
    write(tmp_path, "annotate", rows)
    run("validate", tmp_path)
    unread = verdict(5, None, reason="unparsable_score")
    return write(tmp_path, "judge", [verdict(2, 10), verdict(3, 9), verdict(4, 8.5), unread])


def printed(work, capsys, *options):
    """The lines of the table, with single spaces."""
    capsys.readouterr()
    run("stats", work, *options)
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_the_whole_funnel(work, capsys):
    assert printed(work, capsys) == [
        "rows all",
        "in 7",
        "not annotated: http_400 -1",
        "annotated 6",
        "cut_off -1 1",
        "no_think_block 0 1",
        "unparsable 0 1",
        "validated 5",
        "to be judged 1",
        "below_min_score -1",
        "unparsable_score -1",
        "kept 2",
        "",
        "requests tokens in tokens out cost",
        "annotate 7 600 300 1.5",
        "judge 4 40 20 2",
        "",
        "annotated by mode: 6 plain",
        "against gold: 5 of 5 rows disagree (5 entities missed, 10 added), 5 of them are valid",
    ]


def test_steps_that_were_not_run_are_said_to_be_so(work, capsys):
    (work / "judge.jsonl").unlink()
    assert "(judge: not run)" in printed(work, capsys)
    (work / "validate.jsonl").unlink()
    assert {"(validate: not run)", "annotated 6"} < set(printed(work, capsys))


def test_nothing_to_show(tmp_path):
    with pytest.raises(DataError, match="nothing was annotated there; run"):
        run("stats", tmp_path)


def test_figures_as_json(work, tmp_path, capsys):
    printed(work, capsys, "--json", tmp_path / "new" / "stats.json")
    figures = json.loads((tmp_path / "new" / "stats.json").read_text())
    assert figures == json.loads(json.dumps(read_funnel(work)))
    assert figures["judge"]["scores"] | {"8": 0, "9": 0, "10": 0} == {str(score): 0 for score in range(11)}
    assert [figures["judge"]["scores"][score] for score in ("8", "9", "10")] == [1, 1, 1]


def test_each_rejected_row_counts_once_in_the_first_column(work):
    validated = read_funnel(work)["validate"]
    assert sum(numbers["rows"] for numbers in validated["rejected"].values()) == validated["rows"] - validated["kept"]


def test_figures_that_nobody_told_are_none(tmp_path):
    unknown = {"input_tokens": None, "output_tokens": None, "cost": None}
    figures = read_funnel(write(tmp_path, "annotate", [annotation(0, **unknown), annotation(1, **unknown)]))
    assert [figures["annotate"][name] for name in (*unknown, "requests")] == [None, None, None, 2]


def test_two_judges_are_compared(tmp_path, capsys):
    write(tmp_path, "annotate", [annotation(n) for n in range(2)])
    run("validate", tmp_path)
    scores = [[{"judge": j, "coherence": 10, "accuracy": n, "comment": ""} for j, n in pair.items()] for pair in (
        {"a": 9, "b": 10}, {"a": 2, "b": 2},
    )]  # fmt: skip
    write(tmp_path, "judge", [verdict(0, 9.5, scores=scores[0]), verdict(1, 2.0, scores=scores[1])])
    assert printed(tmp_path, capsys)[-1] == "two judges on 2 rows: r 1, weighted kappa 0.9825, within 1 1"


def test_memory_does_not_grow_with_the_rows(tmp_path):
    def peak(rows):
        write(tmp_path, "annotate", (annotation(n) for n in range(rows)))
        tracemalloc.start()
        read_funnel(tmp_path)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(20_000) < peak(200) + 100_000
