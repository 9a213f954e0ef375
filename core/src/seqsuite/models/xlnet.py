"""XLNet (Yang et al. 2019): a language model that predicts tokens in any order, from either side.

    model = seqsuite.create_model("xlnet_lm_debug")
    out = model(input_ids, perm_mask=perm_mask, target_positions=positions)
    out.logits                                              # (B, P, V) of the tokens at (B, P) positions

https://arxiv.org/abs/1906.08237. State dicts are those of the published PyTorch models, name for name:
`model.load_state_dict(XLNetLMHeadModel(...).state_dict())` and the reverse. Without targets there is one stream, and
logits are of every token (which it sees).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqsuite.backbones.two_stream import TwoStreamLayer, TwoStreamRows, distance_encodings
from seqsuite.models.base import Model
from seqsuite.models.configs import XLNetConfig
from seqsuite.models.mixer_lm import _embedded
from seqsuite.ops import Seq

_HIDDEN = {torch.float16: -3e4}
"""What hides a token from a row, added to its score: -1e30, or what is as good and has room below it."""


class XLNetOutput(NamedTuple):
    """What XLNet returns.

    Attributes:
        logits: (B, P, V) of the targets, or (B, T, V) without targets.
        content: (B, T, D) last content stream; None where it was not asked for.
        query: (B, P, D) last query stream; None without targets.
        mems: Of each layer (B, M, D), what entered it: memories for the segment that follows. None where the config
            keeps none.
    """

    logits: Tensor
    content: Tensor | None
    query: Tensor | None
    mems: tuple[Tensor, ...] | None


class XLNetLM(Model):
    """The published architecture with its language modelling head, tied to the embedding; see `XLNetConfig`."""

    config: XLNetConfig

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__(config)
        self.transformer = XLNetTransformer(config)
        self.lm_loss = nn.Linear(config.d_model, config.n_token)
        self.lm_loss.weight = self.transformer.word_embedding.weight
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw weights and the attention's biases from N(0, initializer_range); other biases 0, norms 1."""
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        for name, parameter in self.named_parameters():
            if name.endswith("bias") and parameter.ndim == 1:
                parameter.zero_()
            elif parameter.ndim > 1:
                parameter.normal_(std=self.config.initializer_range)

    def no_weight_decay(self) -> set[str]:
        """Return the names of biases, norms, segment and mask embeddings."""
        kept = ("bias", "layer_norm.weight", "seg_embed", "mask_emb")
        return {name for name, _ in self.named_parameters() if name.endswith(kept)}

    def forward_features(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Return the content stream (B, T, D), which knows every token; arguments as those of `forward`."""
        rows, streams, _ = self.transformer.start(input_ids, inputs_embeds, attention_mask)
        return self.transformer.run(rows, streams, None)

    def forward_head(self, features: Tensor, *, seq: Seq | None = None) -> Tensor:
        """Return the logits (..., V) of either stream's features."""
        return self.lm_loss(self.transformer.drop(features))

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        target_positions: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        mems: Sequence[Tensor] | None = None,
        with_content: bool = True,
    ) -> XLNetOutput:
        """Run both streams.

        Args:
            input_ids: (B, T) token ids.
            inputs_embeds: (B, T, D) in place of the ids.
            attention_mask: (B, T), 0 at padding, which nobody sees but itself.
            perm_mask: (B, T, T), 1 where token i may not see token j. In the content stream each sees itself.
            target_mapping: (B, P, T) rows that say which token each target is; usually one-hot.
            target_positions: (B, P) the same as positions, and cheaper; a position may be there twice.
            token_type_ids: (B, T) segments; memories belong to segment 0.
            mems: Of each layer (B, M, D), as an earlier segment returned them; everybody sees them.
            with_content: Continue the content stream to the end; without it the last layer has less to do. What keeps
                no gradient and has no targets needs it.

        Raises:
            ValueError: Arguments that exclude each other, or shapes that do not fit.
        """
        if target_mapping is not None and target_positions is not None:
            raise ValueError("give target_mapping or target_positions, not both")
        rows, streams, two = self.transformer.start(
            input_ids, inputs_embeds, attention_mask, perm_mask, target_mapping, target_positions, token_type_ids, mems
        )
        kept: list[Tensor] | None = None if self.config.mem_len is None else []
        rows = self.transformer.run(rows, streams, mems, kept, queries_only=two and not with_content)
        content, query = rows, None
        if two:
            length = streams.length if with_content else 0
            content, query = rows[:, :length], rows[:, length:]
        logits = self.forward_head(content if query is None else query)
        return XLNetOutput(logits, content if with_content else None, query, None if kept is None else tuple(kept))


class XLNetTransformer(nn.Module):
    """Embeddings and layers of `XLNetLM`, in a module of their own because their published names say so."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_emb = nn.Parameter(torch.empty(1, 1, config.d_model))
        self.word_embedding = nn.Embedding(config.n_token, config.d_model)
        self.layer = nn.ModuleList(
            TwoStreamLayer(
                config.d_model,
                config.n_head,
                config.d_inner,
                activation=config.activation,
                dropout=config.dropout,
                layer_norm_eps=config.layer_norm_eps,
            )
            for _ in range(config.n_layer)
        )

    def drop(self, x: Tensor) -> Tensor:
        """Drop out in training."""
        return F.dropout(x, self.config.dropout, self.training)

    def start(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        attention_mask: Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        target_positions: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        mems: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, TwoStreamRows, bool]:
        """Return the embedded rows (B, T + P, D), what the layers must know, and whether there is a query stream."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        x = inputs_embeds if input_ids is None else _embedded(self.word_embedding, input_ids)
        assert x is not None
        if x.ndim != 3 or x.shape[2] != self.config.d_model:
            raise ValueError(f"inputs_embeds must be (B, T, {self.config.d_model}), got {tuple(x.shape)}")
        memory = 0 if mems is None else mems[0].shape[1]
        self._check(x, mems, attention_mask, perm_mask, target_mapping, target_positions, token_type_ids)
        places, mapping = target_positions, target_mapping
        if target_mapping is not None:
            places, mapping = _positions(target_mapping)
        queries = mapping if places is None else places
        rows = self.drop(x)
        if queries is not None:
            asking = self.mask_emb.to(x.dtype).expand(len(x), queries.shape[1], -1)
            rows = torch.cat((rows, self.drop(asking)), 1)
        in_order = places is not None and _in_order(places, x.shape[1])
        kinds = _Rows(x.shape[1], memory, queries is not None, None if in_order else places)
        streams = TwoStreamRows(
            x.shape[1],
            self._distances(x, memory),
            self._bias(x, memory, attention_mask, perm_mask, kinds),
            kinds.places,
            mapping,
            None if token_type_ids is None else kinds.of(_segments(token_type_ids, memory)),
        )
        return rows, streams, queries is not None

    def run(
        self,
        rows: Tensor,
        streams: TwoStreamRows,
        mems: Sequence[Tensor] | None,
        kept: list[Tensor] | None = None,
        *,
        queries_only: bool = False,
    ) -> Tensor:
        """Run the layers; memories for the next segment are appended to `kept`."""
        for index, layer in enumerate(self.layer):
            memory = None if mems is None else mems[index]
            if kept is not None:
                kept.append(self._memory(rows[:, : streams.length], memory))
            last = index == len(self.layer) - 1
            rows = layer(rows, streams, memory, queries_only=queries_only and last)
        return rows

    def _memory(self, content: Tensor, before: Tensor | None) -> Tensor:
        """Return the last `mem_len` of the memories before and the first `reuse_len` tokens, without gradient."""
        config = self.config
        new = content[:, : config.reuse_len or None].detach()
        new = new if before is None else torch.cat((before.to(new.dtype), new), 1)
        return new[:, -config.mem_len :] if config.mem_len else new

    def _distances(self, x: Tensor, memory: int) -> Tensor:
        config = self.config
        if config.bi_data and len(x) % 2:
            raise ValueError(f"bi_data halves the batch: it must be even, not {len(x)}")
        encodings = distance_encodings(
            x.shape[1], memory, config.d_model, clamp=config.clamp_len, both_ways=config.bi_data, like=x
        )
        return self.drop(encodings)

    def _bias(
        self, x: Tensor, memory: int, attention_mask: Tensor | None, perm_mask: Tensor | None, kinds: _Rows
    ) -> Tensor | None:
        """Return what is added to the scores (B or 1, N, M + T), or None where all see all."""
        length, hidden = x.shape[1], None
        if perm_mask is not None:
            hidden = perm_mask > 0
        if attention_mask is not None:
            padding = (attention_mask == 0)[:, None, :]
            hidden = padding.expand(-1, length, -1) if hidden is None else hidden | padding
        if hidden is not None:
            hidden = F.pad(hidden, (memory, 0))
        if self.config.attn_type == "uni":
            hidden = _behind(length, memory, self.config.same_length, x.device) | (False if hidden is None else hidden)
        if hidden is None:
            return None
        itself = torch.ones(length, length + memory, dtype=torch.bool, device=x.device).triu(memory).tril(memory)
        value = _HIDDEN.get(x.dtype, -1e30)
        rows = kinds.of(hidden, hidden & ~itself)
        return x.new_zeros(rows.shape).masked_fill_(rows, value)

    def _check(
        self,
        x: Tensor,
        mems: Sequence[Tensor] | None,
        attention_mask: Tensor | None,
        perm_mask: Tensor | None,
        target_mapping: Tensor | None,
        target_positions: Tensor | None,
        token_type_ids: Tensor | None,
    ) -> None:
        """Raise ValueError where a shape does not fit the tokens (B, T)."""
        batch, length, width = x.shape
        if not length:
            raise ValueError("there is no token: T is 0")
        if mems is not None and len(mems) != len(self.layer):
            raise ValueError(f"mems must be one of each of the {len(self.layer)} layers, got {len(mems)}")
        given: dict[str, tuple[Tensor | None, tuple[int | None, ...]]] = {
            "attention_mask": (attention_mask, (batch, length)),
            "perm_mask": (perm_mask, (batch, length, length)),
            "target_mapping": (target_mapping, (batch, None, length)),
            "target_positions": (target_positions, (batch, None)),
            "token_type_ids": (token_type_ids, (batch, length)),
        }
        for index, memory in enumerate(mems or ()):
            given[f"mems[{index}]"] = (memory, (batch, mems[0].shape[1], width))  # type: ignore[index]
        for name, (tensor, shape) in given.items():
            if tensor is None:
                continue
            fits = tensor.ndim == len(shape) and all(s in (None, t) for s, t in zip(shape, tensor.shape, strict=True))
            if not fits:
                wanted = ", ".join("P" if size is None else str(size) for size in shape)
                raise ValueError(f"{name} must be ({wanted}), got {tuple(tensor.shape)}")
        places = target_positions
        if places is not None and places.device.type == "cpu" and places.numel():  # elsewhere the device asserts it
            least, most = int(places.min()), int(places.max())
            if least < 0 or most >= length:
                raise ValueError(f"target_positions must be from 0 to {length - 1}, got {least} to {most}")


class _Rows(NamedTuple):
    """Which rows a pass has: T of the content stream, then those of the query stream."""

    length: int
    memory: int
    two: bool
    places: Tensor | None

    def of(self, each: Tensor, content: Tensor | None = None) -> Tensor:
        """Return (B, N, S) of all rows from (B, T, S) of each position, `content` for the content stream if given."""
        first = each if content is None else content
        if not self.two:
            return first
        query = each
        if self.places is not None:
            each = each.expand(len(self.places), -1, -1)
            query = each.gather(1, self.places[..., None].expand(-1, -1, each.shape[2]))
            first = first.expand(len(self.places), -1, -1)
        return torch.cat((first, query), 1)


def _positions(mapping: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return the positions (B, P) that a mapping of one-hot rows means, or, where it is something else, the mapping.

    Two targets at one position are something else too: through a mapping their queries are added up.
    """
    places = mapping.argmax(2)
    one_hot = F.one_hot(places, mapping.shape[2])
    plain = bool((mapping == one_hot).all() & (one_hot.sum(1) <= 1).all())
    return (places, None) if plain else (None, mapping)


def _in_order(places: Tensor, length: int) -> bool:
    """Tell whether the targets of every row are all positions, one after the other."""
    return places.shape[1] == length and bool((places == torch.arange(length, device=places.device)).all())


def _segments(token_type_ids: Tensor, memory: int) -> Tensor:
    """Return (B, T, M + T), True where two tokens are of different segments."""
    return token_type_ids[:, :, None] != F.pad(token_type_ids, (memory, 0))[:, None, :]


def _behind(length: int, memory: int, same_length: bool, device: torch.device) -> Tensor:
    """Return (1, T, M + T), True where a token stands behind another, or (`same_length`) too far before it."""
    ones = torch.ones(length, memory + length, dtype=torch.bool, device=device)
    hidden = ones.triu(memory + 1)
    if same_length:
        hidden[:, :length] |= ones[:, :length].tril(-1)
    return hidden[None]
