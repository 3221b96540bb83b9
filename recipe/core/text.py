r"""What counts as text in a name: characters that nobody sees make no difference, in gold and answer alike.

    visible("New\u00a0York\u200b ")      # "New York"
    trimmed(" EU\u00ad")                 # (1, "EU")
    seen(" EU\u00ad call")               # ("EU call", [1, 2, 4, 5, 6, 7, 8])

White space of any kind is a space. Format characters that draw nothing (zero-width space, soft hyphen, byte-order mark,
marks of direction) are nothing. The joiners U+200C and U+200D shape letters and emoji: they count within a name, and
not at its ends. All here take time linear in the text's length.
"""

import re
from collections.abc import Sequence

# Of category Cf. Its others are drawn or shape what is: Arabic number signs, joiners of hieroglyphs, shorthand and
# notes, the tags in an emoji of a flag. Unicode wants an annotation's marks (U+FFF9 to U+FFFB) seen.
INVISIBLE = (
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062\u2063\u2064"
    "\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufeff"
)
JOINERS = "\u200c\u200d"
# Letters of scripts that write no spaces, in a class of a pattern: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
)
_START = re.compile(rf"[\s{INVISIBLE}{JOINERS}]*")
_END = re.compile(rf"(?<![\s{INVISIBLE}{JOINERS}])[\s{INVISIBLE}{JOINERS}]+\Z")


def visible(name: str) -> str:
    """The name as it is seen: without invisible characters, each run of white space one space, none at the ends."""
    return name if _is_seen(name) else seen(name)[0]


def _is_seen(text: str) -> bool:
    """True if nothing of it is white space but single spaces, and nothing a format character."""
    return text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]


def seen(text: str) -> tuple[str, Sequence[int]]:
    """`visible(text)`, and the index in the text of each of its characters; a space's is that of its first one."""
    if _is_seen(text):
        return text, range(len(text))
    at, text = trimmed(text)
    parts, places = [], []
    for index, character in enumerate(text, at):
        if character.isspace():
            character = " "
        if character not in INVISIBLE and (character != " " or parts[-1] != " "):
            parts.append(character)
            places.append(index)
    return "".join(parts), places


def trimmed(name: str) -> tuple[int, str]:
    """How many characters at the start nobody sees, and the name without such at either end."""
    if name.isprintable() and name[:1] != " " != name[-1:]:
        return 0, name
    start = _START.match(name).end()
    return start, _END.sub("", name[start:])
