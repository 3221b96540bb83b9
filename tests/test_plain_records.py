from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.corpora import records
from recipe.corpora.records import Wrong, read_entities

SENTENCE = " Ada  met\u00a0Bob and Ada\u200b . "
names = st.sampled_from(
    ["Ada", " Ada", "Ada ", "Bob", "met Bob", "met\u00a0Bob", "Ada\u200b", "", " ", "\ud800", "Ulm", 3]
)
places = st.sampled_from(
    [None, [], [1, 4], [0, 4], [-1, 3], [10, 13], [6, 13], [18, 22], [True, 4], [1], "1", [1.0, 4]]
)
labels = st.sampled_from(["Person", "person ", "place", "misc", "planet", None])
entity = st.fixed_dictionaries({"name": names, "type": labels}, optional={"pos": places}) | st.just("Ada")


def read(given_records):
    noted = Counter()
    try:
        found = read_entities(given_records, "name", "type", ("person", "place"), {"misc"}, SENTENCE, noted)
    except Wrong as wrong:
        return wrong.reason, str(wrong)
    return [(one, one.start) for one in found[0]], found[1], noted


@settings(max_examples=400, deadline=None)
@given(st.lists(entity, max_size=4))
def test_plain_names_are_read_as_all_others(given_records):
    quick = read(given_records)
    plain, records._plain = records._plain, lambda text: False
    try:
        assert quick == read(given_records)
    finally:
        records._plain = plain
