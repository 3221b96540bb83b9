"""Between the two steps of a completion: how its think block ended, and the tokens that the answer goes on from.

    end_block(prompt, ids, "limit", tokenizer, stop_ids, constrained=False)     # "<think>\\nWell, th" at the limit
    Begun(ids=[4094, 198, ..., 198, 4095, 198], text="<think>\\nWell, th\\n</think>\\n", closed=True)

A block that the token limit cut is closed for the model. The model's own tokens stay as they are, so that what follows
is what it would have followed. A constrained answer starts on a line of its own; where there is no block to keep, it
starts over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recipe.answers.think import CLOSE, OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ANSWER_ROOM = 1024  # tokens that a constrained answer has at least, or half of a smaller limit
CLOSING_ROOM = 16  # tokens that closing a think block may take, more than enough

# The model ended its turn; the tag or the answer's start was written; the token limit came first.
Ending = Literal["turn", "tag", "answer", "limit"]


@dataclass(frozen=True, slots=True)
class Begun:
    """A completion so far, (seq,), and its text; None where that is known only together with what follows.

    `closed`: the block was closed because of the limit.
    """

    ids: tuple[int, ...]
    text: str | None
    closed: bool = False


def reasoning_room(max_new_tokens: int) -> int:
    """Tokens of a think block that leave a constrained answer its room, of as many in all."""
    return max(1, max_new_tokens - min(ANSWER_ROOM, max_new_tokens // 2) - CLOSING_ROOM)


def end_block(
    prompt: Sequence[int],
    ids: Sequence[int],
    ending: Ending,
    tokenizer: PreTrainedTokenizerBase,
    stop_ids: Sequence[int],
    constrained: bool,
) -> Begun | None:
    """What the answer goes on from, after a first step that made `ids`; None where the completion is whole."""
    if ending == "turn" and not constrained:
        return None
    text = tokenizer.decode(ids, skip_special_tokens=True)
    opened = text.lstrip().startswith(OPEN) or tokenizer.decode(prompt[-8:]).rstrip().endswith(OPEN)
    if not constrained and (not opened or CLOSE in text):
        return Begun(tuple(ids), None)
    if not opened:
        return Begun((), "")
    closed = CLOSE not in text
    if not closed:
        text = text[: text.index(CLOSE) + len(CLOSE)] + "\n"
    else:
        if ending == "answer":
            text = text[: max(text.rfind("{"), 0)].rstrip()
        text = text.rstrip("\ufffd")  # the limit may fall inside a character
        text += ("" if text.endswith("\n") else "\n") + CLOSE + "\n"
    return Begun(_ids_of(text, ids, tokenizer, stop_ids), text, closed and ending == "limit")


def _ids_of(
    text: str, ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, stop_ids: Sequence[int]
) -> tuple[int, ...]:
    """Token ids of a text, of the given ones as many as it begins with."""
    kept = list(ids)
    while kept:
        beginning = tokenizer.decode(kept, skip_special_tokens=True)
        if text.startswith(beginning) and kept[-1] not in stop_ids:
            return (*kept, *tokenizer(text[len(beginning) :], add_special_tokens=False)["input_ids"])
        kept.pop()
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
