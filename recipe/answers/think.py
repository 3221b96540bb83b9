"""The think block that goes before an answer, whatever the answer's format."""

from recipe.core.entities import Answer, DataError, Example
from recipe.core.words import words

OPEN, CLOSE = "<think>", "</think>"


def with_reasoning(answer: str, reasoning: str | None) -> str:
    """The completion: a think block, if there is reasoning, and the answer. DataError for a think tag in reasoning."""
    if reasoning is None:
        return answer
    if OPEN in reasoning or CLOSE in reasoning:
        raise DataError(f"reasoning: holds {OPEN} or {CLOSE} itself; take it out")
    return f"{OPEN}\n{reasoning.strip()}\n{CLOSE}\n{answer}"


def unwrapped(reasoning: str) -> str:
    """Reasoning without the one think block that all of it stands in, if it does; else as it is."""
    text = reasoning.strip()
    if not (text.startswith(OPEN) and text.endswith(CLOSE)):
        return reasoning
    inner = text[len(OPEN) : -len(CLOSE)]
    return reasoning if OPEN in inner or CLOSE in inner else inner.strip()


def split_reasoning(text: str, start: int = 0) -> tuple[str | None, str, bool]:
    """Reasoning, the answer, and whether the think block, if any, is well-formed.

    A block that never closes has no reasoning, and all of it may be the answer. A prompt may have opened the block. Its
    end is the first closing tag from `start` on, in characters of the stripped text.
    """
    text = text.strip()
    end = text.find(CLOSE, start)
    if end < 0:
        return None, text.removeprefix(OPEN), not text.startswith(OPEN)
    head, tail = text[:end], text[end + len(CLOSE) :]
    before, opened, thought = head.partition(OPEN)
    return (thought if opened else before).strip(), tail.strip(), not (opened and before.strip())


def parts(completion: str) -> tuple[str, str]:
    """The texts of the reasoning, closed or not, and of the answer; either may be empty. Lengths are of these."""
    reasoning, answer, _ = split_reasoning(completion)
    return reasoning or "", answer


def template_reasoning(example: Example) -> str:
    """A rationale built from the gold alone, for runs without chain-of-thought data. It teaches the format only."""
    if not example.entities:
        return "No span of the sentence names an entity of these types."
    # Once each, as a small model that learns to repeat itself does not stop; in the order in which the answer has them.
    named = dict.fromkeys(sorted(example.entities, key=lambda entity: entity.type))
    articles = ("an" if entity.type[:1] in "aeiou" else "a" for entity in named)
    return " ".join(f'"{each.name}" is {article} {each.type}.' for each, article in zip(named, articles, strict=True))


def reasoned(answer: Answer) -> float:
    """The share of the answer's entities whose name and type the reasoning has, each word of both, in [0, 1].

    1 for an answer that names nothing, after any reasoning; 0 without reasoning, and for reasoning that opens a think
    block itself. In scripts without spaces a character is a word. After the rule by which ReasoningNER validates its
    data: the reasoning names what it extracts.
    """
    if not answer.layout or not answer.reasoning or OPEN in answer.reasoning:
        return 0.0
    entities, said = set(answer.entities), set(words(answer.reasoning))
    held = sum(said.issuperset(words(f"{entity.name} {entity.type}")) for entity in entities)
    return held / len(entities) if entities else 1.0
