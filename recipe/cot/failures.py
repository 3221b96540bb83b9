"""What a request that went wrong means: ask again, give up the row, or stop asking.

    what comes back                             what is done
    408, 409, 425, 429, 5xx, timeout, lost      asked again, up to --attempts times: after Retry-After, or a wait that
    connection, body cut or no completion       doubles, in part by chance
    400, 404, 413, 422 and other 4xx            that row failed
    401, 403, unknown model, spent quota        no more questions; those under way are finished

What is kept of an error is one short line, with anything in it that is a key, or looks like one, cut out.
"""

import asyncio
import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

LONGEST_LINE = 300  # characters

_AGAIN = frozenset({408, 409, 425, 429})
_TOO_LONG = re.compile(r"context.length|context_length|maximum.{0,20}(?:context|length)|too.{0,8}long", re.IGNORECASE)
_LOOKS_LIKE_KEY = re.compile(r"\b(?:sk|key|gsk|xai|hf|AIza)[-_][A-Za-z0-9*_\-]{6,}|(?i:bearer)\s+\S+")


@dataclass(frozen=True, slots=True)
class Failure:
    """`reason` and `detail` are for the row's record. `again`: after `wait` seconds, None for no wish of the server's.

    `stop` is the line that asking ends with, if it has to.
    """

    reason: str = ""
    detail: str = ""
    again: bool = False
    wait: float | None = None
    stop: str | None = None


def find_failure(error: Exception, where: str, key: str, timeout: float) -> Failure:
    """What an error of the client means, at the endpoint `where`."""
    import openai

    line = said(error, key)
    if isinstance(error, openai.APIStatusError):
        status, code = error.status_code, str(getattr(error, "code", None) or "")
        if status in (401, 403):
            return Failure(stop=refusal(where, status))
        if code in ("insufficient_quota", "model_not_found"):
            return Failure(stop=f"{where}: {line}")
        if status in _AGAIN or status >= 500:
            return Failure(f"http_{status}", line, again=True, wait=retry_after(error.response.headers))
        too_long = status in (400, 413, 422) and _TOO_LONG.search(f"{code} {line}")
        return Failure("too_long" if too_long else f"http_{status}", line)
    if isinstance(error, openai.APITimeoutError | asyncio.TimeoutError):
        return Failure("timeout", f"no answer within {timeout:g} s", again=True)
    if isinstance(error, openai.APIConnectionError):
        return Failure("connection", said(error.__cause__ or error, key), again=True)
    return Failure("bad_response", line, again=True)


def refusal(where: str, status: int) -> str:
    """What is said of a key that an endpoint refuses."""
    return f"{where}: refused the key ({status}); set OPENAI_API_KEY, or name the variable with --api-key-env"


def said(error: BaseException, key: str) -> str:
    """What an error says, in one short line; its kind, if that is nothing."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return redact(str(message or getattr(error, "message", None) or error), key) or type(error).__name__


def redact(text: str, key: str) -> str:
    """A text as one short line without the key, and without what looks like one."""
    text = " ".join(text.split())
    if len(key) > 4:
        text = text.replace(key, "***")
    return _LOOKS_LIKE_KEY.sub("***", text)[:LONGEST_LINE]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, by the header's number or date; None without it, or for nonsense."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return seconds if 0 < seconds < float("inf") else None
