"""Published Regression Transformers: what is read of their folders, and that a round trip changes nothing."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqchem.convert import import_checkpoint, load_published, resize_rows
from seqchem.convert_export import export_checkpoint
from seqchem.tokenizers import read_vocabulary
from seqsuite.errors import UserError
from seqsuite.models import create_model, load_model
from tests.chem.convert.conftest import CONFIG, INFERENCE, MOLECULES, PROTEINS


def ids_of(model, text):
    return torch.tensor([model.tokenizer.encode(text)])


def test_weights_config_vocabulary_and_numbers_are_read(published):
    model = load_published(published.write())
    config = model.config
    assert (config.d_model, config.n_layer, config.n_head, config.d_inner) == (32, 2, 4, 48)
    assert (config.activation, config.dropout, config.layer_norm_eps) == ("gelu_tanh", 0.2, 1e-12)
    assert (config.language, config.vocabulary) == ("selfies_v1", MOLECULES)
    assert (config.encoding, config.encoding_format, config.vmax) == ("float", "sum", 1.0)
    assert model.backbone.state_dict().keys() == published.state.keys()
    for name, tensor in model.backbone.state_dict().items():
        assert torch.equal(tensor, published.state[name]), name
    assert model.tokenizer.number_format("esol").parse("0.0000") == -11.6
    assert [len(model.tokenizer.slot_ids(name)) for name in ("qed", "esol")] == [5, 6]
    assert not model.training


def test_the_activation_is_a_choice(published):
    folder = published.write()
    approximate, exact = load_published(folder), load_published(folder, gelu="gelu")
    assert exact.config.activation == "gelu"
    ids = ids_of(exact, "[C][O][=C][N]")
    # Weights as small as these leave little between the two forms.
    with torch.no_grad():
        for model in (approximate, exact):
            for parameter in model.parameters():
                parameter.mul_(8 if parameter.ndim > 1 else 1)
    gap = (approximate(ids) - exact(ids)).abs().max()
    assert 1e-7 < gap < 1e-1


def test_both_spellings_are_the_same_model(published, tmp_path):
    first = load_published(published.write())
    other = {name: value for name, value in CONFIG.items() if "numerical_encodings" not in name}
    other |= {"use_ne": True, "ne_type": "float", "ne_format": "sum", "ne_dim": 16}
    second = load_published(published.write(config=other))
    ids = ids_of(first, "<qed>0.727|[C][O]")
    assert torch.equal(first(ids), second(ids))
    result = import_checkpoint(published.folder, tmp_path / "m")
    assert any("config.json says use_ne" in note for note in result.notes)
    without = load_published(published.folder, encoding="none")
    assert without.config.encoding == "none"
    assert not torch.equal(first(ids), without(ids))


def test_encodings_that_are_off_absent_or_contradict(published):
    off = published.write(use_numerical_encodings=False)
    assert load_published(off).config.encoding == "none"
    silent = {name: value for name, value in CONFIG.items() if name != "use_numerical_encodings"}
    assert load_published(published.write(config=silent)).config.encoding == "none"
    assert load_published(published.folder, encoding="int").config.encoding == "int"
    with pytest.raises(UserError, match="numerical_encodings_format 'sum' and ne_format 'concat'"):
        load_published(published.write(ne_format="concat"))
    with pytest.raises(UserError, match="encoding is 'cosine'"):
        load_published(published.write(numerical_encodings_type="cosine"))
    concat = load_published(published.write(numerical_encodings_format="concat", numerical_encodings_dim=8))
    assert (concat.config.encoding_format, concat.config.encoding_dim) == ("concat", 8)


def test_the_vocabulary_of_proteins_begins_with_an_empty_line(published, tmp_path):
    inference = {
        "property_token": "<stab>",
        "property_ranges": {"<stab>": [-1, 3]},
        "property_mask_length": {"<stab>": 5},
    }
    config = {name: value for name, value in CONFIG.items() if name != "language"}
    folder = published.write(PROTEINS, config, inference, tokenizer={"language": "AAS"})
    result = import_checkpoint(folder, tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert (model.config.language, model.config.vocabulary[0], model.pad_token_id) == ("protein", "", 1)
    assert model.tokenizer.property_id("stab") == PROTEINS.index("<stab>")
    assert any("[PAD] is token 1" in note for note in result.notes)
    assert model.config.number_formats["stab"]["minimum"] == -1
    export_checkpoint(tmp_path / "m", tmp_path / "again")
    assert read_vocabulary(tmp_path / "again" / "vocab.txt") == PROTEINS


@pytest.mark.parametrize(
    ("vocabulary", "language"),
    [
        (MOLECULES, "selfies_v1"),
        ((*MOLECULES, "[Branch1]", "[=Branch2]"), "selfies_v1"),
        ((*(token for token in MOLECULES if token not in ("[Branch1_1]", "[Expl=Ring1]")), "[Branch1]"), "selfies"),
        (PROTEINS, "protein"),
        ((*MOLECULES[:30], "C", "c", "=", "("), "smiles"),
        ((*MOLECULES[:30], "C", "c", "=", ">>"), "reaction"),
    ],
)
def test_the_language_is_told_by_the_vocabulary(published, vocabulary, language):
    config = {name: value for name, value in CONFIG.items() if name != "language"}
    assert load_published(published.write(vocabulary, config, None)).config.language == language


def test_languages_that_are_said(published):
    folder = published.write(tokenizer={"language": "SMILES"}, language="selfies")
    assert load_published(folder).config.language == "smiles"
    assert load_published(folder, language="selfies").config.language == "selfies"
    with pytest.raises(UserError, match="says language 'Polymer'"):
        load_published(published.write(tokenizer={"language": "Polymer"}))


@pytest.mark.parametrize("difference", [-7, 5])
def test_a_vocabulary_of_another_length_is_met_as_published(published, tmp_path, difference):
    """As resize_token_embeddings: known rows stay, rows beyond go, fresh ones are small and their biases 0."""
    rows = len(MOLECULES) + difference
    result = import_checkpoint(published.write(rows=rows), tmp_path / "m")
    model = load_model(tmp_path / "m")
    kept = min(rows, len(MOLECULES))
    old, new = published.state["transformer.word_embedding.weight"], model.word_embedding.weight
    assert len(new) == len(MOLECULES) == len(model.backbone.lm_loss.bias)
    assert torch.equal(new[:kept], old[:kept])
    assert torch.equal(model.backbone.lm_loss.bias[:kept], published.state["lm_loss.bias"][:kept])
    assert any(f"vocab.txt has {len(MOLECULES)} tokens, the embedding {rows} rows" in note for note in result.notes)
    if difference < 0:
        assert 0 < new[kept:].std() < 0.04
        assert not model.backbone.lm_loss.bias[kept:].any()
        assert torch.equal(new, load_published(published.folder).word_embedding.weight)  # the same draws every time


def test_resized_rows_are_tied():
    matrix = torch.randn(4, 6)
    state = {"transformer.word_embedding.weight": matrix, "lm_loss.weight": matrix, "lm_loss.bias": torch.ones(4)}
    grown = resize_rows(state, 7, std=0.1)
    assert torch.equal(grown["transformer.word_embedding.weight"], grown["lm_loss.weight"])
    assert grown["lm_loss.bias"].tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("weights", ["safetensors", "bin"])
@pytest.mark.parametrize("ne", [False, True])
def test_a_round_trip_changes_nothing(published, tmp_path, weights, ne):
    config = dict(CONFIG)
    if ne:
        config = {name: value for name, value in CONFIG.items() if "numerical_encodings" not in name}
        config |= {"use_ne": True, "ne_type": "float", "ne_format": "sum", "ne_dim": 16}
    folder = published.write(config=config, tokenizer={"language": "SELFIES", "model_max_length": 510})
    import_checkpoint(folder, tmp_path / "m")
    out = tmp_path / "again"
    export_checkpoint(tmp_path / "m", out, weights=weights)
    found = load_file(out / "model.safetensors") if weights == "safetensors" else torch.load(out / "pytorch_model.bin")
    assert found.keys() == published.state.keys()
    for name, tensor in published.state.items():
        assert torch.equal(found[name], tensor), name
    for name in ("config.json", "inference.json", "tokenizer_config.json"):
        first, second = (json.loads((place / name).read_text()) for place in (folder, out))
        assert first == second, name
    assert read_vocabulary(out / "vocab.txt") == read_vocabulary(folder / "vocab.txt")
    import_checkpoint(out, tmp_path / "twice")
    first, second = load_model(tmp_path / "m"), load_model(tmp_path / "twice")
    assert first.config == second.config


def test_an_export_over_another_leaves_nothing_of_it(published, tmp_path):
    import_checkpoint(published.write(), tmp_path / "m")
    out = tmp_path / "out"
    export_checkpoint(tmp_path / "m", out, weights="bin")
    create_model("rt_debug", n_layer=1).save_pretrained(tmp_path / "own")
    result = export_checkpoint(tmp_path / "own", out, overwrite=True)
    assert {path.name for path in out.iterdir()} == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"
    }  # fmt: skip
    assert any("predicts no property" in note for note in result.notes)
    assert any("SELFIES 2" in note for note in result.notes)


def test_a_model_of_ours_goes_out_and_comes_back(tmp_path):
    formats = {
        "qed": {"minimum": 0.1, "maximum": 0.9, "decimals": 3},
        "logp": {"minimum": 0.0, "maximum": 12.5, "decimals": 2, "integer_digits": 2, "normalized": False},
    }
    model = create_model("rt_debug", number_formats=formats, encoding_format="concat")
    model.save_pretrained(tmp_path / "own")
    export_checkpoint(tmp_path / "own", tmp_path / "out")
    again = load_published(tmp_path / "out")
    assert again.config.activation == model.config.activation
    assert again.tokenizer.number_formats == model.tokenizer.number_formats
    ids = ids_of(model, "<qed>0.500|[C][O][=C]")
    assert torch.equal(model.eval()(ids), again(ids))


def test_transformers_reads_an_export_and_computes_the_same(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = create_model("rt_debug", encoding="none").eval()
    model.save_pretrained(tmp_path / "own")
    export_checkpoint(tmp_path / "own", tmp_path / "out")
    theirs, told = transformers.XLNetLMHeadModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    assert not any(told[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    theirs.eval()
    ids = ids_of(model, "<qed>0.727|[C][O][=C][N]")
    perm_mask = torch.zeros(1, ids.shape[1], ids.shape[1])
    perm_mask[:, :, 3] = 1
    mapping = torch.eye(ids.shape[1])[None]
    with torch.no_grad():
        expected = theirs(ids, attention_mask=(ids != 0).float(), perm_mask=perm_mask, target_mapping=mapping).logits
        torch.testing.assert_close(model(ids, perm_mask=perm_mask), expected, atol=5e-6, rtol=1e-5)


def test_what_transformers_saves_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48, "vocab_size": len(MOLECULES)}
    theirs = transformers.XLNetLMHeadModel(transformers.XLNetConfig(**sizes, ff_activation="gelu_new", pad_token_id=0))
    theirs.eval().save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "vocab.txt").write_text("\n".join(MOLECULES))
    model = load_published(tmp_path / "theirs")
    ids = ids_of(model, "<qed>0.727|[C][O]")
    mapping = torch.eye(ids.shape[1])[None]
    with torch.no_grad():
        expected = theirs(ids, attention_mask=(ids != 0).float(), target_mapping=mapping).logits
        torch.testing.assert_close(model(ids), expected, atol=5e-6, rtol=1e-5)


def test_safetensors_without_the_tied_copy_are_read(published):
    folder = published.write()
    (folder / "pytorch_model.bin").unlink()
    state = {name: tensor.clone() for name, tensor in published.state.items() if name != "lm_loss.weight"}
    save_file(state, folder / "model.safetensors")
    assert torch.equal(load_published(folder).backbone.lm_loss.weight, state["transformer.word_embedding.weight"])


def test_ranges_of_the_user_stand_above_the_file(published):
    model = load_published(published.write(), ranges=["esol=-5:5"], decimals=2)
    assert model.config.number_formats["esol"]["minimum"] == -5
    assert len(model.tokenizer.slot_ids("esol")) == 4
    assert model.config.number_formats["qed"]["maximum"] == 1
    for text, message in {"esol": "name=minimum:maximum", "tpsa=0:1": "lacks <tpsa>; its properties are <qed>"}.items():
        with pytest.raises(UserError, match=message):
            load_published(published.folder, ranges=[text])


FAULTS = {
    "attn_type": ("uni", "attn_type is 'uni'"),
    "clamp_len": (8, "clamp_len is 8"),
    "same_length": (True, "same_length is True"),
    "ff_activation": ("mish", "ff_activation 'mish' is not known"),
    "d_head": (16, "d_head 16 times n_head 4"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_configs_that_are_no_regression_transformer(published, name):
    value, message = FAULTS[name]
    with pytest.raises(UserError, match=message):
        load_published(published.write(**{name: value}))


def test_a_config_with_more_layers_than_weights(published):
    folder = published.write()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "n_layer": 3}))
    with pytest.raises(UserError, match=r"lacks transformer\.layer\.2"):
        load_published(folder)


def test_a_damaged_or_foreign_file_of_weights(published):
    folder = published.write()
    (folder / "pytorch_model.bin").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"pytorch_model\.bin"):
        load_published(folder)
    torch.save({"bert.weight": torch.ones(2)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="is this a Regression Transformer"):
        load_published(folder)


def test_nothing_in_a_pickle_is_executed(published, tmp_path):
    """A file of weights that would write a file when it is unpickled."""
    folder, mark = published.write(), tmp_path / "mark"

    class Bomb:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    torch.save({**published.state, "extra": Bomb()}, folder / "pytorch_model.bin")
    model = load_published(folder)
    assert not mark.exists()
    assert torch.equal(model.backbone.lm_loss.bias, published.state["lm_loss.bias"])


def test_inference_json_of_the_usual_kind_is_kept_whole(published, tmp_path):
    import_checkpoint(published.write(), tmp_path / "m")
    assert load_model(tmp_path / "m").config.metadata["published"]["inference"] == INFERENCE
