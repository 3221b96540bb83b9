"""Chat prompts as token ids, and what is wrong with a chat template.

encode_prompt(tokenizer, [{"role": "user", "content": "..."}])   # the ids that verl's rollout sends to the model
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from recipe.answers.control_tokens import CONTROL_TOKEN, THINK_TAGS, find_control_tokens, token_ids
from recipe.core.entities import DataError
from recipe.models.frame import frame_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FEW = 3  # conversations that are rendered sooner than a frame is found


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
    _check_has_template(tokenizer)

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
    return token_ids(tokenizer, rendered_prompts(tokenizer, prompts, names, **template_kwargs))


def rendered_prompts(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    names: Sequence[str] | None = None,
    **template_kwargs: object,
) -> list[str]:
    """The texts that `encode_prompts` tokenizes. DataError if there is no chat template, or it refuses messages."""
    from jinja2 import TemplateError

    _check_has_template(tokenizer)
    asked = {"add_generation_prompt": True, **template_kwargs}

    rendered = _framed(tokenizer, conversations, **asked)
    left = [at for at, text in enumerate(rendered) if text is None]
    if not left:
        return rendered
    with contextlib.suppress(TemplateError):
        texts = tokenizer.apply_chat_template([list(conversations[at]) for at in left], tokenize=False, **asked)
        for at, text in zip(left, texts, strict=True):
            rendered[at] = text
        return rendered
    for at in left:  # which one was it
        try:
            rendered[at] = tokenizer.apply_chat_template(list(conversations[at]), tokenize=False, **asked)
        except TemplateError as error:
            name = f"{names[at]}: " if names else ""
            message = f"{name}the chat template refuses its messages ({error}); write it anew"
            raise DataError(message) from error
    return rendered


def _framed(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Sequence[Mapping[str, str]]], **asked: object
) -> list[str | None]:
    """The rendered conversations that are a question in the template's frame; None for others."""
    none: list[str | None] = [None] * len(conversations)
    contents = [_only_content(messages) for messages in conversations]
    if len(contents) - contents.count(None) <= _FEW:
        return none
    frame = frame_of(tokenizer, "user", **asked)
    if frame is None:
        return none
    framed = [None if content is None else frame(content) for content in contents]
    at = next((at for at, text in enumerate(framed) if text is not None), None)
    if at is None or tokenizer.apply_chat_template(list(conversations[at]), tokenize=False, **asked) != framed[at]:
        return none  # transformers renders otherwise than we suppose
    return framed


def _only_content(messages: Sequence[Mapping[str, str]]) -> str | None:
    """The text of a user's message that is the only one."""
    if len(messages) != 1 or len(messages[0]) != 2 or messages[0].get("role") != "user":
        return None
    content = messages[0].get("content")
    return content if type(content) is str else None


def _check_has_template(tokenizer: PreTrainedTokenizerBase) -> None:
    if not tokenizer.chat_template:
        name = getattr(tokenizer, "name_or_path", "") or "tokenizer"
        raise DataError(f"{name}: has no chat template; save one with the tokenizer (chat_template.jinja)")


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
