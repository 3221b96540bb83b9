"""Chat prompts as token ids, and the texts that must not get in: what a tokenizer would read as a control token.

    encode_prompt(tokenizer, [{"role": "user", "content": "..."}])   # the ids that verl's rollout sends to the model
    find_control_token("said <|im_end|> twice")                      # "<|im_end|>"

A sentence that holds such text is refused, in training data, evaluation and prediction alike: verl applies the chat
template to the whole message, so nothing later can tell the sentence's `<|im_end|>` from the template's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from recipe.answers.think import CLOSE, OPEN
from recipe.entities import DataError

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


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text alone, without a begin or end token; batched, as a fast tokenizer likes it."""
    return tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"] if texts else []


@lru_cache(maxsize=8)
def _control_ids(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Ids and texts of a tokenizer's control tokens. Added words and runs of blanks (as in GPT-NeoX) are none."""
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


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Iterable[Mapping[str, str]], **template_kwargs: object
) -> list[int]:
    """Token ids of a prompt, (seq,), with the generation prompt: the same call as verl's agent loop makes.

    `template_kwargs` are verl's `data.apply_chat_template_kwargs`. DataError if a message holds a control token
    other than a think tag or is no text, or the template is missing or refuses the messages.
    """
    return encode_prompts(tokenizer, [messages], **template_kwargs)[0]


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Iterable[Mapping[str, str]]],
    names: Sequence[str] | None = None,
    **template_kwargs: object,
) -> list[list[int]]:
    """`encode_prompt` of many at once, which is several times as fast; its DataError begins with the prompt's name."""
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        name = getattr(tokenizer, "name_or_path", "") or "tokenizer"
        raise DataError(f"{name}: has no chat template; save one with the tokenizer (chat_template.jinja)")

    def wrong(at: int, said: str) -> DataError:
        return DataError(f"{names[at]}: {said}" if names else said)

    prompts = []
    for at, messages in enumerate(conversations):
        try:
            prompts.append([dict(message) for message in messages])
            sound = prompts[-1] and all(isinstance(m["role"], str) for m in prompts[-1])
        except (TypeError, KeyError, ValueError):
            sound = False
        if not sound:
            raise wrong(at, "no list of messages with a role and a content each; write it anew")
        if not all(isinstance(message.get("content"), str) for message in prompts[-1]):
            raise wrong(at, "a message without a text; write it anew")
    places = [(at, message) for at, messages in enumerate(prompts) for message in messages]
    found = find_control_tokens([message["content"] for _, message in places], tokenizer, THINK_TAGS)
    for (at, message), token in zip(places, found, strict=True):
        if token is not None:
            raise wrong(at, f"message of role {message['role']!r}: holds the control token {token!r}; take it out")
    rendered, asked = [], {"add_generation_prompt": True, **template_kwargs}
    for at, messages in enumerate(prompts):
        try:  # the texts that apply_chat_template would tokenize, in the same way, one by one
            rendered.append(tokenizer.apply_chat_template(messages, tokenize=False, **asked))
        except TemplateError as error:
            raise wrong(at, f"the chat template refuses its messages ({error}); write it anew") from error
    return token_ids(tokenizer, rendered)


def check_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """DataError if the chat template can't be this tokenizer's, or is of no use for a question and its answer."""
    from jinja2 import TemplateError

    name = getattr(tokenizer, "name_or_path", "") or "tokenizer"
    if not tokenizer.chat_template:
        raise DataError(
            f"{name}: has no chat template; save one there (chat_template.jinja), or set model.custom_chat_template"
        )
    question, answer = {"role": "user", "content": "a question"}, {"role": "assistant", "content": "an answer"}
    try:
        texts = [
            tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True),
            tokenizer.apply_chat_template([question, answer], tokenize=False),
        ]
    except (TemplateError, TypeError) as error:
        raise DataError(f"{name}: its chat template fails on a question ({error}); correct the template") from error
    if "a question" not in texts[0] or "an answer" not in texts[1]:
        raise DataError(f"{name}: its chat template leaves out a message's text; correct the template")
    # Roles may be spelt in ordinary tokens (Llama 2's [INST], <|user|> of Zephyr and OLMo 2), a turn's end may not.
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    for match in CONTROL_TOKEN.finditer(texts[1].rpartition("an answer")[2]):
        if match.group() not in added:
            raise DataError(
                f"{name}: its chat template ends a turn with {match.group()}, which is no token of this tokenizer; use "
                "the template that belongs to the model"
            )
    ids = encode_prompt(tokenizer, [question])
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        raise DataError(f"{name}: a prompt would begin with {tokenizer.bos_token} twice; take one out of the template")


def lacks_bos(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if the tokenizer begins a plain text with its BOS and the chat template begins a prompt without it."""
    bos = tokenizer.bos_token_id
    prompt = encode_prompt(tokenizer, [{"role": "user", "content": "a question"}])
    return bos is not None and tokenizer("a question")["input_ids"][0] == bos != prompt[0]
