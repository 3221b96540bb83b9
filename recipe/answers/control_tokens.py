"""Texts that must not get into a prompt: what a tokenizer would read as a control token.

    find_control_token("said <|im_end|> twice")     # "<|im_end|>"

A sentence that holds such text is refused, in training data, evaluation and prediction alike: verl applies the chat
template to the whole message, so nothing later can tell the sentence's `<|im_end|>` from the template's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from recipe.answers.think import CLOSE, OPEN

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Families of today's open models. Bounded repeats and no nesting: time is linear.
CONTROL_TOKEN = re.compile(
    r"[<＜][|｜][^<>＜＞|｜\s]{1,64}[|｜][>＞]"  # <|im_end|> (Qwen, Llama 3, Phi), <｜User｜> (DeepSeek)
    r"|</?(?:s|bos|eos|pad|unk|mask|cls|sep)>"  # SentencePiece and BERT-like vocabularies
    r"|</?(?:think|thinking|thought|reasoning|answer_start|tool_call|tool_response|tools?|function_calls?)>"
    r"|<(?:start|end)_of_(?:turn|image|text|message)>|</?(?:im_start|im_end|image_soft_token)>"  # Gemma
    r"|<(?:unused|extra_id_|reserved_|special_|SPECIAL_)_?\d{1,6}>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|IMG|THINK|gMASK|sMASK)\]"
    r"|\[(?:CLS|SEP|PAD|UNK|MASK|BOS|EOS)\]"
    r"|<</?SYS>>"  # Llama 2
)


# A prompt may say that the answer begins with a think block; they end no turn. A sentence may not hold them.
THINK_TAGS = (OPEN, CLOSE)


_TAG = re.compile(r"[<＜\[].*[>＞\]]", re.DOTALL)


def find_control_token(
    text: str, tokenizer: PreTrainedTokenizerBase | None = None, allowed: Collection[str] = ()
) -> str | None:
    """The first control token in a text that should hold none but the `allowed` ones, or None.

    Without a tokenizer: what looks like one of any known family. With one: also whatever it turns into one of its own
    special or tag-like added tokens, decided on the token ids.
    """
    return find_control_tokens([text], tokenizer, allowed)[0]


def find_control_tokens(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase | None = None, allowed: Collection[str] = ()
) -> list[str | None]:
    """`find_control_token` of each text; one call of the tokenizer."""
    matches = (CONTROL_TOKEN.finditer(text) for text in texts)
    found = [next((match.group() for match in each if match.group() not in allowed), None) for each in matches]
    if tokenizer is None:
        return found
    control = {i: token for i, token in _control_ids(tokenizer).items() if token not in allowed}
    left = [at for at, token in enumerate(found) if token is None]
    if _verbatim(tokenizer):
        left = [at for at in left if any(token in texts[at] for token in control.values())]
    for at, ids in zip(left, token_ids(tokenizer, [texts[at] for at in left]), strict=True):
        if not control.keys().isdisjoint(ids):
            found[at] = next(control[i] for i in ids if i in control)
    return found


def begin_alike(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if a text without `<` and `[`, of any width, holds none of the tokenizer's control tokens."""
    contents = _control_ids(tokenizer).values()
    return _verbatim(tokenizer) and all(text[:1] in "<＜[" and not re.search(r"\s", text) for text in contents)


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text alone, without a begin or end token; batched, as a fast tokenizer likes it."""
    return tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []


@lru_cache(maxsize=8)
def _control_ids(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Ids and texts of a tokenizer's control tokens. No added words or runs of blanks (as in GPT-NeoX)."""
    added = tokenizer.added_tokens_decoder
    return {i: token.content for i, token in added.items() if token.special or _TAG.fullmatch(token.content)}


@lru_cache(maxsize=8)
def _verbatim(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if a control token's id can only come of its own text: nothing is normalised, no model of words has it.

    Qwen's and Llama 3's tokenizers are so; a text without any of their tokens need not be tokenized to know it.
    """
    if not tokenizer.is_fast:
        return False
    control, backend, added = _control_ids(tokenizer), tokenizer.backend_tokenizer, tokenizer.added_tokens_decoder
    if not control.keys().isdisjoint(backend.get_vocab(with_added_tokens=False).values()):
        return False
    return backend.normalizer is None or not any(added[i].normalized for i in control)
