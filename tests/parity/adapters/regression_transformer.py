"""The Regression Transformer against the published code: network, losses, self-consistency, decoding, texts."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from seqchem.collating import RTBatch, SpecialTokens
from seqchem.configs.models import RTConfig
from seqchem.decoding import beam, greedy
from seqchem.encodings import float_encoding
from seqchem.models.regression_transformer import RegressionTransformer
from seqchem.objectives import (
    conditional_loss,
    filled,
    property_loss,
    self_consistency_batch,
    self_consistency_loss,
)
from seqsuite.testing.parity import Case, adapter

LANGUAGES = {"SMILES": "smiles", "SELFIES": "selfies_v1"}


@adapter("regression_transformer")
def regression_transformer(case: Case) -> dict[str, Any]:
    name = case.folder.name
    if name.startswith("model_"):
        return network(case)
    texts = neighbour("_rt_text")
    return texts.encodings_case(case) if name.startswith("numerical_") else texts.tokenizer_case(case)


def neighbour(name: str) -> ModuleType:
    """Return a module beside this one; the folder is no package."""
    spec = importlib.util.spec_from_file_location(f"parity_adapter{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config_of(given: dict[str, Any], vocabulary: list[str]) -> RTConfig:
    names = ("d_model", "n_layer", "n_head", "d_inner", "dropout", "layer_norm_eps", "vmax")
    assert given["ff_activation_reference"].startswith("gelu_new")
    return RTConfig(
        **{name: given[name] for name in names},
        activation="gelu_tanh",
        language=LANGUAGES[given["language"]],
        vocabulary=tuple(vocabulary),
        encoding=given["numerical_encodings_type"],
        encoding_format=given["numerical_encodings_format"],
        encoding_dim=given["numerical_encodings_dim"],
    )


def batch_of(case: Case, kind: str) -> RTBatch:
    names = ["input_ids", "attention_mask", "perm_mask", "labels"]
    fields = {name: case.take(f"{kind}.{name}") for name in names}
    rows = len(fields["input_ids"])
    weights = case.take("cg.sample_weights") if kind == "cg" else torch.ones(rows)
    return RTBatch(**fields, sample_weights=weights)


def network(case: Case) -> dict[str, Any]:
    given, vocabulary = case.hyperparameters, case.json("vocab.json")
    config = config_of(given, vocabulary)
    model = RegressionTransformer(config).eval()
    leaves = {name: tensor.requires_grad_() for name, tensor in case.weights.items()}
    # The output matrix is the embedding: gradients of both meet in one tensor.
    assert torch.equal(leaves["lm_loss.weight"], leaves["transformer.word_embedding.weight"])
    leaves["lm_loss.weight"] = leaves["transformer.word_embedding.weight"]

    def logits_of(batch: RTBatch, positions: Tensor | None = None) -> Tensor:
        options = {"attention_mask": batch.attention_mask, "perm_mask": batch.perm_mask, "positions": positions}
        weights = {f"backbone.{name}": tensor for name, tensor in leaves.items()}
        logits: Tensor = functional_call(model, weights, (batch.input_ids,), options)
        return logits

    found = predicted(case, model, leaves, logits_of)
    dim = config.d_model if config.encoding_format == "sum" else config.encoding_dim
    found["numerical_encoding_matrix"] = float_encoding(vocabulary, dim, config.vmax)
    return found | generated(case, leaves, logits_of)


def predicted(case: Case, model: RegressionTransformer, leaves: dict[str, Tensor], logits_of: Any) -> dict[str, Any]:
    """Property prediction and its decoding."""
    batch = batch_of(case, "pp")
    logits = logits_of(batch)
    loss = property_loss(logits, batch.labels)
    asked = property_loss(logits_of(batch, batch.positions()), batch.position_labels())
    torch.testing.assert_close(asked, loss)
    names = [name for name in leaves if f"grad.{name}" in case.expected]
    gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
    found = {f"grad.{name}": gradient for name, gradient in zip(names, gradients, strict=True)}
    model.backbone.load_state_dict({name: tensor.detach() for name, tensor in leaves.items()})
    columns = batch.asked.any(0).nonzero()[:, 0]
    tokens, scores = beam(logits[:, columns])
    vocabulary = case.json("vocab.json")
    texts = [[vocabulary[token] for token in row] for row in filled(batch, logits).tolist()]
    decoded = [{"tokens": row, "aggregate": list(neighbour("_rt_text").aggregate(row))} for row in texts]
    return found | {
        "decoded.json": decoded,
        "pp.inputs_embeds": model.embed(batch.input_ids),
        "pp.logits": logits,
        "pp.loss": loss,
        "pp.greedy": greedy(logits),
        "pp.beam_positions": columns,
        "pp.beam_tokens": tokens,
        "pp.beam_scores": scores,
    }


def generated(case: Case, leaves: dict[str, Tensor], logits_of: Any) -> dict[str, Any]:
    """Conditional generation and self-consistency."""
    given, vocabulary = case.hyperparameters, case.json("vocab.json")
    tokens = SpecialTokens(*map(vocabulary.index, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|")))
    properties = [vocabulary.index(name) for name in given["property_tokens"]]
    batch = batch_of(case, "cg")
    logits, length = logits_of(batch), batch.input_ids.shape[1]
    plain = conditional_loss(logits, batch.labels, sample_weights=batch.sample_weights)
    drawn = {"generator": torch.Generator().manual_seed(given["sc_seed"])}
    again = self_consistency_batch(batch, logits, tokens, properties, published=True, **drawn)
    torch.testing.assert_close(again.perm_mask, case.take("sc.perm_mask"), rtol=0, atol=0)
    consistency = self_consistency_loss(logits_of(again), again.labels)
    asked = logits_of(again, again.positions())
    torch.testing.assert_close(self_consistency_loss(asked, again.position_labels(), length=length), consistency)
    loss = plain + given["cc_loss_weight"] * consistency
    names = [name.removeprefix("grad_cg.") for name in case.expected if name.startswith("grad_cg.")]
    gradients = torch.autograd.grad(loss, [leaves[name] for name in names])
    found = {f"grad_cg.{name}": gradient for name, gradient in zip(names, gradients, strict=True)}
    return found | {
        "cg.logits": logits,
        "cg.loss_without_sc": plain,
        "cg.loss_with_sc": loss,
        "sc.generated_ids": filled(batch, logits),
        "sc.input_ids": again.input_ids,
        "sc.labels": again.labels,
        "sc.target_mapping": torch.eye(length).expand(len(batch.input_ids), -1, -1),
        "sc.loss": consistency,
    }
