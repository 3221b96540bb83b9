"""Tags: where a mention begins, goes on and ends, and of which type it is, in whichever way a file writes that.

    style = style_of(Counter({"O": 7, "B-PER": 2, "I-PER": 1}))
    style.parse("B-PER")                    # ("B", "PER")
    style.parse("O")                        # ("O", None)
    style.parse("B-PER,B-ORG")              # None; style.fault says why

A file has one style, the one by which most of its tags can be read:

    B-PER   with B, I, E (also L), S (also U) or M, and -, _, : or . behind it
    b-per   with - or _
    PER-B   with - or _
    B       no type: the user names one, and the label is ""
    PER     a type alone, in a file in which no tag has a prefix and some are O

O is outside of every mention; so is o in the second style, and 0, _ or * where a file has that alone in place of O.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

Tag = tuple[str, str | None]  # the prefix in upper case, and the type; ("O", None) outside, "" for no type

OUTSIDE: Tag = ("O", None)
MOST_BARE = 200  # types without a prefix; a column with more values is one of words
_FEW = 20  # so many may stand there once

_UPPER, _LOWER = "[BIESLUM]", "[bieslum]"
_SIGNS = re.compile(r"[,|;/+&\s]+")
_LISTING = re.compile(r"[,|;]")  # signs that no name of a type has inside
_BARE = re.compile(r"[^\W_][^()\[\]{}<>*\"]*")
_LETTER = re.compile(r"[^\W\d_]")
_PREFIXED = re.compile(r"[A-Z]-\S")
_ANY_TAG = re.compile(rf"[Oo]|{_UPPER}-?|[A-Za-z][-_:.]\S.*|\S.*[-_]{_UPPER}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Style:
    """A way to write tags. `typed` finds `prefix` and `type`; None where types stand alone.

    `labels` are the types of the file; `words` is True where the column's values can be no types.
    """

    typed: re.Pattern[str] | None
    untyped: re.Pattern[str]
    outside: frozenset[str] = frozenset({"O"})
    labels: frozenset[str] = frozenset()
    words: bool = False

    def parse(self, tag: str) -> Tag | None:
        """Prefix and type; None for what is no tag, or more than one."""
        if tag in self.outside:
            return OUTSIDE
        if self.several(tag):
            return None
        if self.typed is None:
            return ("I", tag) if tag in self.labels else None
        if match := self.typed.fullmatch(tag):
            return match["prefix"].upper(), match["type"]
        return (tag[0].upper(), "") if self.untyped.fullmatch(tag) else None

    def several(self, tag: str) -> bool:
        """True for `B-PER,B-ORG`, `B-PER|O` and, where both are types of the file, `B-PER|ORG`."""
        parts = [part for part in _SIGNS.split(tag) if part]
        if len(parts) < 2:
            return False
        typed = [self.typed.fullmatch(part) if self.typed else None for part in parts]
        if sum(match is not None or has_prefix(part) for part, match in zip(parts, typed, strict=True)) > 1:
            return True
        if not _LISTING.search(tag):
            return False  # B-I/O is a type
        if all(match or self._stands_alone(part) for part, match in zip(parts, typed, strict=True)):
            return True
        types = [match["type"] if match else part for part, match in zip(parts, typed, strict=True)]
        return all(label in self.labels for label in types)

    def _stands_alone(self, part: str) -> bool:
        return part in self.outside or self.untyped.fullmatch(part) is not None

    def fault(self, tag: str) -> tuple[str, str]:
        """The reason, and in words what is wrong with a tag that can't be read."""
        shown = repr(tag[:40])
        if self.several(tag):
            return "several_labels", f"the tag {shown} holds several labels; write one"
        if self.words:
            return "unknown_tag", f"{shown} is no tag: the tag column holds words; see --columns"
        if tag.isdecimal():
            return (
                "unknown_tag",
                f"{shown} is no tag; name numbered tags with --tags FILE, or see --columns",
            )
        return "unknown_tag", f"{shown} is no tag (O, or a type behind B-, I-, E-, S-, L-, U- or M-; see --columns)"


def untyped_fault(tag: str) -> tuple[str, str]:
    """The same for a tag without a type, where none is named."""
    return "unknown_tag", f"{tag[:40]!r} is no tag with a type; name the type of all such tags with --type NAME"


def _style(prefix: str, sign: str, behind: bool = False) -> Style:
    kind, letter = r"(?P<type>\S.*)", f"(?P<prefix>{prefix})"
    typed = f"{kind}{sign}{letter}" if behind else f"{letter}{sign}{kind}"
    outside = frozenset({"O"} if prefix is _UPPER else {"O", "o"})
    return Style(re.compile(typed, re.DOTALL), re.compile(f"{prefix}-?"), outside)


_STYLES = (
    *(_style(_UPPER, re.escape(sign)) for sign in "-_:."),
    *(_style(_LOWER, sign) for sign in "-_"),
    *(_style(_UPPER, sign, behind=True) for sign in "-_"),
)


def looks_like_one(tag: str) -> bool:
    """True for a tag of any style but a type alone, and for what is nearly one: X-PER."""
    return _ANY_TAG.fullmatch(tag) is not None


def has_prefix(tag: str) -> bool:
    """True for a capital letter and a hyphen before more, whether or not the letter is one of the schemes'."""
    return _PREFIXED.match(tag) is not None


def style_of(counts: Mapping[str, int], prefixed: bool = False) -> Style:
    """The style of a file that has these tags so often. The first of several that read as many tags.

    `prefixed`: a tag with a prefix stands without a token, so that no type stands alone.
    """

    def read(style: Style) -> tuple[int, int]:
        typed = sum(count for tag, count in counts.items() if style.typed.fullmatch(tag))
        return typed, sum(count for tag, count in counts.items() if style.untyped.fullmatch(tag))

    best, (typed, untyped) = max(((style, read(style)) for style in _STYLES), key=lambda pair: pair[1])
    if not typed and not untyped:
        return best if prefixed or any(map(has_prefix, counts)) else _bare(counts, best)
    others = [tag for tag in ("0", "_", "*") if tag in counts]
    if typed and len(others) == 1 and not best.outside & set(counts):
        best = replace(best, outside=frozenset({*best.outside, *others}))
    # A type that stands alone somewhere in the file is one of several where it is listed.
    found = ((tag, best.typed.fullmatch(tag)) for tag in counts)
    labels = frozenset(match["type"] for tag, match in found if match and not best.several(tag))
    unknown = sum(best.parse(tag) is None for tag in counts)
    return replace(best, labels=labels, words=unknown > MOST_BARE)


def _bare(counts: Mapping[str, int], usual: Style) -> Style:
    """Types alone, if the file says O, and few enough values to be types."""
    outside = next((sign for sign in ("O", "o") if sign in counts), None)
    labels = frozenset(tag for tag in counts if tag != outside and _BARE.fullmatch(tag) and _LETTER.search(tag))
    tagged = sum(counts[tag] for tag in labels)
    words = len(labels) > MOST_BARE or (len(labels) > _FEW and 2 * len(labels) > tagged)
    if outside is None or words:
        return replace(usual, words=words)
    return replace(usual, typed=None, outside=frozenset({outside}), labels=labels)
