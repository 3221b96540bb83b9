"""CoNLL column files: schemes, repairs, columns, and what is wrong with a line."""

import pytest

from recipe.core.entities import DataError
from recipe.corpora.conll import Chunk, Columns, Fault, read_sentences, split_file, survey


@pytest.fixture
def column_file(tmp_path):
    def write(content, name="train.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def mentions(column_file):
    """`mentions("B-PER I-PER O")` -> [(0, 2, "PER")], and how many were repaired; sentences end at a bar."""

    def read(tags):
        lines = "\n\n".join("\n".join(f"w {tag}" for tag in sentence.split()) for sentence in tags.split("|"))
        found = list(read_sentences(column_file(lines + "\n")))
        spans = [(m.start, m.end, m.label) for sentence in found for m in sentence.mentions]
        return spans, sum(sentence.repaired for sentence in found)

    return read


def faults(path, **columns):
    return [item for item in read_sentences(path, Columns(**columns)) if isinstance(item, Fault)]


# ---------------------------------------------------------------------------------------------------------- schemes


@pytest.mark.parametrize(
    ("scheme", "tags"),
    {
        "IOB1": "I-PER I-PER O I-LOC B-LOC I-LOC O",
        "IOB2": "B-PER I-PER O B-LOC B-LOC I-LOC O",
        "BIOES": "B-PER E-PER O S-LOC B-LOC E-LOC O",
        "BILOU": "B-PER L-PER O U-LOC B-LOC L-LOC O",
        "BMES": "B-PER E-PER O S-LOC B-LOC E-LOC O",
    }.items(),
)
def test_every_scheme_gives_the_same_mentions_and_needs_no_repair(mentions, scheme, tags):
    assert mentions(tags) == ([(0, 2, "PER"), (3, 4, "LOC"), (4, 6, "LOC")], 0)


@pytest.mark.parametrize(
    ("tags", "spans", "repaired"),
    [
        ("B-PER | O I-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")], 1),  # I- after O
        ("B-PER I-LOC I-LOC", [(0, 1, "PER"), (1, 3, "LOC")], 1),  # another type inside
        ("B-PER | I-LOC", [(0, 1, "PER"), (0, 1, "LOC")], 1),  # I- at the start of a sentence
        ("B-PER E-PER | B-LOC I-LOC O", [(0, 2, "PER"), (0, 2, "LOC")], 1),  # no E-
        ("S-PER I-PER E-PER", [(0, 1, "PER"), (1, 3, "PER")], 1),  # I- after S-
        ("B-PER E-PER | O E-LOC", [(0, 2, "PER"), (1, 2, "LOC")], 1),  # E- alone
    ],
)
def test_tags_out_of_order_are_read_by_conllevals_rule_and_counted(mentions, tags, spans, repaired):
    assert mentions(tags) == (spans, repaired)


def test_a_mention_does_not_go_on_in_the_next_sentence(mentions):
    assert mentions("O I-PER | I-PER")[0] == [(1, 2, "PER"), (0, 1, "PER")]


def test_a_type_may_have_hyphens_and_spaces(column_file):
    (sentence,) = read_sentences(column_file("Ada\tB-creative-work of art\n"))
    assert sentence.mentions == (Chunk(0, 1, "creative-work of art"),)


# ------------------------------------------------------------------------------------------------------------ lines


def test_tokens_are_joined_by_one_space_and_names_are_verbatim(column_file):
    (sentence,) = read_sentences(column_file("New  B-LOC\nYork\tI-LOC\n\u201c10\u00a0km\u201d O\n"))
    assert sentence.text == "New York \u201c10\u00a0km\u201d"
    (mention,) = sentence.annotated().mentions
    assert sentence.text[mention.start : mention.end] == "New York"


def test_docstart_and_blank_lines_end_a_sentence_and_are_none(column_file):
    text = "-DOCSTART- -X- -X- O\n\nAda NNP I-NP B-PER\n-DOCSTART- -X- -X- O\n \t\nBob NNP I-NP B-PER"
    found = list(read_sentences(column_file(text)))
    assert [(sentence.line, sentence.text) for sentence in found] == [(3, "Ada"), (6, "Bob")]


def test_a_comment_before_a_sentence_is_none_of_its_tokens(column_file):
    found = list(read_sentences(column_file("# id 5f\tdomain=en\nAda _ _ B-PER\n\n# _ _ O\n1 _ _ O\n")))
    assert [sentence.text for sentence in found] == ["Ada", "# 1"]


def test_a_byte_order_mark_crlf_and_a_missing_last_line_end_make_no_difference(column_file):
    plain = list(read_sentences(column_file("Ada B-PER\n\nBob O\n")))
    assert list(read_sentences(column_file(b"\xef\xbb\xbfAda B-PER\r\n\r\nBob O", "other.txt"))) == plain


def test_token_and_tag_may_be_in_any_column(column_file):
    path = column_file("1\tAda\tB-PER\t_\n2\tran\tO\t_\n")
    (sentence,) = read_sentences(path, Columns(2, 3))
    assert (sentence.text, sentence.mentions) == ("Ada ran", (Chunk(0, 1, "PER"),))
    assert next(read_sentences(path, Columns(-3, -2))) == sentence


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        ("Ada", "columns", "1 column"),
        ("\tO", "columns", "1 column"),
        ("Ada\t", "columns", "1 column"),
        ("Ada NNP B-PER", "columns", "3 columns, where the file's first line has 2"),
        ("\u00a0 O", "blank_token", "blank"),
        ("Ada X-PER", "unknown_tag", "'X-PER' is no tag"),
        ("Ada B", "unknown_tag", "'B' is no tag"),
        ("Ada B-", "unknown_tag", "'B-' is no tag"),
        ("Ada PER", "unknown_tag", "--columns"),
    ],
)
def test_a_bad_line_is_a_fault_with_its_number_and_the_other_sentences_are_read(column_file, line, reason, words):
    first, bad, last = read_sentences(column_file(f"Bob O\n\nBob O\n{line}\nX-PER\n\nBob O\n"))
    assert (bad.line, bad.reason) == (4, reason)
    assert words in bad.message
    assert (first.text, last.text) == ("Bob", "Bob")


def test_a_column_that_is_not_there_is_a_fault(column_file):
    (fault,) = faults(column_file("Ada B-PER\n"), token=1, tag=4)
    assert "4 are needed" in fault.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no sentence"),
        (b"\xef\xbb\xbf\n \n", "holds no sentence"),
        (b"-DOCSTART- O\n", "holds no sentence"),
        (b"Ada O\n\ncaf\xe9 O\n", "line 3: byte 0xe9 at offset 10 is not UTF-8"),
        (b"Ada O\n\xed\xa0\xbd O\n", "line 2: byte 0xed"),  # a lone surrogate
        ("Ada O\n".encode("utf-16"), "line 1: the file is UTF-16"),
        (b"Ada O\rBob O\r", "line 1: a carriage return inside"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_line(column_file, content, message):
    with pytest.raises(DataError, match=message) as caught:
        list(read_sentences(column_file(content)))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"train.txt: cannot be read"):
        survey(tmp_path / "train.txt")


# ------------------------------------------------------------------------------------------------------------ files


@pytest.mark.parametrize("name", ["dev.txt", "valid.conll", "validation.bio", "devel.tsv", "dev.iob2", "de_dev.conll"])
def test_a_split_is_found_under_its_usual_names(column_file, tmp_path, name):
    column_file("a O\n", name)
    assert split_file(tmp_path, "dev").name == name
    assert split_file(tmp_path, "test") is None


def test_a_plain_name_goes_before_one_behind_a_language(column_file, tmp_path):
    for name in ("train.txt", "en_train.txt", "pretrain.txt", "notes_train.txt"):
        column_file("a O\n", name)
    assert split_file(tmp_path, "train").name == "train.txt"


def test_two_files_of_one_split_are_an_error(column_file, tmp_path):
    for name in ("dev.txt", "valid.txt"):
        column_file("a O\n", name)
    with pytest.raises(DataError, match=r"dev.txt and valid.txt both look like its dev split"):
        split_file(tmp_path, "dev")


def test_a_file_that_changed_is_surveyed_again(column_file):
    assert survey(column_file("Ada B-PER\n")).labels == {"PER"}
    assert survey(column_file("Ada B-PLACE\n")).labels == {"PLACE"}
