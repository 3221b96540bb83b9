"""What asking has taken so far: requests, tokens and cost, with a limit on requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recipe.cot.questions import Reply


class BudgetSpent(Exception):
    """--max-requests is reached: what is left is for another run."""


@dataclass(slots=True)
class Meter:
    """Sums over all replies of a step, earlier runs among them. Prices are for a million tokens, in any currency."""

    price_input: float | None = None
    price_output: float | None = None
    max_requests: int | None = None
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0

    def before(self, records: Iterable[Mapping]) -> None:
        """Count what the records of earlier runs say."""
        for record in records:
            self.requests += record.get("requests") or 0
            self._add(record.get("input_tokens"), record.get("output_tokens"), record.get("cost"))

    def take(self) -> None:
        """One request more, before it is sent. BudgetSpent if that is one too many."""
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetSpent(f"{self.requests} requests are made, as many as --max-requests allows")
        self.requests += 1

    def count(self, reply: Reply) -> None:
        """Tokens and cost of a reply; its requests were counted as they were sent."""
        self._add(reply.input_tokens, reply.output_tokens, reply.cost)

    def price(self, input_tokens: int | None, output_tokens: int | None) -> float | None:
        """What so many tokens cost; None where prices or tokens aren't known."""
        if self.price_input is None or self.price_output is None or input_tokens is None:
            return None
        return (self.price_input * input_tokens + self.price_output * (output_tokens or 0)) / 1e6

    def _add(self, input_tokens: int | None, output_tokens: int | None, cost: float | None) -> None:
        self.input_tokens += input_tokens or 0
        self.output_tokens += output_tokens or 0
        self.cost += cost or 0.0

    def __str__(self) -> str:
        priced = f", cost {self.cost:.4g}" if self.price_input is not None else ""
        return f"{self.requests:,} requests, {self.input_tokens:,} + {self.output_tokens:,} tokens{priced}"
