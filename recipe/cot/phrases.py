"""What a reasoning says about a name, and what gives away that it has seen the answer: phrases, and how they are found.

    denials('so "may" is no entity.')                       # {("may", None)}
    find_leak("As the gold labels say, it is.", sentence)   # "gold labels"

A denial is a judgement on a name in quotation marks, next to it, which ends the clause:

    "May" is not an entity / is no named entity / does not qualify as an entity / fits none of the types
    "May" should be excluded / is left out / will be ignored;  "May" should not be extracted
    "May" is a common noun, not an entity
    "May" is not a person                               a denial of that type only
    we do not extract "May";  so I leave out "May"

One that is wrong costs a good row, so what weakens, questions, contrasts or quotes a judgement (_HEDGE) makes it none.
Texts are compared without case, with white space squeezed, one kind of quotation mark and of dash, in canonical
decomposition. All time is linear in the text.
"""

import re
import unicodedata
from collections.abc import Iterator

# Written without spaces, so that a name may stand between letters; Hangul glues its particles to names.
UNSPACED = "\u0e00-\u0eff\u1000-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
_UNSPACED = re.compile(f"[{UNSPACED}]")
_MARKS = str.maketrans(dict.fromkeys("“”„‟«»「」『』`", '"') | dict.fromkeys("‘’‚‛", "'") | dict.fromkeys("‐‑–—", "-"))


def fold(text: str) -> str:
    """A text as it is compared here: `"“Café”  X"` and `'"CAFE\u0301" x'` are one."""
    text = unicodedata.normalize("NFD", text.casefold()).translate(_MARKS).replace("**", '"')
    return " ".join(text.split())


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
    return [folded for part in _SENTENCE_END.split(text) if (folded := fold(part))]


# ---------------------------------------------------------------------------------------------------------- denials

_QUOTED = r"(?:\"(?P<double>[^\"]{1,200})\"|(?<!\w)'(?P<single>[^'\"]{1,200})'(?!\w))\"?"
_CLAUSE_END = r"(?=\s*(?:[.,;:!)]|$|- |(?:because|since|as it|as this|as they|due to|here|at all|in this)\b))"
_AN_ENTITY = (
    r"(?:an?|any|the name of an?) (?:(?:actual|valid|real|proper|relevant|specific|given|such|target) )?"
    r"(?:named )?entity(?: (?:mention|name))?"
    r"(?: of (?:any|interest|(?:any|one) of the (?:\w+ )?(?:\w+ )?types))?(?: types?)?"
)
_TAKEN_UP = r"(?:extracted|included|labell?ed|tagged|annotated|listed|counted|marked)"
_LEFT_OUT = r"(?:excluded|ignored|skipped|omitted|left out|discarded|disregarded|dropped|not (?:extracted|included))"
_AFTER = "|".join(
    [
        rf"(?:is|was)(?: not|n't) (?:considered |regarded as |counted as |treated as |deemed )?{_AN_ENTITY}",
        r"(?:is|was) no (?:named )?entity",
        rf"(?:does not|doesn't) (?:count|qualify) as {_AN_ENTITY}",
        rf"(?:does not|doesn't) (?:name|denote|constitute) {_AN_ENTITY}",
        r"(?:does not|doesn't) (?:fit|match|belong to|fall under) (?:any|one) of the (?:\w+ )?(?:\w+ )?types",
        r"(?:fits|matches) (?:none|no one) of the (?:\w+ )?(?:\w+ )?types",
        rf"(?:should|must|can|will)(?: not|n't) be {_TAKEN_UP}",
        rf"(?:should|must|can|will|has to) (?:therefore |thus |also )?be {_LEFT_OUT}",
        rf"(?:is|was) (?:therefore |thus |also )?{_LEFT_OUT}",
        rf"(?:is|was) too (?:generic|general|vague) to be (?:{_AN_ENTITY}|{_TAKEN_UP})",
        r"(?:is|was) (?:an?|the|just an?|merely an?|simply an?) [^\".,;:]{1,60}[,;] (?:and )?"
        rf"(?:so |hence |therefore |thus )?(?:it is )?not {_AN_ENTITY}",
    ]
)
_DENIED = re.compile(rf"(?<!not )(?<!nor )(?<!n't ){_QUOTED} (?:itself |here )?(?:{_AFTER}){_CLAUSE_END}")
_DENIED_TYPE = re.compile(
    rf"{_QUOTED} (?:is|was)(?: not|n't) an? (?P<type>[^\W\d_][\w /-]{{0,60}}?)(?: entity| name)?(?=\s*(?:[.;!]|$))"
)
_NOT_TAKEN = re.compile(
    r"\b(?:we|i) (?:(?:do not|don't|will not|won't|should not|shouldn't|cannot|can't|must not) "
    r"(?:extract|include|label|tag|annotate|list|count|mark)"
    r"|(?:will |should |must |can |therefore |thus |also )?"
    r"(?:exclude|ignore|skip|omit|discard|disregard|drop|leave out)) "
    rf"{_QUOTED}{_CLAUSE_END}"
)
# With one of these in the sentence it is no plain judgement on the name as the answer has it.
_HEDGE = re.compile(
    r"\?|\b(?:but|however|although|though|yet|unless|if|whether|while|might|may (?:not )?be|could|would|perhaps|maybe"
    r"|possibly|at first|initially|only|necessarily|alone|on its own|by itself|rather than|instead of"
    r"|first|second|third|other|another|last|nobody|no one|never|doubt|deny|wrong|incorrect|mistaken?|false"
    r"|not true|untrue|say|said|claim|argue|think)\b"
)
# A next sentence that begins like this may take the judgement back.
_TAKEN_BACK = re.compile(r"(?:actually|however|but|wait|hmm|yet|on second thought|still|nevertheless|then again|no,)")


def denials(sentence: str) -> set[tuple[str, str | None]]:
    """The names that a folded sentence denies, each with the type that it isn't; None for a name that is no entity."""
    if _HEDGE.search(_QUOTES.sub('""', sentence)):
        return set()
    found = {(_name(match), None) for pattern in (_DENIED, _NOT_TAKEN) for match in pattern.finditer(sentence)}
    return found | {(_name(match), match["type"]) for match in _DENIED_TYPE.finditer(sentence)}


_QUOTES = re.compile(r'"[^"]{0,200}"')


def _name(match: re.Match) -> str:
    return (match["double"] or match["single"]).strip(" .,")


def is_taken_back(next_sentence: str) -> bool:
    """True if a folded sentence begins as one that corrects the sentence before."""
    return bool(_TAKEN_BACK.match(next_sentence))


# ------------------------------------------------------------------------------------------------------------ leaks

_THINGS = r"(?:annotations?|labels?|labell?ing|answers?|entit(?:y|ies)|tags?|solution|result)"
_LEAK = re.compile(
    r"\b(?:"
    rf"gold(?:en)?[- ](?:standard )?{_THINGS}"
    r"|ground[- ]truth"
    rf"|reference {_THINGS}"
    r"|expected (?:annotations?|answers?|labels?|entit(?:y|ies)|result)"
    r"|(?:given|provided|supplied|pre-?existing) (?:annotations?|answers?|solution|result|entities|labell?ing)"
    r"|answer key"
    r"|according to the (?:annotations?|answers?|solution|reference|gold)"
    r"|the annotations? (?:say|says|said|list|lists|show|shows|indicate|indicates|include|includes|mark|marks|has|have)"
    r"|(?:annotated|labell?ed|tagged|marked) as such in the (?:data|dataset|annotations?|answer|reference)"
    r"|as (?:given|provided|listed|stated|shown) in the (?:answer|annotations?|solution|reference|gold)"
    r"|(?:i was|we were|i am|we are) (?:given|told|shown) (?:the|that the|a) (?:\w+ )?"
    r"(?:annotations?|answers?|entities|labels|result|solution)"
    r"|careful reader (?:has )?(?:found|listed|says|said)"
    r")\b"
)


def find_leak(reasoning: str, sentence: str) -> str | None:
    """The first phrase, folded, that speaks of an answer that was given; None without one. Not one of the sentence."""
    of_text = fold(sentence)
    found = (match.group() for match in _LEAK.finditer(fold(reasoning)))
    return next((phrase for phrase in found if phrase not in of_text), None)
