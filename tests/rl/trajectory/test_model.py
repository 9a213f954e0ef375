"""The network: causal, blind to values, one head a number; its loss written out; any causal mixer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import seqsuite
from seqrl.convert_trajectory import config_from_jannerm, import_jannerm, read_discretizer, to_jannerm
from seqrl.data.discretizers import fit_discretizer
from seqrl.models.trajectory_transformer import dimension_weights, trajectory_loss
from seqsuite.errors import UserError
from seqsuite.models import load_model

PERIOD = 6


def make(**options):
    torch.manual_seed(0)
    model = seqsuite.create_model("trajectory_transformer_debug", **options).eval().double()
    for parameter in model.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return model


def tokens(batch=2, length=29, most=13):
    return torch.randint(0, most, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mixer", ["attention", "mamba", "mamba, attention", "lstm"])
def test_no_logit_depends_on_later_tokens_or_on_earlier_values(mixer):
    model, x = make(mixer=mixer), tokens()
    before = model(x)
    for place in (3, 5, 11, 17, 20):
        other = x.clone()
        other[:, place] = (x[:, place] + 5) % 13
        changed = ((model(other) - before).abs().amax(-1) > 1e-9).any(0)
        assert not changed[:place].any()
        if place % PERIOD == PERIOD - 1:
            assert changed[place] == (mixer == "attention")  # a value's own position still embeds it
            assert not changed[place + 1 :].any()
        else:
            assert changed[place]
            assert changed[place + 1 :].any()


def test_a_prefix_of_any_length_gives_the_same_logits():
    model, x = make(), tokens()
    whole = model(x)
    for length in (1, 5, 6, 7, 20):
        torch.testing.assert_close(model(x[:, :length]), whole[:, :length])


def test_each_position_has_the_head_of_its_number():
    model, x = make(), tokens()
    features = model.forward_features(x)
    for place in (0, 4, 5, 6, 28):
        expected = features[:, place] @ model.head[place % PERIOD].T
        torch.testing.assert_close(model(x)[:, place], expected)


def test_the_loss_is_weighted_masked_and_divided_by_all_tokens():
    model, x = make(action_weight=3.0, value_weight=0.5), tokens()
    targets = tokens(length=30)[:, 1:].contiguous()
    mask = (torch.rand(2, 29, generator=torch.Generator().manual_seed(2)) > 0.3).to(torch.uint8)
    logits, weights = model(x), dimension_weights(model.config)
    assert weights == (1, 1, 1, 3, 1, 0.5)
    total = 0.0
    for row in range(2):
        for place in range(29):
            nats = -logits[row, place].log_softmax(-1)[targets[row, place]]
            total += nats * weights[(place + 1) % PERIOD] * mask[row, place]
    torch.testing.assert_close(trajectory_loss(logits, targets, mask, weights=weights), total / 58)


def test_prefill_in_chunks_is_forward_where_mixers_are_recurrent():
    model, x = make(mixer="mamba"), tokens()
    state, parts = None, []
    for start, end in ((0, 4), (4, 5), (5, 13), (13, 29)):
        features, state = model.prefill(x[:, start:end], state, position=start, dim=start % PERIOD)
        parts.append(features)
    torch.testing.assert_close(torch.cat(parts, 1), model.forward_features(x))
    assert model.recurrent
    assert not make().recurrent


def test_biases_norms_and_embeddings_do_not_decay():
    model = make()
    kept = {name for name, _ in model.named_parameters()} - model.no_weight_decay()
    linear = {"mixer.in_proj", "mixer.out_proj", "mlp.fc1", "mlp.fc2"}
    assert kept == {"head"} | {f"backbone.layers.{i}.{name}.weight" for i in range(2) for name in linear}


def test_published_checkpoints_come_in_with_their_discretizer(tmp_path):
    model = make().float()
    edges = fit_discretizer(np.random.default_rng(0).normal(size=(90, PERIOD)), 12)
    masks = {f"blocks.{layer}.attn.mask": torch.ones(1, 1, 29, 29) for layer in range(2)}
    state = to_jannerm(model.state_dict(), model.config)
    torch.save(state | masks, tmp_path / "state_1.pt")
    np.savez(tmp_path / "edges.npz", thresholds=edges.edges)
    given = {"observation_dim": 3, "n_head": 2}
    found = import_jannerm(tmp_path / "state_1.pt", **given, discretizer=tmp_path / "edges.npz", env_id="Tiny-v0")
    x = tokens()
    torch.testing.assert_close(found(x), model(x))
    found.save_pretrained(tmp_path / "ours")
    again = load_model(tmp_path / "ours")
    assert again.config.env_id == "Tiny-v0"
    assert again.config.discretizer == edges.to_dict()
    torch.save({name: tensor for name, tensor in state.items() if name != "blocks.1.attn.key.bias"}, tmp_path / "b.pt")
    with pytest.raises(UserError, match=r"lacks blocks\.1\.attn\.key\.bias"):
        import_jannerm(tmp_path / "b.pt", **given)
    torch.save(state | {"more": torch.ones(1)}, tmp_path / "c.pt")
    with pytest.raises(UserError, match="has unknown more"):
        import_jannerm(tmp_path / "c.pt", **given)
    with pytest.raises(UserError, match="action_dim must be at least 1"):
        import_jannerm(tmp_path / "state_1.pt", observation_dim=4, n_head=2)
    with pytest.raises(UserError, match=r"none\.npz: does not exist"):
        import_jannerm(tmp_path / "state_1.pt", **given, discretizer=tmp_path / "none.npz")


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "safetensors"])
def test_thresholds_are_read_from_arrays_and_tensors(tmp_path, suffix):
    from safetensors.torch import save_file

    edges = np.sort(np.random.default_rng(0).normal(size=(5, 3)), 0)
    path = tmp_path / f"edges.{suffix}"
    flat = torch.from_numpy(np.ascontiguousarray(edges.T))
    writers = {
        "npy": lambda: np.save(path, edges),
        "npz": lambda: np.savez(path, bin_edges=edges.T),
        "pt": lambda: torch.save({"bin_edges": flat}, path),
        "safetensors": lambda: save_file({"bin_edges": flat}, path),
    }
    writers[suffix]()
    assert np.array_equal(read_discretizer(path, strategy="uniform").edges, edges)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixer": "attention", "mixer_options": {"heads": 2}}, "Unknown option of mixer 'attention'"),
        ({"mixer": "attention", "mixer_options": {"num_heads": 2}}, "num_heads is not an option"),
        ({"n_head": 5}, "n_head must divide d_model"),
        ({"mixer": "bidirectional_mamba"}, "not causal"),
        ({"transitions": 1}, "transitions must be at least 2"),
        ({"attn_pdrop": 1.0}, "below 1"),
        ({"action_weight": -1}, "action_weight must be at least 0"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        seqsuite.create_model("trajectory_transformer_debug", **options)


def test_tokens_and_lengths_out_of_range_are_told():
    model = make()
    with pytest.raises(ValueError, match="tokens from 0 to 12"):
        model(tokens() + 5)
    with pytest.raises(ValueError, match="the block, 29"):
        model(tokens(length=30))
    with pytest.raises(UserError, match="not one less than rows of"):
        config_from_jannerm(
            {"vocab_size": 9, "block_size": 20, "n_layer": 1, "n_head": 1, "n_embd": 8}
            | {"observation_dim": 2, "action_dim": 1}
        )
