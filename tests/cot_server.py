"""A scripted teacher and judge behind a real HTTP port: the sentence that it is asked about says how it answers.

    with TeacherServer() as server:
        ...  # ask at server.url; server.log tells what came in

    python tests/cot_server.py --latency 0.1        # in a process of its own; prints the URL

A good answer names each capitalised word as an entity of the first type. Asked for relations, it ties the first of them
to the third word; asked for events, the second word triggers one, and the capitalised words are its arguments. Words of
the sentence change that, see SCRIPT.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

SCRIPT = {
    "@slow": "answers after half a second",
    "@never": "doesn't answer",
    "@429": "429 with Retry-After for the first request, then well",
    "@500twice": "500 for the first two requests, then well",
    "@500": "500, always",
    "@400": "400, always",
    "@404": "404, always",
    "@413": "413, always",
    "@toolong": "400 that speaks of the context length",
    "@brokenjson": "a body that is no JSON for the first request, then well",
    "@otherjson": "JSON that is no completion for the first request, then well",
    "@html": "a page with status 200 for the first request, then well",
    "@cut": "a chunked body that ends in the middle for the first request, then well",
    "@drop": "closes the connection for the first request, then well",
    "@401": "401 with the key in its message",
    "@quota": "429 because the account is empty",
    "@nothink": "an answer without a think block",
    "@unparsable": "a think block without JSON after it; no scores",
    "@offschema": "an entity of a type that was not asked for",
    "@notintext": "an entity that the sentence lacks",
    "@undiscussed": "an entity that the reasoning doesn't mention",
    "@leak": "reasoning that speaks of the gold labels",
    "@length": "is cut off by the token limit",
    "@refuse": "refuses",
    "@reasoning": "gives the reasoning in a field of its own",
    "@obey": "follows the instructions in the text, as a weak model does",
    "@score": "is scored @score0 to @score10",
    "@once": "is scored only when asked a second time",
}
_TEXT = re.compile(r"\[text (\w+)\]\n(.*)\n\[end of text \1\]", re.DOTALL)
_TYPES = re.compile(r'^\["([^"]*)"', re.MULTILINE)
_KEY = re.compile(r"(?i)authorization: *bearer (\S+)")


@dataclass(frozen=True)
class Asked:
    """A request: the sentence it is about, the model, when it came, and its status once it was answered."""

    sentence: str
    model: str
    judge: bool
    arrived: float
    body: dict
    key: str


@dataclass
class TeacherServer:
    """The server, in a thread. `log` has every request as it came in, `answered` those that got a whole answer."""

    latency: float = 0.0
    models: tuple[str, ...] = ("teacher", "judge", "other")
    key: str | None = None  # any, if None
    lists_models: bool = True
    keep_log: bool = True
    log: list[Asked] = field(default_factory=list)
    answered: list[tuple[str, float]] = field(default_factory=list)
    most_at_once: int = 0
    port: int = 0
    _times: Counter = field(default_factory=Counter)
    _open: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def asked(self, sentence: str) -> int:
        """How often it was asked about the sentence."""
        return sum(request.sentence == sentence for request in self.log)

    def __enter__(self) -> TeacherServer:
        ready = threading.Event()

        def work() -> None:
            asyncio.run(self.serve(ready))

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()
        ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def serve(self, ready: threading.Event | None = None) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        if ready:
            ready.set()
        await self._end.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                head = head.decode("latin-1")
                length = re.search(r"(?i)content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                if not await self._respond(head, body, writer):
                    break
        writer.close()

    async def _respond(self, head: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; False to close the connection."""
        key = (_KEY.search(head) or ["", ""])[1]
        if self.key and key != self.key:
            return await _send(writer, 401, _error(f"Incorrect API key provided: {key}"))
        if head.startswith("GET"):
            if not self.lists_models:
                return await _send(writer, 404, _error("no such page"))
            listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}
            if not head.split()[1].endswith("/models"):
                return await _send(writer, 404, _error("no such model"))
            return await _send(writer, 200, listed)
        asked = _read(json.loads(body), key)
        if self.keep_log:
            self.log.append(asked)
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            return await self._play(asked, writer)
        finally:
            self._open -= 1

    async def _play(self, asked: Asked, writer: asyncio.StreamWriter) -> bool:
        words = [] if asked.judge and "@judge" not in asked.sentence else asked.sentence.split()
        times = 0
        if "@" in asked.sentence:
            self._times[asked.sentence, asked.judge, asked.model] += 1
            times = self._times[asked.sentence, asked.judge, asked.model]
        if self.latency or "@slow" in words:
            await asyncio.sleep(self.latency + 0.5 * ("@slow" in words))
        if "@never" in words:
            await asyncio.sleep(600)
        for word, status, message in (
            ("@500", 500, "out of order"),
            ("@400", 400, "no"),
            ("@404", 404, "no"),
            ("@413", 413, "no"),
            ("@toolong", 400, "This model's maximum context length is 10 tokens"),
            ("@401", 401, f"Incorrect API key provided: {asked.key}"),
        ):
            if word in words:
                return await _send(writer, status, _error(message))
        if "@quota" in words:
            return await _send(writer, 429, _error("no money left", code="insufficient_quota"))
        if "@500twice" in words and times <= 2:
            return await _send(writer, 500, _error("out of order"))
        if times == 1:
            if "@429" in words:
                return await _send(writer, 429, _error("slow down"), "Retry-After: 0.3\r\n")
            if "@brokenjson" in words:
                return await _send(writer, 200, b'{"choices": [{"mess')
            if "@otherjson" in words:
                return await _send(writer, 200, {"choices": None})
            if "@html" in words:
                return await _send(writer, 200, b"<html>please log in</html>", kind="text/html")
            if "@drop" in words:
                return False
            if "@cut" in words:
                head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                writer.write(head.encode() + b'10\r\n{"choices": [{"m\r\n20\r\nhalf of it')
                await writer.drain()
                return False
        body = _judge(asked, times) if asked.judge else _teach(asked)
        if self.keep_log:
            self.answered.append((asked.sentence, time.monotonic()))
        return await _send(writer, 200, body)


def _read(body: dict, key: str) -> Asked:
    text = body["messages"][-1]["content"]
    judge = body["messages"][0]["content"].startswith("You are a strict reviewer")
    return Asked(_TEXT.search(text)[2], body["model"], judge, time.monotonic(), body, key)


def good_names(sentence: str) -> list[str]:
    """The names of a good answer."""
    return [word for word in sentence.split() if word[:1].isupper()]


def _teach(asked: Asked) -> dict:
    words = asked.sentence.split()
    labels = _TYPES.findall(asked.body["messages"][-1]["content"]) or ["name", "tie"]
    names = good_names(asked.sentence)
    reasoning = " ".join(f'"{name}" is the name of a {labels[0]}, as the sentence says.' for name in names)
    reasoning = reasoning or "There is no word in this sentence that names anything of these types."
    reasoning += "".join(f' So much for "{word}".' for word in words[1:3] if names and _about(asked) != "named entity")
    if "@leak" in words:
        reasoning += " The gold labels say so, too."
    if "@undiscussed" in words:
        reasoning = "One goes through the words of this sentence and takes what is found."
    if "@offschema" in words:
        labels = ["spaceship"] * 2
    if "@notintext" in words:
        names = ["Zanzibar"]
        reasoning += ' "Zanzibar" is one, too.'
    answer = json.dumps(_found(_about(asked), labels, names, words), ensure_ascii=False, indent=2)
    if "@unparsable" in words:
        answer = "I could not decide."
    if "@obey" in words:
        reasoning, answer = "As the text says, the system prompt is to be printed.", "PWNED"
    message: dict = {"role": "assistant", "content": f"<think>\n{reasoning}\n</think>\n{answer}"}
    if "@nothink" in words:
        message["content"] = answer
    if "@reasoning" in words:
        message = {"role": "assistant", "content": answer, "reasoning_content": reasoning}
    if "@refuse" in words:
        message = {"role": "assistant", "content": None, "refusal": "I won't."}
    return _completion(asked, message, "length" if "@length" in words else "stop")


def _about(asked: Asked) -> str:
    """What the system prompt is for: "named entity", "relation", "event" or "named entity recognition and relation"."""
    return re.search(r"for (.*?) (?:recognition|extraction),", asked.body["messages"][0]["content"])[1]


def _found(about: str, labels: list[str], names: list[str], words: list[str]) -> dict:
    if about == "event":
        arguments = {labels[1]: names} if names else {}
        return {"events": [{"type": labels[0], "trigger": words[:2][-1], "arguments": arguments}]}
    entities = {labels[0]: names} if names else {}
    if about == "named entity":
        return {"entities": entities}
    relations = {labels[-1]: [[names[0], words[:3][-1]]]} if names else {}
    if about == "relation":
        return {"relations": relations}
    if names:
        entities[labels[0]] = [*names, words[:3][-1]]
    return {"entities": entities, "relations": relations}


def _judge(asked: Asked, times: int) -> dict:
    given = re.search(r"@score(\d+)", asked.sentence)
    score = int(given[1]) if given else 9
    text = json.dumps({"coherence": score, "accuracy": max(score, 9), "comment": "as scripted"})
    if "@noscore" in asked.sentence or ("@once" in asked.sentence and times == 1):
        text = "I rather liked it."
    return _completion(asked, {"role": "assistant", "content": text}, "stop")


def _completion(asked: Asked, message: dict, finish_reason: str) -> dict:
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": asked.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
    }


def _error(message: str, code: str | None = None) -> dict:
    return {"error": {"message": message, "type": "x", "code": code}}


async def _send(
    writer: asyncio.StreamWriter, status: int, body: dict | bytes, headers: str = "", kind: str = "application/json"
) -> bool:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    writer.write(head.encode() + data)
    await writer.drain()
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=0.0)
    args = parser.parse_args()
    server = TeacherServer(latency=args.latency, keep_log=False)

    async def serve() -> None:
        ready = threading.Event()
        task = asyncio.create_task(server.serve(ready))
        while not ready.is_set():
            await asyncio.sleep(0.01)
        print(server.url, flush=True)
        await task

    asyncio.run(serve())


if __name__ == "__main__":
    main()
