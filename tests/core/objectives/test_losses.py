from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from seqsuite.objectives import IGNORE, cross_entropy, next_token_labels
from seqsuite.ops import Seq


def test_mean_is_torchs_over_the_kept_tokens():
    torch.manual_seed(0)
    logits, labels = torch.randn(3, 5, 7), torch.randint(0, 7, (3, 5))
    labels[0, :3] = IGNORE
    loss = cross_entropy(logits, labels)
    torch.testing.assert_close(loss.mean, F.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    assert loss.count == 12


def test_pooled_over_uneven_batches_it_is_the_mean_over_all_tokens():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 6, 5), torch.randint(0, 5, (4, 6))
    labels[0] = IGNORE
    labels[1, 2:] = IGNORE
    pooled = cross_entropy(logits[:1], labels[:1]) + cross_entropy(logits[1:2], labels[1:2])
    pooled += cross_entropy(logits[2:], labels[2:])
    torch.testing.assert_close(pooled.mean, cross_entropy(logits, labels).mean)


def test_uniform_over_four_letters_is_two_bits():
    logits = torch.full((2, 3, 16), -math.inf)
    logits[..., 7:11] = 0.0
    torch.testing.assert_close(cross_entropy(logits, torch.full((2, 3), 8)).bits, torch.tensor(2.0))


def test_a_batch_without_labels_is_zero_with_zero_gradients():
    logits = torch.randn(2, 3, 4, requires_grad=True)
    loss = cross_entropy(logits, torch.full((2, 3), IGNORE)).mean
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_weights_are_normalised_over_the_labelled_positions():
    torch.manual_seed(0)
    logits, labels, weights = torch.randn(1, 4, 5), torch.randint(0, 5, (1, 4)), torch.tensor([[2.0, 1.0, 0.0, 9.0]])
    labels[0, 3] = IGNORE
    each = F.cross_entropy(logits[0], labels[0], reduction="none")
    expected = (2 * each[0] + each[1]) / 3
    torch.testing.assert_close(cross_entropy(logits, labels, token_weights=weights).mean, expected)


def test_next_token_asks_for_nothing_across_documents_or_at_padding():
    tokens = torch.tensor([[5, 6, 7, 8, 9, 4, 4]])
    assert next_token_labels(tokens, ignore=(4,)).tolist() == [[6, 7, 8, 9, IGNORE, IGNORE, IGNORE]]
    seq = Seq.from_cu_seqlens([[0, 2, 5]], 7)
    assert next_token_labels(tokens, seq=seq).tolist() == [[6, IGNORE, 8, 9, IGNORE, IGNORE, IGNORE]]
