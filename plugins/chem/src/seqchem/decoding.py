"""From logits to tokens and numbers.

    greedy(logits), sample(logits, generator=generator, temperature=1.4), beam(logits)      # position by position
    grammar = NumberGrammar.of(tokenizer, "qed")
    found = decode_number(logits, grammar)                          # digits taken for independent, one pass
    found = sequential(model_logits(model), ids, places, grammar)   # left to right, each digit fed back
    found = beam_number(model_logits(model), ids, places, grammar, width=4)
    found.value, found.mean, found.variance                         # (B,) float64, in the user's units

A number is a fixed row of places, each of which allows few tokens (its grammar), so every answer is a number. Searches
over the text treat positions as independent, as published: one pass asks for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seqchem.collating.permutation import Order
from seqchem.collating.prefilled import mask_prefilled
from seqchem.tokenizers.properties import digit_value

LogitsAt = Callable[[Tensor, Tensor], Tensor]
"""``logits_at(input_ids (N, T), positions (N, P)) -> (N, P, V)``; what is asked for stands as [MASK]."""


def restricted(logits: Tensor, allowed: Tensor | None) -> Tensor:
    """Return the logits with all tokens but the allowed ones ruled out.

    Args:
        logits: (..., V).
        allowed: Bool, (V,) or of the logits' shape; None: all are.
    """
    return logits if allowed is None else logits.masked_fill(~allowed, -torch.inf)


def greedy(logits: Tensor, *, allowed: Tensor | None = None) -> Tensor:
    """Return the likeliest token of every position, (B, P) int64; see `restricted`."""
    return restricted(logits, allowed).argmax(-1)


def sample(
    logits: Tensor, *, generator: torch.Generator, temperature: float = 1.0, allowed: Tensor | None = None
) -> Tensor:
    """Draw a token of every position from softmax(logits / temperature), (B, P) int64.

    Args:
        logits: (B, P, V).
        generator: Draws, on its own device: the same numbers whatever device the logits are on.
        temperature: Above 1 is more diverse; 0 is `greedy`.
        allowed: See `restricted`.

    Raises:
        ValueError: The temperature is below 0.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be at least 0, not {temperature}")
    scores = restricted(logits, allowed).float()
    if temperature == 0:
        return scores.argmax(-1)
    noise = torch.empty(scores.shape, device=generator.device).exponential_(generator=generator)
    # Gumbel noise: the argmax is a draw from the softmax.
    return (scores / temperature - noise.clamp(min=torch.finfo(noise.dtype).tiny).log().to(scores.device)).argmax(-1)


def beam(
    logits: Tensor, *, width: int = 3, top_tokens: int = 5, eps: float = 1e-10, allowed: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the best combinations of tokens, positions taken for independent, best first.

    Args:
        logits: (B, P, V).
        width: Combinations W that are kept.
        top_tokens: Tokens of each position that are tried.
        eps: Added to probabilities before the logarithm, as published.
        allowed: See `restricted`.

    Returns:
        Tokens (B, P, W) int64 and their summed log probabilities (B, W).
    """
    chances = restricted(logits, allowed).softmax(-1)
    best, tokens = chances.topk(min(top_tokens, chances.shape[-1]), dim=-1)  # (B, P, K)
    gains = (best + eps).log()
    rows, count, tried = tokens.shape
    scores = gains.new_zeros(rows, 1)
    paths = tokens.new_zeros(rows, 0, 1)
    for place in range(count):
        sums = (scores[:, :, None] + gains[:, place, None, :]).flatten(1)  # (B, W * K)
        scores, chosen = sums.topk(min(width, sums.shape[1]), dim=1)
        before = (chosen // tried)[:, None, :].expand(-1, place, -1)
        added = tokens[:, place].gather(1, chosen % tried)
        paths = torch.cat((paths.gather(2, before), added[:, None, :]), 1)
    return paths, scores


class DecodedNumbers(NamedTuple):
    """Numbers and how sure the digits are of them, in the user's units.

    Attributes:
        value: (B,) float64, the likeliest number.
        mean: (B,) float64, of the number's distribution.
        variance: (B,) float64.
        log_probability: (B,) float64, of `value`.
        tokens: (B, S) int64, the tokens of `value`.
        candidates: (B, W) float64, numbers of the beam, best first; None without one.
        candidate_log_probabilities: (B, W) float64.
    """

    value: Tensor
    mean: Tensor
    variance: Tensor
    log_probability: Tensor
    tokens: Tensor
    candidates: Tensor | None = None
    candidate_log_probabilities: Tensor | None = None


@dataclass(frozen=True)
class NumberGrammar:
    """Which tokens each place of a number allows and what they are worth.

    Attributes:
        ids: Of each of S places the ids of the allowed tokens.
        worth: What each adds to the number; of a sign -1 or 1.
        signed: Whether the first place is a sign.
        scale: From the written number to the user's units: times this ...
        offset: ... plus this.
    """

    ids: tuple[tuple[int, ...], ...] = field(repr=False)
    worth: tuple[tuple[float, ...], ...] = field(repr=False)
    signed: bool
    scale: float = 1.0
    offset: float = 0.0

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> NumberGrammar:
        """Return the grammar of a property that the tokenizer has a number format of.

        Args:
            tokenizer: With `number_formats` and `slot_ids`.
            name: The property, without brackets.
        """
        form = tokenizer.number_formats[name]
        normalized = form.normalized
        return cls.from_slots(
            form.slots(),
            tokenizer.slot_ids(name),
            scale=form.maximum - form.minimum if normalized else 1.0,
            offset=form.minimum if normalized else 0.0,
        )

    @classmethod
    def from_slots(
        cls, slots: Sequence[Sequence[str]], ids: Sequence[Sequence[int]], *, scale: float = 1.0, offset: float = 0.0
    ) -> NumberGrammar:
        """Return the grammar of places that are given by their tokens (`_3_-1_`, `_._`, `_-_`) and ids.

        Raises:
            ValueError: A sign stands behind the first place, or a place allows nothing.
        """
        if not all(slots):
            raise ValueError("a place of the number allows no token")
        signs = [token in ("_-_", "_+_") for slot in slots for token in slot]
        signed = signs[0]
        if any(signs[len(slots[0]) if signed else 0 :]):
            raise ValueError("a sign must be the first token of a number")
        worth = tuple(tuple(map(token_worth, slot)) for slot in slots)
        return cls(tuple(map(tuple, ids)), worth, signed, scale, offset)

    @property
    def width(self) -> int:
        """Number of places S."""
        return len(self.ids)

    def tables(self, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
        """Return ids (S, A) int64, worths (S, A) float64 and which of them are allowed (S, A) bool."""
        most = max(map(len, self.ids))
        ids = torch.tensor([[*slot, *[slot[0]] * (most - len(slot))] for slot in self.ids], device=device)
        worth = torch.tensor([[*slot, *[0.0] * (most - len(slot))] for slot in self.worth], dtype=torch.float64)
        sizes = torch.tensor([[len(slot)] for slot in self.ids], device=device)
        return ids, worth.to(device), torch.arange(most, device=device) < sizes

    def log_probabilities(self, logits: Tensor, first: int = 0) -> Tensor:
        """Return log probabilities of the allowed tokens, (B, P, A) float64, -inf where a place has fewer than A.

        Args:
            logits: (B, P, V) at the places `first` .. `first` + P - 1.
            first: See there.
        """
        ids, _, allowed = (table[first : first + logits.shape[1]] for table in self.tables(logits.device))
        chosen = logits.gather(2, ids.expand(len(logits), -1, -1)).double()
        return chosen.masked_fill(~allowed, -torch.inf).log_softmax(-1)

    def in_units(self, found: DecodedNumbers) -> DecodedNumbers:
        """Return decoded numbers in the user's units, given as they are written."""
        candidates = None if found.candidates is None else found.candidates * self.scale + self.offset
        return found._replace(
            value=found.value * self.scale + self.offset,
            mean=found.mean * self.scale + self.offset,
            variance=found.variance * self.scale**2,
            candidates=candidates,
        )


def token_worth(token: str) -> float:
    """Return what a token adds to its number: a digit its value, a sign -1 or 1, the point nothing."""
    if token in ("_-_", "_+_"):
        return -1.0 if token == "_-_" else 1.0
    found = digit_value(token)
    return float(f"{found[0]}e{found[1]}") if found else 0.0


def digit_distribution(logits: Tensor, slots: Sequence[Sequence[int]] | NumberGrammar) -> list[Tensor]:
    """Return the distribution over the tokens that each place allows, all others ruled out.

    Args:
        logits: (B, S, V) at the places of a number.
        slots: A grammar, or of each place the allowed ids.

    Returns:
        S tensors (B, number of allowed tokens) float64, each row summing to 1.

    Raises:
        ValueError: There are not as many places.
    """
    ids = slots.ids if isinstance(slots, NumberGrammar) else slots
    if len(ids) != logits.shape[1]:
        raise ValueError(f"logits of {logits.shape[1]} places for a number of {len(ids)}")
    return [logits[:, place, list(allowed)].double().softmax(-1) for place, allowed in enumerate(ids)]


def decode_number(logits: Tensor, grammar: NumberGrammar) -> DecodedNumbers:
    """Decode numbers from one pass, the places taken for independent.

    Mean and variance are those of the whole number: with sign s and magnitude m, E[sm] = E[s] E[m] and
    Var[sm] = E[m^2] - E[sm]^2.

    Args:
        logits: (B, S, V) at the places of the number.
        grammar: Its places.

    Raises:
        ValueError: There are not as many places.
    """
    if logits.shape[1] != grammar.width:
        raise ValueError(f"logits of {logits.shape[1]} places for a number of {grammar.width}")
    ids, worth, _ = grammar.tables(logits.device)
    logs = grammar.log_probabilities(logits)
    best = logs.argmax(-1, keepdim=True)  # (B, S, 1)
    parts = worth.expand_as(logs).gather(2, best)[..., 0]
    digits = slice(1 if grammar.signed else 0, None)
    mean, variance = _moments(logs[:, digits], worth[digits])
    value = parts[:, digits].sum(1)
    if grammar.signed:
        square, expected = variance + mean**2, (logs[:, 0].exp() * worth[0]).sum(-1)
        value, mean = parts[:, 0] * value, expected * mean
        variance = (square - mean**2).clamp(min=0)
    chosen = ids.expand(len(logs), -1, -1).gather(2, best)[..., 0]
    found = DecodedNumbers(value, mean, variance, logs.gather(2, best).sum((1, 2)), chosen)
    return grammar.in_units(found)


def _moments(logs: Tensor, worth: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of a sum of independent digits, both (B,).

    Args:
        logs: (B, P, A) log probabilities.
        worth: (P, A) what each digit adds.
    """
    chances = logs.exp()
    means = (chances * worth).sum(-1, keepdim=True)
    return means.sum((1, 2)), (chances * (worth - means) ** 2).sum((1, 2))


def sequential(
    logits_at: LogitsAt, input_ids: Tensor, places: Tensor, grammar: NumberGrammar, *, mask_token_id: int
) -> DecodedNumbers:
    """Decode numbers from left to right, the likeliest digit fed back before the next is asked for.

    Mean and variance are those of `beam_number` with one beam.

    Args:
        logits_at: The model; see `model_logits`.
        input_ids: (B, T) int64; what stands at `places` does not matter.
        places: (B, S) int64, where the number stands.
        grammar: Its places.
        mask_token_id: Id of [MASK].
    """
    return beam_number(logits_at, input_ids, places, grammar, mask_token_id=mask_token_id, width=1)


@torch.no_grad()
def beam_number(
    logits_at: LogitsAt,
    input_ids: Tensor,
    places: Tensor,
    grammar: NumberGrammar,
    *,
    mask_token_id: int,
    width: int = 4,
) -> DecodedNumbers:
    """Decode numbers from left to right, the likeliest `width` beginnings fed back at each place.

    One pass of B * width rows for each place that has a choice. Mean and variance are over all numbers: those of the
    beam with their probabilities, and those dropped on the way with theirs, their remaining digits taken for
    independent. Exact where the beam holds every number, and where digits are independent whatever the width.

    Args:
        logits_at: The model; see `model_logits`.
        input_ids: (B, T) int64; what stands at `places` does not matter.
        places: (B, S) int64, where the number stands.
        grammar: Its places.
        mask_token_id: Id of [MASK].
        width: Beginnings W that are kept.

    Raises:
        ValueError: There are not as many places, or no beam.
    """
    if places.shape[1] != grammar.width:
        raise ValueError(f"{places.shape[1]} places for a number of {grammar.width}")
    if width < 1:
        raise ValueError(f"width must be at least 1, not {width}")
    search = _Search(logits_at, input_ids.scatter(1, places, mask_token_id), places, grammar)
    for place in range(grammar.width):
        search.extend(place, width)
    return grammar.in_units(search.result())


class _Search:
    """Beginnings of numbers, and what was dropped of them.

    Attributes:
        beams: (B, W, T) rows as far as they are written.
        logs: (B, W) log probability of what is written.
        sign: (B, W), 1 until a sign is written.
        magnitude: (B, W) worth of the digits written.
        dropped: Probability of what was dropped, and that times its mean and times its mean square, each (B,).
    """

    def __init__(self, logits_at: LogitsAt, input_ids: Tensor, places: Tensor, grammar: NumberGrammar) -> None:
        self.logits_at, self.places, self.grammar = logits_at, places, grammar
        self.ids, self.worth, self.allowed = grammar.tables(input_ids.device)
        self.beams = input_ids[:, None]
        self.logs = torch.zeros(len(input_ids), 1, dtype=torch.float64, device=input_ids.device)
        self.sign, self.magnitude = torch.ones_like(self.logs), torch.zeros_like(self.logs)
        self.dropped = torch.zeros(3, len(input_ids), dtype=torch.float64, device=input_ids.device)

    def extend(self, place: int, width: int) -> None:
        """Write the next token of every beginning and keep the best."""
        rows, beams = self.logs.shape
        count = len(self.grammar.ids[place])
        if count == 1:
            self._write(place, torch.arange(beams, device=self.logs.device).expand(rows, -1), 1)
            return
        where = self.places.repeat_interleave(beams, 0)
        logs = self.grammar.log_probabilities(self.logits_at(self.beams.flatten(0, 1), where[:, place:]), place)
        sums = (self.logs[:, :, None] + logs[:, 0, :count].view(rows, beams, count)).flatten(1)
        kept, chosen = sums.topk(min(width, sums.shape[1]), dim=1)
        if chosen.shape[1] < sums.shape[1]:
            rest = [part.view(rows, beams, 1) for part in _moments(logs[:, 1:], self.worth[place + 1 :])]
            self._drop(place, sums.scatter(1, chosen, -torch.inf).view(rows, beams, count), *rest)
        self.logs = kept
        self._write(place, chosen, count)

    def _parts(self, place: int) -> tuple[Tensor, Tensor]:
        """Return sign and magnitude behind every token of a place, each (B, W, number of tokens)."""
        worth = self.worth[place, : len(self.grammar.ids[place])]
        if place == 0 and self.grammar.signed:
            return self.sign[:, :, None] * worth, self.magnitude[:, :, None] + torch.zeros_like(worth)
        return self.sign[:, :, None] * torch.ones_like(worth), self.magnitude[:, :, None] + worth

    def _drop(self, place: int, logs: Tensor, mean: Tensor, variance: Tensor) -> None:
        """Account for the tokens that are not kept.

        Args:
            place: Theirs.
            logs: (B, W, A) log probabilities, -inf of those that are kept.
            mean: (B, W, 1) of what follows in their numbers.
            variance: The same.
        """
        sign, magnitude = self._parts(place)
        weight, whole = logs.exp(), magnitude + mean
        moments = (weight, weight * sign * whole, weight * (whole**2 + variance))
        self.dropped = self.dropped + torch.stack([moment.sum((1, 2)) for moment in moments])

    def _write(self, place: int, chosen: Tensor, count: int) -> None:
        """Go on with the chosen (B, W) pairs of a beginning and one of `count` tokens."""
        origin, token = chosen // count, chosen % count
        sign, magnitude = (part.flatten(1).gather(1, chosen) for part in self._parts(place))
        self.sign, self.magnitude = sign, magnitude
        beams = self.beams.gather(1, origin[:, :, None].expand(-1, -1, self.beams.shape[2]))
        where = self.places[:, None, place : place + 1].expand(-1, beams.shape[1], 1)
        self.beams = beams.scatter(2, where, self.ids[place][token][:, :, None])

    def result(self) -> DecodedNumbers:
        """Return the numbers as they are written."""
        values, weights = self.sign * self.magnitude, self.logs.exp()
        total, first, second = self.dropped
        total = total + weights.sum(1)
        mean = (first + (weights * values).sum(1)) / total
        square = (second + (weights * values**2).sum(1)) / total
        tokens = self.beams[:, 0].gather(1, self.places)
        variance = (square - mean**2).clamp(min=0)
        return DecodedNumbers(values[:, 0], mean, variance, self.logs[:, 0], tokens, values, self.logs)


def model_logits(model: Any, *, order: Order = "hidden") -> LogitsAt:
    """Return the logits of a Regression Transformer at positions of rows with [MASK]s, for `beam_number`.

    The model is used as it is: in evaluation mode or not, with gradients or without.

    Args:
        model: With `tokenizer`, `config.mixer` and the forward of `RegressionTransformer`.
        order: How the [MASK]s of a two-stream model see each other. By default not at all, as validation in training
            asks; nothing is drawn, so the same row gives the same logits every time.

    Raises:
        ValueError: The order is "random".
    """
    if order == "random":
        raise ValueError("order must be hidden, forward or none: nothing is drawn here")
    settled: Order = order if model.config.mixer == "xlnet" else "none"

    def logits_at(input_ids: Tensor, positions: Tensor) -> Tensor:
        batch = mask_prefilled(input_ids, model.tokenizer, order=settled)
        logits: Tensor = model(
            input_ids, attention_mask=batch.attention_mask, perm_mask=batch.perm_mask, positions=positions
        )
        return logits

    return logits_at
