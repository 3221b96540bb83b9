"""Column files as they are published: columns that count, comments, tags of every kind, separators, scripts, places."""

import json
import random
from collections import Counter

import layouts
import pyarrow.parquet as pq
import pytest

from data_prep.to_parquet import main
from recipe.core.entities import DataError, Entity, Example
from recipe.corpora import Columns, Reading, conll
from recipe.corpora.datasets import dataset_at, find_datasets, read_dataset
from recipe.corpora.tags import MOST_BARE, style_of


@pytest.fixture
def read(tmp_path):
    """`read("Ada B-PER")` -> [("Ada", [("Ada", "per")])] of a folder's test split, or of one file."""

    def run(text, name="test.tsv", one_file=False, **reading):
        (tmp_path / name).write_text(text, encoding="utf-8")
        dataset = dataset_at(tmp_path / name if one_file else tmp_path)
        examples = read_dataset(dataset, "test", Reading(**reading))
        return [(one.sentence, [(entity.name, entity.type) for entity in one.entities]) for one in examples]

    return run


@pytest.fixture
def refused(read):
    """The one line with which a file is refused."""

    def run(*args, **reading):
        with pytest.raises(DataError) as caught:
            read(*args, **reading)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


CHOSEN = {"columns": Columns(2, 3, chosen=True)}
ADA = ("Ada met Bob", [("Ada", "per"), ("Bob", "per")])
HERE = ("Nothing here", [])


# ------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "name",
    ["test.conllu", "test.iob", "eng.testb", "esp.test", "test_en.tsv", "wnut17test.conll", "emerging.test.annotated"],
)
def test_a_test_split_is_found_as_it_is_published(read, name):
    assert read("Ada B-PER\nmet O\nBob B-PER\n", name) == [ADA]


@pytest.mark.parametrize("name", ["news.conll", "news.txt", "news.tsv", "ner_dataset.csv"])
def test_a_dataset_may_be_a_single_file(read, name):
    text = "Ada met\tB-PER\nBob\tO\n" if name != "ner_dataset.csv" else "Ada met,B-PER\nBob,O\n"
    assert read(text, name, one_file=True) == [("Ada met Bob", [("Ada met", "per")])]


@pytest.mark.parametrize("text", ["20118284\n20173002\n", "I met Ada.\nO Ada!\nShe ran away from me.\n", "Ada Ulm\n"])
def test_a_text_file_without_columns_is_no_corpus(refused, text):
    assert "no layout that is read" in refused(text, "notes.txt", one_file=True)


def test_a_readme_and_a_list_of_labels_are_no_splits(tmp_path):
    for name in ("README.txt", "labels.txt"):
        (tmp_path / name).write_text("B-PER O\n")
    assert not conll.found(tmp_path)


def test_a_text_with_annotations_beside_it_is_no_column_file(tmp_path):
    (tmp_path / "test.txt").write_text("Ada O\n")
    assert conll.reads(tmp_path / "test.txt")
    (tmp_path / "test.ann").write_text("")
    assert not conll.reads(tmp_path / "test.txt")


# ---------------------------------------------------------------------------------------------- columns that count


@pytest.mark.parametrize(
    "text",
    [
        "0\tAda\tB-PER\n1\tmet\tO\n2\tBob\tB-PER\n\n0\tNothing\tO\n1\there\tO\n",
        "1 Ada NNP B-PER\n2 met VB O\n3 Bob NNP B-PER\n\n1 Nothing NN O\n2 here RB O\n",
        "1\tAda\tB-PER\n2\tmet\tO\n3\tBob\tB-PER\n\n4\tNothing\tO\n5\there\tO\n",  # on through the file
        "0\tAda\tB-PER\n4\tmet\tO\n8\tBob\tB-PER\n\n0\tNothing\tO\n8\there\tO\n",  # characters
        "7\tAda\tB-PER\n7\tmet\tO\n7\tBob\tB-PER\n\n8\tNothing\tO\n8\there\tO\n",  # the sentence's number
        "1\t1\tAda\tB-PER\n1\t2\tmet\tO\n1\t3\tBob\tB-PER\n\n2\t1\tNothing\tO\n2\t2\there\tO\n",  # both
        "1-1\tAda\tB-PER\n1-2\tmet\tO\n1-3\tBob\tB-PER\n\n2-1\tNothing\tO\n2-2\there\tO\n",
        "1.1\t0-3\tAda\tB-PER\n1.2\t4-7\tmet\tO\n1.3\t8-11\tBob\tB-PER\n\n2.1\t0-7\tNothing\tO\n2.2\t8-12\there\tO\n",
        "1\tAda\tB-PER\n1\tmet\tO\n1\tBob\tB-PER\n2\tNothing\tO\n2\there\tO\n",  # no blank line
        "0\tAda\tB-PER\n1\tmet\tO\n2\tBob\tB-PER\n0\tNothing\tO\n1\there\tO\n",  # no blank line
    ],
)
def test_where_the_first_column_only_counts_the_words_are_in_the_next_one(read, text):
    noted = Counter()
    assert read(text, noted=noted) == [ADA, HERE]
    assert noted["index_column"] == 1


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("0\tAda\tB-PER\n1\tmet\tO\n", Columns(1, -1, chosen=True)),
        ("1\tAda\tB-PER\n1\tmet\tO\n\n2\tBob\tO\n2\tran\tO\n", Columns(1, 3, chosen=True)),
        ("1\tO\n2\tB-PER\n3\tO\n", Columns()),
        ("0 0 O\n1 0 B-PER\n2 0 O\n", Columns()),
    ],
)
def test_numbers_are_never_read_as_a_sentence(refused, text, columns):
    message = refused(text, columns=columns)
    assert "the token column holds" in message
    assert "give --columns 2,-1" in message


@pytest.mark.parametrize("skip", [None, Counter()])
def test_numbers_that_go_back_do_not_part_sentences(refused, skip):
    text = "1\tAda\tB-PER\n1\tmet\tO\n2\tBob\tO\n2\tran\tO\n1\tfar\tO\n"
    assert "put a blank line after each" in refused(text, skipped=skip)


def test_pairs_of_numbers_are_passed_over_where_the_columns_are_named(read, refused):
    text = "1-1\tAda\tB-PER\n1-2\tmet\tO\n1-3\tBob\tB-PER\n\n2-1\tNothing\tO\n2-2\there\tO\n"
    assert read(text, **CHOSEN) == [ADA, HERE]
    assert "running numbers" in refused(text, columns=Columns(1, 3, chosen=True))


def test_numbers_part_the_sentences_of_a_file_whose_columns_are_named_too(read):
    text = "1\tAda\tB-PER\n2\tmet\tO\n3\tBob\tB-PER\n1\tNothing\tO\n2\there\tO\n"
    assert read(text, **CHOSEN) == [ADA, HERE]


@pytest.mark.parametrize("numbers", ["1 O\n2 O\n3 O\n", "2003 O\n2003 O\n"])
def test_a_sentence_of_numbers_in_a_file_of_words_is_one(read, numbers):
    words = "Ada B-PER\nmet O\nBob B-PER\n\n"
    first, second, third = read(f"{words}{numbers}\n{words}")
    assert (first, third) == (ADA, ADA)
    assert second[0].split() == [line.split()[0] for line in numbers.splitlines()]


def test_a_file_of_one_number_is_read(read):
    assert read("2003 B-DATE\n") == [("2003", [("2003", "date")])]


# --------------------------------------------------------------------------------------------------------- comments


def test_germevals_comments_are_none_of_its_sentences(read):
    text = (
        "#\thttp://example.org/a [2009-10-17]\n1\tAda\tB-PER\tO\n2\tging\tO\tO\n\n"
        "#\thttp://example.org/b\t[2009-10-17]\t\n1\tNach\tO\tO\n2\tUlm\tB-LOC\tO\n"
    )
    assert read(text, **CHOSEN) == [("Ada ging", [("Ada", "per")]), ("Nach Ulm", [("Ulm", "loc")])]


@pytest.mark.parametrize(
    "comment", ["# newdoc", "#id 7", "#\tx", "#", "# sent_id = a-1\n# text = Ada met O", "# global.columns = ID FORM"]
)
def test_a_line_that_begins_with_a_hash_and_has_no_tag_is_a_comment(read, comment):
    assert read(f"{comment}\nAda\tB-PER\nmet\tO\nBob\tB-PER\n\n{comment}\nNothing\tO\nhere\tO\n") == [ADA, HERE]


@pytest.mark.parametrize(("line", "token"), [("# B-X", "#"), ("#MAGA O", "#MAGA"), ("#a-b I-X", "#a-b")])
def test_a_hash_with_a_tag_is_a_token(read, line, token):
    assert [sentence for sentence, _ in read(f"{line}\nAda B-PER\n\nBob O\n{line}\n")] == [
        f"{token} Ada",
        f"Bob {token}",
    ]


def test_a_hashtag_with_a_wrong_tag_is_no_comment(refused):
    assert "line 1: 'X-PER' is no tag" in refused("#x X-PER\nAda B-PER\n")


@pytest.mark.parametrize("columns", [Columns(), Columns(2, 3, chosen=True)])
def test_ranges_and_empty_nodes_of_conllu_are_passed_over_and_counted(read, columns):
    noted = Counter()
    text = "1-2\tdont\t_\n1\tdo\tO\n2\tnot\tO\n3\tAda\tB-PER\n3.1\tx\t_\n\n1-2\taux\t_\n1\t\u00e0\tO\n2\tles\tO\n"
    assert read(text, "test.conllu", columns=columns, noted=noted) == [
        ("do not Ada", [("Ada", "per")]),
        ("\u00e0 les", []),
    ]
    assert (noted["multiword_line"], noted["empty_node"]) == (2, 1)


# ------------------------------------------------------------------------------------------------------------- tags


@pytest.mark.parametrize(
    "tags",
    [
        "B-PER I-PER O B-LOC",
        "B_PER I_PER O B_LOC",
        "B:PER I:PER O B:LOC",
        "B.PER I.PER O B.LOC",
        "b-per i-per o b-loc",
        "b_per i_per o b_loc",
        "PER-B PER-I O LOC-B",
        "PER_B PER_E O LOC_S",
        "PER PER O LOC",
        "B-PER I-PER 0 B-LOC",
        "B-PER E-PER _ S-LOC",
        "PER-B PER-I * LOC-B",
    ],
)
def test_one_sentence_reads_the_same_in_every_way_to_write_tags(read, tags):
    words = ["Ada", "Lovelace", "in", "Ulm"]
    noted = Counter()
    text = "".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags.split(), strict=True))
    assert read(text, noted=noted) == [("Ada Lovelace in Ulm", [("Ada Lovelace", "per"), ("Ulm", "loc")])]
    assert noted["repaired_entity"] == 0


@pytest.mark.parametrize(
    "tag", ["B-loc,B-org", "B-corp|B-product", "B-PER/B-ORG", "I-a|I-b", "B-PER;O", "O|O", "B-a B-b", "B-X|Y", "X+B-b"]
)
def test_a_tag_with_several_labels_is_refused_or_counted_and_never_a_type(read, refused, tag):
    text = f"Zed\t{tag}\n\nAda\tB-X\n\nBob\tB-Y\n".replace("X+B-b", "B-a+B-b")
    tag = tag.replace("X+B-b", "B-a+B-b")
    assert f"test.tsv: line 1: the tag {tag!r} holds several labels; write one" in refused(text)
    skipped = Counter()
    assert read(text, skipped=skipped) == [("Ada", [("Ada", "x")]), ("Bob", [("Bob", "y")])]
    assert skipped == {"several_labels": 1}


@pytest.mark.parametrize("tag", ["PER-B|ORG-B", "PER|ORG"])
def test_so_it_is_in_other_styles(refused, tag):
    last = "x\tPER-B\ny\tORG-B\n" if "-" in tag else "x\tPER\ny\tORG\n"
    assert f"{tag!r} holds several labels" in refused(f"{last}z\tO\nZed\t{tag}\n")


@pytest.mark.parametrize("kind", ["and/or", "trade-name", "person/actor", "r&d", "i/o", "a,b", "c+", "work of art"])
def test_a_sign_without_a_second_label_is_a_part_of_the_type(read, kind):
    assert read(f"Ada\tB-{kind}\nx\tI-{kind}\ny\tO\n") == [("Ada x y", [("Ada x", kind)])]


@pytest.mark.parametrize("tags", ["O B I", "O B- I-", "o b i", "O B E", "O I I"])
def test_tags_without_a_type_are_of_the_type_that_is_named(read, refused, tags):
    text = "".join(f"{word}\t{tag}\n" for word, tag in zip(["The", "heart", "attack"], tags.split(), strict=True))
    assert read(text, type_name="Disease") == [("The heart attack", [("heart attack", "disease")])]
    message = refused(text)
    assert f"test.tsv: line 2: {tags.split()[1]!r} is no tag with a type" in message
    assert "--type NAME" in message


@pytest.mark.parametrize("listed", ["B\nI\nO\n", "O\nB-\nI-\n"])
def test_a_list_of_such_tags_names_no_type_either(tmp_path, read, refused, listed):
    (tmp_path / "labels.txt").write_text(listed)
    text = "The\tO\nheart\tB\n"
    assert read(text, type_name="organ") == [("The heart", [("heart", "organ")])]
    assert "labels.txt: leaves no type to ask for" in refused(text)


@pytest.mark.parametrize("listed", ["O\nPER-B\nPER-I\n", "O\nPER\n", "O\nB_PER\nI_PER\n"])
def test_a_list_of_tags_is_read_in_the_style_of_the_tags(tmp_path, read, listed):
    (tmp_path / "labels.txt").write_text(listed)
    tag = listed.split()[1]
    assert read(f"The\tO\nAda\t{tag}\n") == [("The Ada", [("Ada", "per")])]


def test_types_stand_alone_only_where_no_tag_has_a_prefix(read, refused):
    text = "Ada\tperson-scholar\nmet\tO\nUlm\tlocation-GPE\n"
    assert read(text) == [("Ada met Ulm", [("Ada", "person-scholar"), ("Ulm", "location-gpe")])]
    assert "line 3: 'location-GPE' is no tag" in refused(text.replace("person-scholar", "B-person"))


@pytest.mark.parametrize(
    ("tag", "remedy"),
    [("PER", "see --columns"), ("_PER", "see --columns"), ("1", "--tags FILE"), ("(PER*)", "see --columns")],
)
def test_where_no_tag_can_be_read_the_line_and_the_tag_are_named(refused, tag, remedy):
    message = refused(f"met\t_\nAda\t{tag}\n".replace("met\t_", f"met\t{tag}"))
    assert f"test.tsv: line 1: {tag!r} is no tag" in message
    assert remedy in message


def test_an_outside_sign_beside_o_is_no_tag(refused):
    assert "line 2: '0' is no tag" in refused("Ada\tB-PER\nmet\t0\nUlm\tO\n")


def test_numbered_tags_have_the_names_that_are_given(read, refused):
    text = "EU\t1\nrejects\t0\nit\t7\n"
    assert read(text.replace("7", "0"), tags=("O", "B-ORG")) == [("EU rejects it", [("EU", "org")])]
    assert "line 3: '7' is no tag" in refused(text, tags=("O", "B-ORG"))


@pytest.mark.parametrize("number", [30, MOST_BARE + 1])
def test_words_are_not_taken_for_types(refused, number):
    text = "".join(f"w{each}\tv{each}\n" for each in range(number))
    assert "line 1: 'v0' is no tag: the tag column holds words; see --columns" in refused(f"{text}a\tO\n")


def test_types_may_be_many_if_they_come_again():
    counts = {f"t{number}": 3 for number in range(MOST_BARE)} | {"O": 1}
    assert style_of(counts).parse("t7") == ("I", "t7")


def test_another_column_of_tags_is_named(refused):
    text = "# text = a b c d\n1\tAda\tB-PER\t-\tme\n2\tran\tO\t-\tme\n"
    assert "column 3 holds tags: give --columns 2,3" in refused(text, "test.iob2")


def test_a_file_whose_tags_are_all_o_says_so(refused):
    assert "every tag is O" in refused("Ada\tO\nran\tO\n")


# ------------------------------------------------------------------------------------------------------- separators


@pytest.mark.parametrize("sign", ";|,/")
def test_another_sign_separates_where_every_line_has_it(read, sign):
    text = f"EU{sign}B-ORG\nrejects{sign}O\n{sign}{sign}O\n\n1/2,3{sign}O\n"
    assert read(text, "test.txt") == [(f"EU rejects {sign}", [("EU", "org")]), ("1/2,3", [])]
    assert read(f"EU{sign}ORG\nrejects{sign}O\n", "test.txt") == [("EU rejects", [("EU", "org")])]


def test_a_bad_tag_behind_another_sign_is_told_as_one(refused):
    assert "line 3: 'Z' is no tag" in refused("EU;B-ORG\nrejects;O\nit;Z\n", "test.txt")


def test_a_no_break_space_separates_nothing(read):
    assert read("New\u00a0York   B-LOC\n", "test.txt") == [("New\u00a0York", [("New\u00a0York", "loc")])]


@pytest.mark.parametrize("one_file", [True, False])
def test_a_header_names_the_columns_and_sentences_may_be_numbered_once(read, one_file):
    text = (
        'Sentence #,Word,POS,Tag\nSentence: 1,Ada,NNP,B-per\n,",",",",O\n,"""",``,O\n,Ulm,NNP,B-geo\n'
        "Sentence: 2,Nothing,NN,O\n,here,RB,O\n"
    )
    assert read(text, "test.csv", one_file=one_file) == [('Ada , " Ulm', [("Ada", "per"), ("Ulm", "geo")]), HERE]


def test_so_they_may_be_in_every_line(read):
    text = "sentence_id\twords\tlabels\n0\tAda\tB-PER\n0\tmet\tO\n0\tBob\tB-PER\n1\tNothing\tO\n1\there\tO\n"
    assert read(text) == [ADA, HERE]


def test_quotes_of_a_csv_without_a_header_are_none_of_the_token(read):
    assert read('"New York",B-LOC\n",",O\n"""",O\n",O\n', "test.csv") == [('New York , " "', [("New York", "loc")])]


# ---------------------------------------------------------------------------------------------------------- scripts

CHARACTERS = "\u6d59 B-LOC\n\u6c5f I-LOC\n\u7701 I-LOC\n\u4eba O\n" + "\u4e70 O\n" * 30 + "\n"


def test_the_whole_file_says_what_stands_between_tokens(read):
    first, second = read(f"{CHARACTERS}EU B-ORG\nrejects O\n\u4e70 O\niPhone B-X\n6 I-X\n. O\n", "test.txt")
    assert first == ("\u6d59\u6c5f\u7701\u4eba" + "\u4e70" * 30, [("\u6d59\u6c5f\u7701", "loc")])
    assert second == ("EU rejects\u4e70iPhone 6.", [("EU", "org"), ("iPhone 6", "x")])


def test_letters_that_stand_one_by_one_are_joined_as_they_are(read):
    assert read(f"{CHARACTERS}i B-X\nP I-X\nh I-X\n\u4e70 O\n1 O\n9 O\n", "test.txt")[1] == (
        "iPh\u4e7019",
        [("iPh", "x")],
    )


def test_a_chinese_word_in_an_english_file_keeps_its_spaces(read):
    text = "\u6c5f B-LOC\n\u7701 I-LOC\n\n" + "Ada O\nran O\n" * 9
    assert read(text)[0] == ("\u6c5f \u7701", [("\u6c5f \u7701", "loc")])


@pytest.mark.parametrize(("join", "sentence"), [(" ", "\u6d59 \u6c5f \u7701"), ("", "\u6d59\u6c5f\u7701"), ("-", None)])
def test_the_user_says_what_stands_between_tokens(read, join, sentence):
    sentence = sentence or "\u6d59-\u6c5f-\u7701"
    text = "\u6d59 B-LOC\n\u6c5f I-LOC\n\u7701 I-LOC\n"
    assert read(text, "test.txt", join=join) == [(sentence, [(sentence, "loc")])]


# ------------------------------------------------------------------------------------------ types, places, the command


def test_types_are_those_of_all_splits_or_of_the_list_which_renames_them(tmp_path):
    for name, text in {"train.txt": "Ada B-PER\n", "dev.txt": "Ulm LOC\nx O\n", "test.txt": "a O\n"}.items():
        (tmp_path / name).write_text(text)
    assert conll.types(dataset_at(tmp_path), Reading()) == ("loc", "per")
    (tmp_path / "labels.json").write_text('{"PER": "person", "LOC": "place"}')
    (example,) = read_dataset(dataset_at(tmp_path), "dev")
    assert (example.types, example.entities) == (("person", "place"), (Entity("Ulm", "place"),))


@pytest.mark.parametrize(
    ("text", "starts"),
    [("May O\nI O\nsee O\nMay B-PER\n", [10]), ("The O\nTurkey B-A\nleft O\nTurkey B-L\n", [4, 16])],
)
def test_a_name_that_stands_twice_keeps_its_place(tmp_path, text, starts):
    (tmp_path / "test.conll").write_text(text)
    (example,) = read_dataset(dataset_at(tmp_path), "test")
    assert [entity.start for entity in example.entities] == starts


def test_places_are_kept_in_a_sentence_of_two_scripts(tmp_path):
    (tmp_path / "test.conll").write_text(f"{CHARACTERS}\u4e70 O\nMac O\nMac B-X\n5 I-X\n", encoding="utf-8")
    example = list(read_dataset(dataset_at(tmp_path), "test"))[1]
    assert (example.sentence, [entity.start for entity in example.entities]) == ("\u4e70Mac Mac 5", [5])


WORDS = ("Ada", "Ulm", "ran", "12", "no.7", "\u00c5sa", "#", "New\u00a0York", "B-52", "O", "\u6c5f\u7701", "1-2", ";")


@pytest.mark.parametrize("words", [WORDS, "\u6d59\u6c5f\u7701\u4eba\u4e70\u3002"])
def test_examples_written_as_columns_are_read_as_they_were(tmp_path, words):
    draw = random.Random(7)
    glue = " " if words is WORDS else ""
    types, examples = ("loc", "work of art"), []
    for _ in range(300):
        tokens = draw.choices(words, k=draw.randint(1, 9))
        entities, at = [], 0
        while at < len(tokens):
            end = min(len(tokens), at + draw.randint(1, 3))
            if draw.random() < 0.4:
                start = len(glue.join(tokens[:at])) + (len(glue) if at else 0)
                entities.append(Entity(glue.join(tokens[at:end]), draw.choice(types), start))
            at = end
        examples.append(Example(glue.join(tokens), types, tuple(entities), "test"))
    layouts.conll(tmp_path / "test.conll", examples)
    found = list(read_dataset(dataset_at(tmp_path / "test.conll"), "test"))
    assert found == examples
    places = [[entity.start for entity in example.entities] for example in found]
    assert places == [[entity.start for entity in example.entities] for example in examples]


def test_the_command_reads_an_index_column(tmp_path, capsys):
    folder = tmp_path / "corpora" / "d"
    folder.mkdir(parents=True)
    (folder / "test.conllu").write_text("0\tAda\tB-PER\n1\tmet\tO\n2\tBob\tB-PER\n\n0\tNothing\tO\n1\there\tO\n")
    assert main(["eval", "--corpora", str(tmp_path / "corpora"), "--out", str(tmp_path / "out")]) == 0
    rows = pq.read_table(tmp_path / "out" / "test.parquet").to_pylist()
    truths = [json.loads(row["reward_model"]["ground_truth"]) for row in rows]
    assert [truth["sentence"] for truth in truths] == ["Ada met Bob", "Nothing here"]
    capsys.readouterr()
    (folder / "test.conllu").write_text("Zed\tB-a,B-b\nAda\tB-a\n")
    assert main(["eval", "--corpora", str(tmp_path / "corpora"), "--out", str(tmp_path / "new")]) == 2
    assert "test.conllu: line 1: the tag 'B-a,B-b' holds several labels" in capsys.readouterr().err


def test_a_split_in_numbered_parts_is_refused_as_only_one_would_be_read(tmp_path):
    for number in range(2):
        (tmp_path / f"train-0000{number}-of-00002.conll").write_text("EU\tB-ORG\n")
    with pytest.raises(DataError, match=r"its train split is in 2 parts; join them in one file"):
        find_datasets(tmp_path)


@pytest.mark.parametrize(
    ("text", "columns", "noted"),
    [
        ("Ada\tB-PER\tO\nof\tO\tO\nUlm\tB-PER\tB-LOC\n", None, 1),
        ("Ada\tB-PER\tO\nof\tO\tO\nUlm\tB-PER\tB-LOC\n", Columns(1, 2, chosen=True), 0),
        ("Ada NNP I-NP I-PER\nmet VBD I-VP O\n", None, 1),
        ("Ada NNP B-PER\nmet VBD O\n", None, 0),
        ("Ada B-PER\nmet O\n", None, 0),
    ],
)
def test_another_column_of_tags_is_noted_unless_the_user_chose(read, text, columns, noted):
    counts = Counter()
    read(text, noted=counts, **({"columns": columns} if columns else {}))
    assert counts["other_tag_column"] == noted
