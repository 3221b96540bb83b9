"""Text with the entities marked in it, as recipe.predict.output_formats writes it, read back."""

import re

from recipe.core.align import Span

_UNESCAPES = {"n": "\n", "r": "\r"}
_INLINE = re.compile(r"\\(?P<escaped>.)|(?P<open>\[)|\]\((?P<type>(?:[^\\)]|\\.)*)\)|(?P<plain>[^\\\[\]]+)", re.DOTALL)


def read_inline(line: str) -> tuple[str, set[Span]]:
    """The text and the spans of a line that `write` made; ValueError for a line that it can't have made."""
    text, length, starts, spans, at = [], 0, [], set(), 0
    while at < len(line):
        found = _INLINE.match(line, at)
        if not found or (found["type"] is not None and not starts):
            raise ValueError(f"not text with marked entities, from character {at} on")
        at = found.end()
        if found["open"]:
            starts.append(length)
        elif found["type"] is not None:
            spans.add(Span(starts.pop(), length, re.sub(r"\\(.)", r"\1", found["type"])))
        else:
            piece = found["plain"] or _UNESCAPES.get(found["escaped"], found["escaped"])
            text.append(piece)
            length += len(piece)
    if starts:
        raise ValueError("not text with marked entities: a bracket is never closed")
    return "".join(text), spans
