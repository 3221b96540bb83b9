"""Words that stand where a name could and say that there is none: `<entity>None</entity>`, `{"person": "N/A"}`."""

_WORDS = frozenset({"none", "null", "n/a", "nothing", "no entities", "no entity", "-", "–", "—"})
_LONGEST = max(map(len, _WORDS))


def says_none(text: str) -> bool:
    """True for text that says there is no name, whatever its case, the white space around it and a full stop."""
    text = text.strip().removesuffix(".")
    return len(text) <= _LONGEST and text.casefold() in _WORDS
