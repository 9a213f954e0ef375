"""The published code's own numbers, through a folder in its layout: config.json, vocab.txt, weights."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from seqchem.convert import load_published


@pytest.mark.parametrize("name", ["model_sum_float", "model_concat_float_multi"])
@pytest.mark.parametrize("ne", [False, True])
def test_an_imported_folder_gives_the_published_logits(root, tmp_path, name, ne):
    case = root.parent / "shared" / "parity" / "regression_transformer" / name
    if not case.is_dir():
        pytest.skip("the reference cases are not here")
    described = json.loads((case / "config.json").read_text())
    raw = {key: value for key, value in described["hyperparameters"].items() if value is not None}
    use = "use_ne" if ne else "use_numerical_encodings"
    raw = {key.replace("numerical_encodings", "ne") if ne else key: value for key, value in raw.items()}
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({**raw, use: True}))
    (folder / "vocab.txt").write_text("\n".join(json.loads((case / "vocab.json").read_text())))
    torch.save(load_file(case / "weights.safetensors"), folder / "pytorch_model.bin")
    model = load_published(folder)
    tensors = load_file(case / "io.safetensors")
    asked = {key: tensors[f"pp.{key}"] for key in ("attention_mask", "perm_mask")}
    with torch.no_grad():
        logits = model(tensors["pp.input_ids"].long(), **asked)
        exact = load_published(folder, gelu="gelu")(tensors["pp.input_ids"].long(), **asked)
    limits = {"atol": described["tolerance"]["atol"], "rtol": described["tolerance"]["rtol"]}
    torch.testing.assert_close(logits, tensors["pp.logits"], **limits)
    assert not torch.allclose(exact, tensors["pp.logits"], **limits)  # the other GELU is told apart


def test_the_published_vocabulary_is_one_of_ours(root, tmp_path):
    path = root.parent / "shared" / "parity" / "regression_transformer" / "tokenizer_selfies" / "vocab.json"
    if not path.is_file():
        pytest.skip("the reference cases are not here")
    from seqchem.convert_config import language_from_published
    from seqchem.convert_numbers import formats_from_published

    vocabulary = tuple(json.loads(path.read_text()))
    assert language_from_published({}, {}, vocabulary) == ("selfies_v1", "the vocabulary")
    inference = {
        "property_token": ["<logp>", "<scs>"],
        "property_ranges": {"<logp>": [-2.1, 6.7], "<scs>": [1, 5]},
        "property_mask_length": {"<logp>": 5, "<scs>": 5},
    }
    formats, reasons = formats_from_published(inference, vocabulary)
    assert not reasons
    assert formats["logp"]["decimals"] == 3
