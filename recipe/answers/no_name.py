"""Words that stand where a name could and say that there is none: `<entity>None</entity>`, `{"person": "N/A"}`."""

from recipe.core.text import visible

_WORDS = frozenset({"none", "null", "n/a", "nothing", "no entities", "no entity", "-", "–", "—"})
_LONGEST = max(map(len, _WORDS))


def says_none(text: str) -> bool:
    """True for text that says there is no name, whatever its case, a full stop and what nobody sees."""
    text = visible(text).removesuffix(".")
    return len(text) <= _LONGEST and text.casefold() in _WORDS
