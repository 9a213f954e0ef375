"""The published collators of the Regression Transformer: masks, orders, labels and weights of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from seqchem.collating import RTBatch, SpecialTokens, mask_conditional, mask_entities, mask_properties, read_numbers
from seqsuite.testing.parity import Case, adapter


def special_tokens(vocabulary: list[str]) -> SpecialTokens:
    """Return the special ids of a vocabulary."""
    return SpecialTokens(*map(vocabulary.index, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|")))


def identity(batch: RTBatch) -> Tensor:
    """Return what the published batches say with `target_mapping`: every position is asked for."""
    rows, length = batch.input_ids.shape
    return torch.eye(length).expand(rows, -1, -1)


@adapter("rt_collator")
def rt_collator(case: Case) -> dict[str, Tensor]:
    given, vocabulary = case.hyperparameters, case.json("vocab.json")
    ids, randperm, tokens = case.take("batch_ids"), case.take("randperm"), special_tokens(vocabulary)
    properties = [vocabulary.index(name) for name in given["property_tokens"]]
    # The spans are drawn from the case's seed, in its order; the permutations are recorded.
    options = {"generator": torch.Generator().manual_seed(given["seed"]), "randperm": randperm, "published": True}
    conditional = "plm_probability" in given
    if not conditional:
        batch = mask_properties(ids, tokens, properties, duplicates="error", **options)
    else:
        options |= {"probability": given["plm_probability"], "max_span": given["max_span_length"]}
        options["real_property"] = read_numbers(ids, tokens, properties, vocabulary)
        if "entity_to_mask" in given:
            separators = [vocabulary.index(given["entity_separator_token"])]
            batch = mask_entities(ids, tokens, separators, entity=given["entity_to_mask"], **options)
        else:
            batch = mask_conditional(ids, tokens, **options)
    names = ("input_ids", "perm_mask", "labels", "attention_mask")
    found = {name: getattr(batch, name) for name in names}
    found |= {"target_mapping": identity(batch), "masked": batch.asked}
    if conditional:
        found |= {"real_property": batch.real_property, "sample_weights": batch.sample_weights}
    return found
