r"""What counts as text in a name: characters that nobody sees make no difference, in gold and answer alike.

    visible("New\u00a0York\u200b ")      # "New York"
    trimmed(" EU\u00ad")                 # (1, "EU")

White space of any kind is a space. Format characters that draw nothing (zero-width space, soft hyphen, byte-order mark,
marks of direction) are nothing. The joiners U+200C and U+200D shape letters and emoji: they count within a name, and
not at its ends.
"""

import re

# Category Cf without the joiners and without signs that are drawn, such as the Arabic number sign.
INVISIBLE = "\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_START = re.compile(rf"[\s{INVISIBLE}\u200c\u200d]*")
_END = re.compile(rf"(?<![\s{INVISIBLE}\u200c\u200d])[\s{INVISIBLE}\u200c\u200d]+\Z")


def visible(name: str) -> str:
    """The name as it is seen: without invisible characters, each run of white space one space, none at the ends."""
    if name.isprintable() and "  " not in name and name[:1] != " " != name[-1:]:
        return name  # nothing of it is white space but single spaces, and nothing a format character
    return " ".join(_INVISIBLE.sub("", trimmed(name)[1]).split())


def trimmed(name: str) -> tuple[int, str]:
    """How many characters at the start nobody sees, and the name without such at either end."""
    start = _START.match(name).end()
    return start, _END.sub("", name[start:])
