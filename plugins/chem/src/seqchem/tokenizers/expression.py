"""The tokenizer of the Regression Transformer: properties and a sequence in one row of tokens.

    tokenizer = ExpressionTokenizer(vocabulary, "selfies", number_formats={"qed": NumberFormat.from_values(values)})
    text = tokenizer.expression({"qed": 0.55}, tokenizer.from_smiles("CCO"))      # "<qed>0.524|[C][C][O]"
    ids = tokenizer.encode(text)                                                  # [CLS] ... [SEP]
    tokenizer.properties_of(ids), tokenizer.text_of(ids)

With `published=True` tokens and ids are those of the published code, its silent losses included. Without, a number
keeps its value or is refused; symbols that the vocabulary lacks become [UNK] and are counted by `unknown_counts`.

Born and Manica, Regression Transformer enables concurrent sequence regression and generation, 2023.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from seqchem.tokenizers.alphabets import OldSymbols, decode_selfies, encode_selfies
from seqchem.tokenizers.numbers import NumberFormat
from seqchem.tokenizers.properties import (
    MASK,
    plain_number,
    property_name,
    property_tokens,
    read_property,
    split_property,
    tokens_float,
)
from seqchem.tokenizers.splitting import SPLITTERS, check_language, unmatched
from seqchem.tokenizers.vocabulary import SPECIAL_TOKENS
from seqsuite.errors import UserError, unknown_name

SEPARATOR = "|"
PUBLISHED_LANGUAGES = {
    "SMILES": "smiles",
    "SELFIES": "selfies_v1",
    "AAS": "protein",
    "REACTION_SMILES": "reaction",
}
"""Names of languages in published tokenizer files -> ours."""

_NO_PROPERTIES = ("<PAD>", "<UNK>", "<START>", "<STOP>")


class ExpressionTokenizer:
    """Texts such as `<qed>0.524|[C][C][O]` to ids and back.

    Args:
        vocabulary: The tokens; a token's place is its id.
        language: One of `seqchem.tokenizers.LANGUAGES`.
        number_formats: Property name without angle brackets -> its NumberFormat, or the fields of one.
        pad_even: Whether an odd number of tokens gets a [PAD] before [SEP], as the published code does.

    Raises:
        UserError: An unknown language, a vocabulary without one of the special tokens, or a number format that is
            wrong or needs tokens that the vocabulary lacks.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        language: str,
        *,
        number_formats: Mapping[str, NumberFormat | Mapping[str, Any]] | None = None,
        pad_even: bool = True,
    ) -> None:
        self.vocabulary = tuple(vocabulary)
        self.language = check_language(language)
        self.pad_even = pad_even
        self._split = SPLITTERS[language]
        self._index = {token: place for place, token in enumerate(self.vocabulary)}
        lacking = [token for token in SPECIAL_TOKENS if token not in self._index]
        if lacking:
            raise UserError(f"The vocabulary of {len(self.vocabulary)} tokens lacks {', '.join(lacking)}.")
        self.pad_token_id, self.unk_token_id, self.cls_token_id, self.sep_token_id, self.mask_token_id = (
            self._index[token] for token in SPECIAL_TOKENS[:5]
        )
        self.separator_id = self._index[SEPARATOR]
        self.number_formats = {name: _layout(layout) for name, layout in (number_formats or {}).items()}
        for name in self.number_formats:
            self.slot_ids(name)

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"ExpressionTokenizer({len(self)} tokens, {self.language!r}, properties {list(self.property_names)})"

    # Texts to tokens.

    def tokenize(self, text: str, *, published: bool = False) -> list[str]:
        """Return the tokens of an expression, without [CLS], [SEP] and padding.

        Args:
            text: Properties, each followed by `|`, then the sequence; single tokens may be `[MASK]`.
            published: Whether to read numbers as the published code does: `1e-05` as 1, `.5` as nothing.

        Raises:
            UserError: A property without a number, or one that its number format cannot hold (not if published).
        """
        *properties, sequence = text.split(SEPARATOR)
        tokens: list[str] = []
        for piece in properties:
            tokens += split_property(piece) if published else self._property(piece)
            tokens.append(SEPARATOR)
        return tokens + self._symbols(sequence)

    def _symbols(self, sequence: str) -> list[str]:
        if self.language != "protein" or MASK not in sequence:
            return self._split(sequence)
        first, *others = sequence.split(MASK)
        return [*first, *(token for piece in others for token in (MASK, *piece))]

    def _property(self, piece: str) -> tuple[str, ...]:
        name = read_property(piece)[0]
        return property_tokens(piece, self.number_formats.get(name))

    def encode(self, text: str, *, published: bool = False) -> list[int]:
        """Return the ids of an expression: [CLS] tokens [SEP], with a [PAD] before [SEP] where the number is odd.

        Symbols of the sequence that the vocabulary lacks become [UNK]; see `unknown_counts`.

        Args:
            text: As for `tokenize`.
            published: Whether to do as the published code: misread numbers, unknown properties as [UNK].

        Raises:
            UserError: A property or a digit that the vocabulary lacks, or what `tokenize` raises (not if published).
        """
        tokens = self.tokenize(text, published=published)
        index, unknown = self._index, self.unk_token_id
        ids = [index.get(token, unknown) for token in tokens]
        if not published and SEPARATOR in tokens:
            self._check_properties(tokens)
        padding = [self.pad_token_id] if self.pad_even and len(ids) % 2 else []
        return [self.cls_token_id, *ids, *padding, self.sep_token_id]

    def _check_properties(self, tokens: Sequence[str]) -> None:
        for token in tokens[: _last(tokens, SEPARATOR)]:
            if token in self._index:
                continue
            if token.startswith("<"):
                self.property_id(token)
            raise UserError(f"Number token {token} is not in the vocabulary: the number has too many digits.")

    # Tokens to texts.

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Return the tokens of ids (integers, or the row of a tensor's `tolist`)."""
        return [self.vocabulary[int(place)] for place in ids]

    def text_of(self, ids: Iterable[int]) -> str:
        """Return the sequence: what stands behind the last `|`, up to [SEP] or [PAD]."""
        tokens = self.decode(ids)
        start = _last(tokens, SEPARATOR) + 1
        kept = []
        for token in tokens[start:]:
            if token in ("[SEP]", "[PAD]"):
                break
            if token != "[CLS]":
                kept.append(token)
        return "".join(kept)

    def properties_of(self, ids: Iterable[int]) -> dict[str, float]:
        """Return the properties of a row in user units, in its order.

        A number that is no path through its format's slots (without a format: whose digits are out of order), is
        masked or holds [UNK] is NaN; a property that the vocabulary lacks cannot be named and is left out.
        """
        tokens = self.decode(ids)
        found: dict[str, float] = {}
        name, number = "", list[str]()
        for token in tokens[: _last(tokens, SEPARATOR) + 1]:
            if token == SEPARATOR and name:
                found[name] = self.number_of(name, number)
                name = ""
            elif token.startswith("<") and token.endswith(">") and len(token) > 2:
                name, number = token[1:-1], []
            else:
                number.append(token)
        return found

    def number_of(self, name: str, tokens: Sequence[str]) -> float:
        """Return the value of a property's number tokens in user units, NaN if they are no number."""
        layout = self.number_formats.get(name)
        return tokens_float(tokens) if layout is None else layout.read(tokens)

    # Properties.

    @cached_property
    def property_names(self) -> tuple[str, ...]:
        """Names of the properties in the vocabulary, without angle brackets."""
        tokens = (token for token in self.vocabulary if token.startswith("<") and token.endswith(">"))
        # In reactions <energy> stands between precursors.
        others = {*_NO_PROPERTIES, *(["<energy>"] if self.language == "reaction" else [])}
        return tuple(token[1:-1] for token in tokens if token not in others and len(token) > 2)

    def property_id(self, name: str) -> int:
        """Return the id of a property, named with or without angle brackets.

        Raises:
            UserError: The vocabulary lacks it; near names are suggested.
        """
        bare = property_name(name)
        found = self._index.get(f"<{bare}>")
        if found is None:
            raise unknown_name("property", bare, self.property_names)
        return found

    def number_format(self, name: str) -> NumberFormat:
        """Return the number format of a property.

        Raises:
            UserError: There is none; near names are suggested.
        """
        bare = property_name(name)
        if bare not in self.number_formats:
            raise unknown_name("property with a number format", bare, self.number_formats)
        return self.number_formats[bare]

    def number_tokens(self, name: str, value: float, *, clip: bool = False) -> list[str]:
        """Return the tokens of a property's value (user units); see `NumberFormat.format` for what is refused."""
        try:
            return self.number_format(name).tokens(value, clip=clip)
        except UserError as error:
            raise _named(name, error) from None

    def slot_ids(self, name: str) -> list[list[int]]:
        """Return the ids allowed at each place of a property's number: its grammar.

        Raises:
            UserError: The property has no number format, or the vocabulary lacks a token that it needs.
        """
        slots = self.number_format(name).slots()
        lacking = [token for slot in slots for token in slot if token not in self._index]
        if lacking:
            raise UserError(f"Property <{property_name(name)}>: the vocabulary lacks {', '.join(lacking[:5])}.")
        return [[self._index[token] for token in slot] for slot in slots]

    def expression(self, properties: Mapping[str, float | None], sequence: str, *, clip: bool = False) -> str:
        """Write properties and a sequence as one text.

        Args:
            properties: Name -> value in user units, in the order of the text; None and NaN are left out. Without a
                number format a value is written with all its digits.
            sequence: In the tokenizer's language (see `from_smiles`).
            clip: Whether values outside the trained range are moved to its border.

        Raises:
            UserError: A value that its format cannot hold, or a sequence with `|`.
        """
        if SEPARATOR in sequence:
            raise UserError(f"{sequence!r} holds '|', which separates properties from the sequence.")
        given = {name: value for name, value in properties.items() if value is not None and not math.isnan(value)}
        return "".join(
            f"<{property_name(name)}>{self._number(name, value, clip)}|" for name, value in given.items()
        ) + (sequence)

    def _number(self, name: str, value: float, clip: bool) -> str:
        layout = self.number_formats.get(property_name(name))
        try:
            return plain_number(repr(float(value))) if layout is None else layout.format(value, clip=clip)
        except UserError as error:
            raise _named(name, error) from None

    # Languages.

    @cached_property
    def _symbols_v1(self) -> OldSymbols:
        return OldSymbols(self.vocabulary)

    def from_smiles(self, smiles: str) -> str:
        """Return a molecule in the tokenizer's language.

        Raises:
            UserError: SELFIES cannot write it, or the language has no molecules.
        """
        if self.language in ("smiles", "reaction"):
            return smiles
        if self.language == "protein":
            raise UserError("This model reads proteins (one-letter amino acids), not SMILES.")
        text = encode_selfies(smiles)
        return self._symbols_v1.old(text) if self.language == "selfies_v1" else text

    def to_smiles(self, text: str) -> str | None:
        """Return the SMILES of a sequence in the tokenizer's language, None if it has none.

        SMILES come back as they are: whether they are a molecule is for a parser to say.
        """
        if self.language in ("smiles", "reaction"):
            return text
        if self.language == "protein":
            return None
        try:
            return decode_selfies(OldSymbols.new(text) if self.language == "selfies_v1" else text)
        except UserError:
            return None

    # What is lost.

    def unmatched(self, text: str) -> list[str]:
        """Return the pieces of an expression's sequence that are no symbol of the language, in order."""
        return unmatched(text.rpartition(SEPARATOR)[2], self.language)

    def unknown_counts(self, texts: Iterable[str]) -> Counter[str]:
        """Count what a model with this vocabulary would not see of some texts.

        Args:
            texts: Sequences or expressions in the tokenizer's language.

        Returns:
            Symbols (and names of properties) that the vocabulary lacks, and pieces that no symbol matches, with
            how often each occurs.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            *properties, sequence = text.split(SEPARATOR)
            counts.update(self._symbols(sequence))
            counts.update(unmatched(sequence, self.language))
            counts.update(f"<{read_property(piece)[0]}>" for piece in properties)
        return Counter({token: count for token, count in counts.most_common() if token not in self._index})


def unknown_line(counts: Mapping[str, int], shown: int = 5) -> str:
    """Return what `unknown_counts` found as one line for people, empty if nothing."""
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(f"{token} ({count}x)" for token, count in ordered[:shown])
    more = f" and {len(counts) - shown} more" if len(counts) > shown else ""
    return f"{len(counts)} unknown symbol{'s' * (len(counts) > 1)}, read as [UNK] or dropped: {named}{more}."


def _layout(given: NumberFormat | Mapping[str, Any]) -> NumberFormat:
    return given if isinstance(given, NumberFormat) else NumberFormat.from_dict(given)


def _last(tokens: Sequence[str], token: str) -> int:
    """Return the last place of a token, -1 if it does not occur."""
    return next((place for place in range(len(tokens) - 1, -1, -1) if tokens[place] == token), -1)


def _named(name: str, error: UserError) -> UserError:
    return UserError(f"Property <{property_name(name)}>: {error}")
