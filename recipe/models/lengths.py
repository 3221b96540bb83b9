r"""Lengths in tokens of many prompts and answers, and which are over a limit, with little of them tokenized.

    Lengths(tokenizer).over(["..."], 512, ["..."], 640)     # [False]

Two facts spare most of the work where a tokenizer is known to be so, as Qwen's, Llama 3's and the shipped one are.
A text has no more tokens than bytes. And no token goes from a line feed to a letter behind it: a text's length is the
sum of those of the pieces between, of which most stand in every prompt. All other tokenizers count every text whole.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.core.entities import DataError
from recipe.models.chat import rendered_prompts
from recipe.models.folder import load_tokenizer
from recipe.models.frame import Frame, frame_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_CUT = re.compile(r"\n(?=[A-Za-z])")  # begins with a character, so that most of a text is passed over at once
_KNOWN_PIECES = 10_000
_PROBE = "\0"  # stands for a sentence; no prompt has it
# How text is cut before byte pairs are merged: in all of these white space up to a line feed is one piece, whatever
# follows, and no piece goes on from there to a letter.
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_SIGNS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_CUTS = frozenset(
    {
        rf"{_WORDS}|\p{{N}}|{_SIGNS}|{_SPACES}",  # Qwen 2 and 3
        rf"{_WORDS}|\p{{N}}{{1,3}}|{_SIGNS}|{_SPACES}",  # Llama 3
        rf" ?[a-z]{{1,3}}(?!\p{{L}})|\p{{L}}+|\p{{N}}|{_SIGNS}|{_SPACES}",  # recipe.tiny_model
    }
)


@dataclass(frozen=True, slots=True)
class Around:
    """Prompts that are alike but for a sentence: how the template frames them, and the tokens of what they share.

    `fixed`: no less than these tokens. `copies`: how often the sentence stands in a prompt.
    """

    frame: Frame
    fixed: float
    copies: int


class Lengths:
    """Counts a tokenizer's tokens, and remembers those of pieces that come again and again."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        state = None if self._backend is None else json.loads(self._backend.to_str())
        self._known = state is not None and _adds_up(state)
        self._growth = 1 if state is None or state["normalizer"] is None else 3  # NFC: at most threefold in bytes
        self._pieces: dict[str, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone, without a begin or end token."""
        if not texts:
            return []
        if self._backend is None:
            return list(map(len, self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]))
        return list(map(len, self._backend.encode_batch_fast(list(texts), add_special_tokens=False)))

    def over(
        self,
        prompts: Sequence[str],
        max_prompt: int | None,
        answers: Sequence[str] | None = None,
        max_total: int | None = None,
    ) -> list[bool]:
        """Whether each prompt, in the chat template, or it with its answer and an end token, is over its limit.

        DataError where there is no chat template, or it refuses a prompt.
        """
        texts = rendered_prompts(self.tokenizer, [[{"role": "user", "content": prompt}] for prompt in prompts])
        of_prompts = self._at_most(texts)
        of_answers = [0] * len(texts) if max_total is None else list(map(self._bytes, answers))

        def fits(at: int) -> bool:
            in_all = of_prompts[at] + of_answers[at] + 1  # the end token
            return (max_prompt is None or of_prompts[at] <= max_prompt) and (max_total is None or in_all <= max_total)

        open_ = [at for at in range(len(texts)) if not fits(at)]
        for at, length in zip(open_, self._of_pieces([texts[at] for at in open_]), strict=True):
            of_prompts[at] = length
        if max_total is not None:
            open_ = [at for at in open_ if not fits(at) and of_prompts[at] < max_total]
            for at, length in zip(open_, self.count([answers[at] for at in open_]), strict=True):
                of_answers[at] = length
        return [not fits(at) for at in range(len(texts))]

    def around(self, parts: Sequence[str]) -> Around | None:
        """What is known of all prompts that are these parts with a sentence between each two; None for nothing."""
        if not self._known or not self.tokenizer.chat_template:
            return None
        probe = _PROBE.join(parts)
        text = None if self._frame is None else self._frame(probe)
        if text is None:
            return None
        fixed = list(map(_pieces, text.split(_PROBE)))
        open_ = [pieces.pop() for pieces in fixed[:-1]]  # goes on in a sentence
        open_ += [pieces.pop(0) for pieces in fixed[1:] if pieces]  # begins in one
        whole = list(chain.from_iterable(fixed))
        self._learn([piece for piece in dict.fromkeys(whole) if piece not in self._pieces])
        return Around(self._frame, self._most(whole) + sum(map(self._bytes, open_)), len(parts) - 1)

    @cached_property
    def _frame(self) -> Frame | None:
        """The frame of a question, if transformers renders one in it."""
        frame = frame_of(self.tokenizer, "user", add_generation_prompt=True)
        text = None if frame is None else frame(_PROBE)
        if text is None or text != rendered_prompts(self.tokenizer, [[{"role": "user", "content": _PROBE}]])[0]:
            return None
        return frame

    def at_most(self, around: Around | None, prompt: str, sentence: str) -> float:
        """No less than the tokens of a prompt, in the chat template; infinite where nothing is known of it."""
        if around is None or not sentence.strip() or not around.frame.holds(prompt):
            return math.inf
        return around.fixed + around.copies * self._bytes(sentence)

    def surely_fit(self, most: float, max_prompt: int | None, answer: str | None, max_total: int | None) -> bool:
        """True where a prompt of at most so many tokens, and it with its answer, is certain to be within the limits."""
        if max_prompt is not None and most > max_prompt:
            return False
        return max_total is None or most + self._bytes(answer) + 1 <= max_total

    def _bytes(self, text: str) -> float:
        """No less than the tokens of the text."""
        if not self._known:
            return math.inf
        return len(text) if text.isascii() else self._growth * len(text.encode())

    def _at_most(self, texts: Sequence[str]) -> list[float]:
        """No less than the tokens of each text: of pieces that several have, the tokens, of others, the bytes."""
        if not self._known:
            return [math.inf] * len(texts)
        cut = list(map(_pieces, texts))
        times = Counter(chain.from_iterable(cut))
        self._learn([piece for piece, n in times.items() if n > 1 and piece not in self._pieces])
        return list(map(self._most, cut))

    def _most(self, pieces: Sequence[str]) -> float:
        known, most = self._pieces, self._bytes
        return sum([known[piece] if piece in known else most(piece) for piece in pieces])

    def _of_pieces(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text."""
        if not self._known:
            return self.count(texts)
        cut = list(map(_pieces, texts))
        new = [piece for piece in dict.fromkeys(chain.from_iterable(cut)) if piece not in self._pieces]
        lengths = {**self._pieces, **dict(zip(new, self.count(new), strict=True))}
        return [sum(map(lengths.__getitem__, pieces)) for pieces in cut]

    def _learn(self, pieces: Sequence[str]) -> None:
        if len(self._pieces) + len(pieces) > _KNOWN_PIECES:
            self._pieces = {}
        self._pieces.update(zip(pieces, self.count(pieces), strict=True))


def tokenizer_for(folder: Path | None, limit: int | None) -> PreTrainedTokenizerBase | None:
    """The tokenizer that counts for --max-tokens, None where neither is given; DataError for one without the other."""
    if limit is None and folder is None:
        return None
    if limit is None:
        raise DataError("--tokenizer: counts for --max-tokens N, which isn't given")
    if folder is None:
        raise DataError("--max-tokens: needs --tokenizer DIR to count with")
    return load_tokenizer(folder)


def over_in_all(rows: Sequence[Mapping], tokenizer: PreTrainedTokenizerBase, most: int) -> list[bool]:
    """Whether each of SFT's rows, the question and its answer with the end token, has more than `most` tokens."""
    prompts, texts = ([row["messages"][at]["content"] for row in rows] for at in (-2, -1))
    return Lengths(tokenizer).over(prompts, None, texts, most)


def _pieces(text: str) -> list[str]:
    """The text in order, cut behind each line feed before a letter."""
    *whole, last = _CUT.split(text)
    return [*[line + "\n" for line in whole], last]


def _adds_up(state: dict) -> bool:
    """True if the two facts hold of a tokenizer, which is here as it is in tokenizer.json."""
    split, bytes_ = (*((state["pre_tokenizer"] or {}).get("pretokenizers") or ()), None, None)[:2]
    cut = (
        split is not None
        and bytes_ is not None
        and len(state["pre_tokenizer"]["pretokenizers"]) == 2
        and (split["type"], split.get("behavior"), split.get("invert")) == ("Split", "Isolated", False)
        and split.get("pattern", {}).get("Regex") in _CUTS
        and (bytes_["type"], bytes_["add_prefix_space"], bytes_["use_regex"]) == ("ByteLevel", False, False)
    )
    return (
        cut
        and state["model"]["type"] == "BPE"
        and not state["model"].get("dropout")
        and state["normalizer"] in (None, {"type": "NFC"})
        and not any("\n" in token["content"] or token["single_word"] for token in state["added_tokens"])
    )
