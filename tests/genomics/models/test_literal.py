"""Caduceus against its formulas written down literally: two halves, flips, one step at a time.

The weights go through `to_published`, so the names are held as well. Covers what no recorded case does.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import seqsuite
from seqdna.convert import to_published

VARIANTS = {
    "ps": {"rcps": True},
    "ps_swapped": {"rcps": True, "swap_halves": True, "n_layer": 3},
    "ps_multiply": {"rcps": True, "swap_halves": True, "bidirectional_strategy": "ew_multiply"},
    "ps_untied": {"rcps": True, "bidirectional_weight_tie": False},
    "ps_one_way": {"rcps": True, "swap_halves": True, "bidirectional": False},
    "ps_layer_norm": {"rcps": True, "swap_halves": True, "norm": "layer", "norm_epsilon": 1e-3},
    "ps_biases": {"rcps": True, "mixer_options": {"d_state": 4, "bias": True, "conv_bias": False, "d_conv": 3}},
    "ps_biases_multiply": {"mixer_options": {"d_state": 4, "bias": True}, "bidirectional_strategy": "ew_multiply"},
    "ph": {"mixer_options": {"d_state": 5, "dt_rank": 3, "expand": 3}},
    "ph_untied_layer_norm": {"bidirectional_weight_tie": False, "norm": "layer", "residual_in_fp32": True},
    "ph_one_way": {"bidirectional": False},
}
HEADS = ("masked_lm", "mean", "max", "first", "last")


def rc(t):
    return t.flip(-2, -1)


class Literal:
    """The published architecture as its text says it."""

    def __init__(self, weights, config):
        self.w, self.c = weights, config
        self.wrap = ".submodule" if config.rcps else ""
        self.norm_wrap = ".submodule" if config.rcps and not config.swap_halves else ""

    def mamba(self, name, h):
        w = {key: self.w.get(f"{name}.{key}") for key in ("conv1d.bias", "in_proj.bias", "out_proj.bias")}
        g = lambda key: self.w[f"{name}.{key}"]  # noqa: E731
        x, z = F.linear(h, g("in_proj.weight"), w["in_proj.bias"]).chunk(2, -1)
        taps, length = g("conv1d.weight").shape[-1], h.shape[1]
        x = F.conv1d(x.mT, g("conv1d.weight"), w["conv1d.bias"], padding=taps - 1, groups=x.shape[-1])[..., :length]
        x = F.silu(x.mT)
        rank, state = g("dt_proj.weight").shape[1], g("A_log").shape[1]
        raw, b, c = (x @ g("x_proj.weight").T).split((rank, state, state), -1)
        dt = F.softplus(raw @ g("dt_proj.weight").T + g("dt_proj.bias"))
        memory, out = x.new_zeros(*x.shape[::2], state), []
        for t in range(length):
            decay = torch.exp(-dt[:, t, :, None] * g("A_log").exp())
            memory = decay * memory + dt[:, t, :, None] * b[:, t, None] * x[:, t, :, None]
            out.append((memory * c[:, t, None]).sum(-1) + g("D") * x[:, t])
        return F.linear(torch.stack(out, 1) * F.silu(z), g("out_proj.weight"), w["out_proj.bias"])

    def mixer(self, layer, h):
        name = f"caduceus.backbone.layers.{layer}.mixer{self.wrap}"
        out = self.mamba(f"{name}.mamba_fwd", h)
        if not self.c.bidirectional:
            return out
        back = self.mamba(f"{name}.mamba_rev", h.flip(1)).flip(1)
        return out * back if self.c.bidirectional_strategy == "ew_multiply" else out + back

    def norm(self, name, x):
        weight, eps = self.w[f"{name}{self.norm_wrap}.weight"], self.c.norm_epsilon
        if self.c.norm == "layer":
            return F.layer_norm(x, x.shape[-1:], weight, self.w[f"{name}{self.norm_wrap}.bias"], eps)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight

    def lifted(self, function, x):
        if not self.c.rcps:
            return function(x)
        first, second = x.chunk(2, -1)
        return torch.cat((function(first), rc(function(rc(second)))), -1)

    def features(self, ids):
        words = self.words
        x = words[ids]
        if self.c.rcps:
            x = torch.cat((x, words[self.complement[ids]].flip(-1)), -1)
        r = torch.zeros_like(x)
        for layer in range(self.c.n_layer):
            r = r + x
            if self.c.swap_halves:
                r = torch.cat(r.chunk(2, -1)[::-1], -1)
            u = self.lifted(lambda t, at=layer: self.norm(f"caduceus.backbone.layers.{at}.norm", t), r)
            x = self.lifted(lambda t, at=layer: self.mixer(at, t), u)
        return self.lifted(lambda t: self.norm("caduceus.backbone.norm_f", t), r + x)

    @property
    def words(self):
        inner = ".embedding" if self.c.rcps else ""
        return self.w[f"caduceus.backbone.embeddings.word_embeddings{inner}.weight"]

    @property
    def complement(self):
        return torch.tensor(self.c.full_complement_map)

    def masked_lm(self, ids):
        x, words = self.features(ids), self.words
        if not self.c.rcps:
            return x @ words.T
        first, second = x.chunk(2, -1)
        return first @ words.T + second.flip(-1) @ words[self.complement].T

    def classify(self, ids, pooling):
        pool = {
            "mean": lambda h: h.mean(1),
            "max": lambda h: h.amax(1),
            "first": lambda h: h[:, 0],
            "last": lambda h: h[:, -1],
        }[pooling]
        score = lambda h: pool(h) @ self.w["score.weight"].T  # noqa: E731
        if self.c.rcps:
            first, second = self.features(ids).chunk(2, -1)
            return (score(first) + score(rc(second))) / 2
        if self.c.conjoin_eval:
            return (score(self.features(ids)) + score(self.features(self.complement[ids].flip(-1)))) / 2
        return score(self.features(ids))


def build(variant, head):
    torch.manual_seed(0)
    options = {"d_model": 8, "n_layer": 2, "padding": "as_published"} | VARIANTS[variant]
    if head != "masked_lm":
        options |= {"head": "sequence_classification", "num_classes": 3, "pooling": head}
        options |= {"conjoin_eval": variant == "ph"}
    model = seqsuite.create_model("caduceus_ph_debug", **options).double().eval()
    for parameter in model.parameters():  # no parameter keeps a special initial value
        parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("variant", VARIANTS)
def test_model_is_its_formulas(variant, head):
    model = build(variant, head)
    literal = Literal(to_published(model.state_dict(), model.config), model.config)
    ids = torch.randint(4, 12, (2, 11), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model.forward_features(ids), literal.features(ids), rtol=1e-9, atol=1e-11)
        expected = literal.masked_lm(ids) if head == "masked_lm" else literal.classify(ids, head)
        torch.testing.assert_close(model(ids), expected, rtol=1e-9, atol=1e-11)
