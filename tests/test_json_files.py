"""Which bytes are text: UTF-8, and what a file of another encoding, or of no text, is called."""

import pytest

from recipe.core.entities import DataError
from recipe.corpora.json_files import read_lines, read_list, read_text, read_text_lines

LINES = '{"text": "Grüße aus Köln"}\n' * 9


@pytest.mark.parametrize("ends", ["-le", "-be", ""])  # the last writes a byte-order mark
@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_other_encodings_are_named(tmp_path, encoding, ends):
    path = tmp_path / "a.txt"
    path.write_bytes(("plain letters " * 9).encode(encoding + ends))
    with pytest.raises(DataError, match=f"a.txt: the file is {encoding.upper()}; save it as UTF-8$"):
        read_text(path)


def test_a_mark_names_the_encoding_whatever_follows(tmp_path):
    path = tmp_path / "a.txt"
    for encoding in ("utf-16", "utf-32"):
        path.write_bytes("北京大学".encode(encoding))
        with pytest.raises(DataError, match=f"the file is {encoding.upper()}"):
            read_text(path)


@pytest.mark.parametrize("before", ["", "a", "Köln", "北" * 500_000])
def test_a_zero_byte_makes_it_no_text_file(tmp_path, before):
    path = tmp_path / "a.txt"
    path.write_bytes(before.encode() + b"\0\0rest")
    offset = f"{len(before.encode()):,}"
    with pytest.raises(DataError, match=f"a.txt: byte 0x00 at offset {offset}; this is no text file$"):
        read_text(path)


def test_zeros_alone_and_a_picture_are_no_utf_16(tmp_path):
    path = tmp_path / "a.txt"
    for content, byte in ((b"\0" * 64, "0x00 at offset 0"), (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "0x89 at offset 0")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"a.txt: byte {byte}"):
            read_text(path)


def test_the_first_of_two_bad_bytes_is_told(tmp_path):
    path = tmp_path / "a.txt"
    for content, byte in ((b"ab\0\xff", "0x00 at offset 2"), (b"ab\xff\0", "0xff at offset 2")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"byte {byte}"):
            read_text(path)


def test_the_record_or_line_before_a_zero_byte_is_read_and_the_one_with_it_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(LINES.encode() + b'{"text": "\0"}\n')
    for read, unit in ((read_lines, "record"), (read_text_lines, "line")):
        found = []
        with pytest.raises(DataError, match=f"a.json: {unit} 10: byte 0x00"):
            found.extend(read(path))
        assert len(found) == 9
    path.write_bytes(b'["a", "\0"]')
    with pytest.raises(DataError, match=r"a.json: record 2: byte 0x00 at offset 7"):
        list(read_list(path))
