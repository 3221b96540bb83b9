"""The words of a text, for comparison: without case, punctuation, symbols, and how a letter's marks are written."""

import re
import unicodedata

from recipe.core.align import folded
from recipe.core.text import UNSPACED

_UNSPACED = re.compile(f"([{UNSPACED}])")


class _Letters(dict):
    """Character -> itself, or a space for punctuation, symbols and white space; format characters vanish."""

    def __missing__(self, code: int) -> str | int | None:
        category = unicodedata.category(chr(code))
        self[code] = None if category == "Cf" else " " if category[0] in "PSZC" else code
        return self[code]


_LETTERS = _Letters()


def words(sentence: str) -> list[str]:
    """`"The U.S. , too!"` -> `["the", "u", "s", "too"]`; each character of a script without spaces is a word."""
    caseless = unicodedata.normalize("NFKC", folded(sentence)).casefold()
    text = unicodedata.normalize("NFKC", caseless).translate(_LETTERS)
    return (text if text.isascii() else _UNSPACED.sub(r" \1 ", text)).split()
