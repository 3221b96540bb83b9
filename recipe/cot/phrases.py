"""What a reasoning says about a name, and what gives away that it has seen the answer: phrases, and how they are found.

    denials('so "may" is no entity.')                       # {("may", None)}
    find_leak("As the gold labels say, it is.", sentence)   # "gold labels"

A denial is a judgement on a name in quotation marks, next to it, which ends the clause:

    "May" is not an entity / is no named entity / does not qualify as an entity / fits none of the types
    "May" should be excluded / is left out / will be ignored;  "May" should not be extracted
    "May" is a common noun, not an entity
    "May" is not a person                               a denial of that type only
    we do not extract "May";  so I leave out "May"
    "met" is no trigger / does not describe an event    where events are asked for

and one on two names, as relations tie them:

    "Ada" and "Rome" are unrelated;  there is no relation between "Ada" and "Rome"
    "Ada" has no relation to "Rome";  "Ada" was not born in "Rome"      of head and tail in this order

One that is wrong costs a good row, so what weakens, questions, contrasts or quotes a judgement (a hedge) makes it none.
The phrases are in phrases.yaml. Texts are compared without case, with white space squeezed, one kind of quotation mark
and of dash, in canonical decomposition, without what nobody sees. All time is linear in the text.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from recipe.core.align import folded
from recipe.core.text import UNSPACED as LETTERS

PHRASES = Path(__file__).with_suffix(".yaml")

# Between these a name may stand; Hangul, here in its decomposed form, glues its particles to names.
UNSPACED = f"{LETTERS}\u1100-\u11ff"
_UNSPACED = re.compile(f"[{UNSPACED}]")
_MARKS = str.maketrans(dict.fromkeys("“”„‟«»「」『』`", '"') | dict.fromkeys("‘’‚‛", "'") | dict.fromkeys("‐‑–—", "-"))


def fold(text: str) -> str:
    """A text as it is compared here: `"“Café”  X"` and `'"CAFE\u0301" x'` are one."""
    return " ".join(folded(text.casefold()).translate(_MARKS).replace("**", '"').split())


def mentions(text: str, name: str) -> Iterator[int]:
    """Where a name stands in a text, both folded, and not inside a word."""
    at = text.find(name) if name else -1
    while at >= 0:
        end = at + len(name)
        if not (_glued(text, at) or _glued(text, end)):
            yield at
        at = text.find(name, at + 1)


def _glued(text: str, at: int) -> bool:
    """True if a word, or a letter and its accent, goes on over this place."""
    before, after = text[at - 1 : at], text[at : at + 1]
    if not before or not after:
        return False
    if unicodedata.combining(after):
        return True
    return (before.isalnum() or bool(unicodedata.combining(before))) and after.isalnum() and not _UNSPACED.match(after)


# -------------------------------------------------------------------------------------------------------- sentences

_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)]))\s+|(?<=[。！？])|\n+")


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, folded. Abbreviations end some too early, and none too late."""
    return [sentence for part in _SENTENCE_END.split(text) if (sentence := fold(part))]


# ---------------------------------------------------------------------------------------------------------- denials


@functools.cache
def _patterns() -> dict[str, re.Pattern]:
    """The patterns of phrases.yaml with a name in lower case."""
    import yaml

    found: dict[str, str] = {}
    for name, text in yaml.safe_load(PHRASES.read_text(encoding="utf-8")).items():
        choice = text if isinstance(text, str) else f"(?:{'|'.join(text)})"
        found[name] = re.sub("[A-Z_]{2,}", lambda part: found[part[0]], choice)
    return {name: re.compile(pattern) for name, pattern in found.items() if name.islower()}


def denials(sentence: str, task: str = "ner") -> set[tuple[str, str | None]]:
    """The names that a folded sentence denies, each with the type that it isn't; None for a name that is no entity."""
    if _is_hedged(sentence):
        return set()
    kinds = ("denied", "not_taken", *(["no_trigger"] if task == "ee" else []))
    found = {(_name(match), None) for kind in kinds for match in _patterns()[kind].finditer(sentence)}
    return found | {(_name(match), match["type"]) for match in _patterns()["denied_type"].finditer(sentence)}


def denied_pairs(sentence: str) -> set[tuple[tuple[str, str], str | None]]:
    """The heads and tails between which a folded sentence denies a relation, and its type; None for any relation."""
    if _is_hedged(sentence):
        return set()
    found = set()
    for kind in ("unrelated", "unrelated_to", "no_relation_between", "no_relation_of"):
        for match in _patterns()[kind].finditer(sentence):
            one, other, label = _name(match), _name(match, "other_"), match.groupdict().get("type")
            found |= {((one, other), label), ((other, one), label)}
    for kind in ("no_relation_to", "denied_relation"):
        for match in _patterns()[kind].finditer(sentence):
            found.add(((_name(match), _name(match, "other_")), match["type"]))
    return found


def _is_hedged(sentence: str) -> bool:
    return bool(_patterns()["hedge"].search(_QUOTES.sub('""', sentence)))


_QUOTES = re.compile(r'"[^"]{0,200}"')


def _name(match: re.Match, which: str = "") -> str:
    return (match[f"{which}double"] or match[f"{which}single"]).strip(" .,")


def is_taken_back(next_sentence: str) -> bool:
    """True if a folded sentence begins as one that corrects the sentence before."""
    return bool(_patterns()["taken_back"].match(next_sentence))


# ------------------------------------------------------------------------------------------------------------ leaks


def find_leak(reasoning: str, sentence: str) -> str | None:
    """The first phrase, folded, that speaks of an answer that was given; None without one. Not one of the sentence."""
    of_text = fold(sentence)
    found = (match.group() for match in _patterns()["leak"].finditer(fold(reasoning)))
    return next((phrase for phrase in found if phrase not in of_text), None)
