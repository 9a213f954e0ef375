"""Mutagenesis and gradients against what they are defined to be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import seqsuite
from seqdna.api import GenomeModel
from seqdna.likelihood import everywhere
from seqdna.saliency import gradient_times_input, mutagenesis
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()
TEXT = "ACGGTTGACCATAAGCNTGCA"
LANGUAGE = ["caduceus_ps_debug", "caduceus_ph_debug", "leave_one_out_debug", "mamba_dna_debug", "hyenadna_debug"]
CLASSIFIERS = ["caduceus_ps_debug", "caduceus_ph_debug", "leave_one_out_debug"]


def reverse_complement(text: str) -> str:
    return text.translate(str.maketrans("ACGTN", "TGCAN"))[::-1]


def make(name: str, **options) -> GenomeModel:
    torch.manual_seed(0)
    model = seqsuite.create_model(name, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return GenomeModel(model, TOKENIZER)


def classifier(name: str, **options) -> GenomeModel:
    return make(name, head="sequence_classification", num_classes=3, **options)


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_language_model_s_mutagenesis_is_a_difference_of_everywhere(name) -> None:
    model = make(name)
    ids = TOKENIZER.encode(TEXT)
    logp = everywhere(model.model, TOKENIZER, ids)
    result = model.saliency(TEXT)
    for place, base in enumerate(TEXT):
        expected = logp[place] - logp[place]["ACGT".index(base)] if base != "N" else np.full(4, np.nan)
        np.testing.assert_allclose(result.scores[place], expected, atol=1e-10)
    np.testing.assert_allclose(result.probabilities, np.exp(logp), atol=1e-12)


def test_masks_in_strides() -> None:
    model = make("caduceus_ph_debug")
    logp = everywhere(model.model, TOKENIZER, TOKENIZER.encode(TEXT), mask_stride=3)
    np.testing.assert_allclose(model.saliency(TEXT, mask_stride=3).probabilities, np.exp(logp), atol=1e-12)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_s_mutagenesis_is_what_mutating_does(name) -> None:
    model = classifier(name)

    def logits(text: str) -> np.ndarray:
        with torch.no_grad():
            return model.model(torch.from_numpy(TOKENIZER.encode(text).astype(np.int64))[None])[0].numpy()

    reference = logits(TEXT)
    scores = model.saliency(TEXT, target=2).scores
    for place, code in [(0, 0), (0, 2), (3, 1), (7, 3), (20, 1)]:
        mutated = TEXT[:place] + "ACGT"[code] + TEXT[place + 1 :]
        assert scores[place, code] == pytest.approx(logits(mutated)[2] - reference[2], abs=1e-10)
    assert np.isnan(scores[16]).all()
    assert all(scores[i, "ACGT".index(base)] == 0 for i, base in enumerate(TEXT) if base != "N")
    predicted = model.saliency(TEXT)
    assert predicted.about == f"change of the logit of class {reference.argmax()}"
    np.testing.assert_array_equal(predicted.scores, model.saliency(TEXT, target=int(reference.argmax())).scores)


@pytest.mark.parametrize("method", ["ism", "gradient"])
@pytest.mark.parametrize(
    "model",
    [
        *(lambda name=name: make(name) for name in ("caduceus_ps_debug", "leave_one_out_debug")),
        *(lambda name=name: classifier(name) for name in ("caduceus_ps_debug", "leave_one_out_debug")),
        lambda: classifier("caduceus_ph_debug", conjoin_eval=True),
    ],
)
def test_equivariant_models_explain_both_strands_alike(model, method) -> None:
    model = model()
    here, there = model.saliency(TEXT, method=method), model.saliency(reverse_complement(TEXT), method=method)
    np.testing.assert_allclose(here.scores, there.scores[::-1, ::-1], atol=1e-10)
    assert np.nanmax(np.abs(here.scores)) > 1e-4


@pytest.mark.parametrize("method", ["ism", "gradient"])
@pytest.mark.parametrize("model", [lambda: make("caduceus_ph_debug"), lambda: classifier("caduceus_ph_debug")])
def test_averaging_explains_both_strands_alike(model, method) -> None:
    model = model()
    options = {"method": method, "strands": "both"} | ({} if model.model.score is None else {"target": 1})
    here, there = model.saliency(TEXT, **options), model.saliency(reverse_complement(TEXT), **options)
    np.testing.assert_allclose(here.scores, there.scores[::-1, ::-1], atol=1e-10)
    alone = model.saliency(TEXT, **options | {"strands": "model"}).scores
    assert np.nanmax(np.abs(here.scores - alone)) > 1e-4
    if here.probabilities is not None:
        np.testing.assert_allclose(here.probabilities.sum(1), 1)


class Linear(nn.Module):
    """Logits that are linear in the embedded sequence, each position with weights of its own."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(16, 6)
        self.weight = nn.Parameter(torch.randn(2, length, 6))
        self.config = SimpleNamespace(head="sequence_classification", num_classes=2, both_strands=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bld,cld->bc", self.embedding(ids), self.weight)


def test_of_a_linear_model_gradient_and_mutagenesis_are_one() -> None:
    torch.manual_seed(0)
    ids = TOKENIZER.encode(TEXT)
    model = Linear(len(ids)).double()
    gradient = gradient_times_input(model, TOKENIZER, ids, target=1)
    changes = mutagenesis(model, TOKENIZER, ids, target=1)
    np.testing.assert_allclose(gradient, changes - changes.mean(1, keepdims=True), atol=1e-12)
    assert np.nanmax(np.abs(gradient)) > 0.1
    np.testing.assert_allclose(np.nansum(gradient, axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("name", [*CLASSIFIERS, "conjoined"])
def test_gradients_equal_finite_differences(name) -> None:
    """Towards another base's embedding, a small step at one position in both strands' rows."""
    if name == "conjoined":
        model = classifier("caduceus_ph_debug", conjoin_eval=True)
    else:
        model = classifier(name)
    net, ids = model.model, TOKENIZER.encode(TEXT)
    scores = gradient_times_input(net, TOKENIZER, ids, target=0)
    table = net.embedding.weight.detach()[torch.from_numpy(TOKENIZER.base_ids.astype(int))]

    def logit(place: int, code: int, step: float) -> float:
        def nudge(module, arguments, rows):
            rows = rows.clone()
            rows[0, place] += step * table[code]
            if len(rows) == 2:
                rows[1, -1 - place] += step * table[3 - code]
            return rows

        handle = net.embedding.register_forward_hook(nudge)
        with torch.no_grad():
            value = net(torch.from_numpy(ids.astype(np.int64))[None])[0, 0].item()
        handle.remove()
        return value

    for place in (0, 5, 12, 20):
        slopes = np.array([(logit(place, code, 1e-5) - logit(place, code, -1e-5)) / 2e-5 for code in range(4)])
        np.testing.assert_allclose(scores[place], slopes - slopes.mean(), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_prediction_is_explained_by_the_bases_that_the_model_sees(name) -> None:
    model = make(name)
    scores = model.saliency(TEXT, method="gradient", position=8).scores
    assert (scores[8] == 0).all()
    seen = np.abs(np.nan_to_num(scores)).max(1) > 1e-12  # Hyena's Fourier transforms round
    causal = model.model.config.head == "causal_lm"
    assert seen[:8].all()
    assert seen[9:16].any() != causal


def test_the_gradient_of_a_prediction_equals_finite_differences() -> None:
    model = make("leave_one_out_debug")
    net, ids, place, at = model.model, TOKENIZER.encode(TEXT), 8, 5
    bases = torch.from_numpy(TOKENIZER.base_ids.astype(int))
    table = net.embedding.weight.detach()[bases]

    def log_p(code: int, step: float) -> float:
        def nudge(module, arguments, rows):
            rows = rows.clone()
            rows[0, at] += step * table[code]
            rows[1, -1 - at] += step * table[3 - code]
            return rows

        handle = net.embedding.register_forward_hook(nudge)
        with torch.no_grad():
            logits = net(torch.from_numpy(ids.astype(np.int64))[None])[0, place]
        handle.remove()
        return logits[bases].log_softmax(-1)["ACGT".index(TEXT[place])].item()

    slopes = np.array([(log_p(code, 1e-5) - log_p(code, -1e-5)) / 2e-5 for code in range(4)])
    scores = model.saliency(TEXT, method="gradient", position=place).scores
    np.testing.assert_allclose(scores[at], slopes - slopes.mean(), rtol=1e-5, atol=1e-9)


def test_a_span_is_a_part_of_the_whole() -> None:
    ids = TOKENIZER.encode(TEXT)
    for model in (make("caduceus_ph_debug"), make("mamba_dna_debug"), classifier("caduceus_ps_debug")):
        whole = mutagenesis(model.model, TOKENIZER, ids, target=0)
        for strands in ("model", "both"):
            part = mutagenesis(model.model, TOKENIZER, ids, target=0, span=(4, 11), strands=strands)
            all_of = mutagenesis(model.model, TOKENIZER, ids, target=0, strands=strands)
            np.testing.assert_allclose(part, all_of[4:11], atol=1e-10)
        np.testing.assert_allclose(
            mutagenesis(model.model, TOKENIZER, ids, target=0, batch_tokens=1), whole, atol=1e-10
        )


def test_weights_get_no_gradient_and_the_mode_is_put_back() -> None:
    model = classifier("caduceus_ps_debug")
    model.model.train()
    model.saliency(TEXT, method="gradient")
    assert model.model.training
    assert all(parameter.grad is None for parameter in model.model.parameters())
    assert not model.model.embedding._forward_hooks


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (lambda: classifier("caduceus_ps_debug"), {"target": 3}, "--target 3: this model has the classes 0 to 2"),
        (lambda: make("caduceus_ps_debug", head="none"), {}, "head 'none': there is nothing to explain"),
        (lambda: make("caduceus_ps_debug"), {"method": "gradiant"}, "Did you mean 'gradient'"),
        (lambda: make("caduceus_ps_debug"), {"strands": "bothe"}, "Did you mean 'both'"),
        (lambda: make("caduceus_ps_debug"), {"mask_stride": 0}, "--mask-stride is 0"),
        (lambda: make("caduceus_ps_debug"), {"target": 1}, "--target is the class of a classifier"),
        (lambda: make("caduceus_ps_debug"), {"position": 1}, "--position is for the gradient"),
        (lambda: classifier("caduceus_ps_debug"), {"method": "gradient", "position": 1}, "--position is for the grad"),
        (lambda: make("leave_one_out_debug"), {"mask_stride": 4}, "--mask-stride is for mutagenesis"),
        (lambda: make("caduceus_ps_debug"), {"method": "gradient", "position": 21}, "predicts no base there"),
        (lambda: make("caduceus_ps_debug"), {"method": "gradient", "position": 16}, "predicts no base there"),
        (lambda: make("mamba_dna_debug"), {"method": "gradient", "position": 0}, "not the first of a strand"),
    ],
)
def test_refusals(model, options, message) -> None:
    with pytest.raises(UserError, match=message):
        model().saliency(TEXT, **options)
