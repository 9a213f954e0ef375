"""Masked generation of binders: what is masked, what is drawn, and that a trained model reads the target."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from seqchem.cli import main
from seqchem.collating import pad_rows
from seqchem.generation.binders import binder_batch, generate_binders, pair_text, pseudo_perplexity, separator_id
from seqchem.proteins import AMINO_ACIDS
from seqsuite.errors import UserError
from seqsuite.models import create_model

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "|")


def protein_model(mixer="xlnet", vocabulary=(*SPECIAL, ".", *AMINO_ACIDS), **more):
    torch.manual_seed(0)
    options = {"d_model": 32, "d_inner": 64, "n_layer": 2, "language": "protein", "encoding": "none", "dropout": 0.0}
    return create_model("rt_debug", vocabulary=vocabulary, mixer=mixer, **options | more).eval()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def trained():
    """A model of a made-up law: a binder is four times the letter that its target begins with."""
    model = protein_model().train()
    draws = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(110):
        targets = ["".join(draws.choice(list("ACDE"), 6)) for _ in range(24)]
        rows = [model.tokenizer.encode(pair_text(target, target[0] * 4)) for target in targets]
        batch = binder_batch(pad_rows(rows, 0), model.tokenizer, generator=generator(int(draws.integers(1 << 30))))
        logits = model(
            batch.input_ids,
            attention_mask=batch.attention_mask,
            perm_mask=batch.perm_mask,
            positions=batch.positions(),
        )
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.position_labels().flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def test_the_whole_binder_is_masked_and_nothing_else():
    tokenizer = protein_model().tokenizer
    texts = ["ACDEF.KLM", "AC.K", "ACDEF", "A.C.DEFG"]
    ids = pad_rows([tokenizer.encode(text) for text in texts], tokenizer.pad_token_id)
    batch = binder_batch(ids, tokenizer, generator=generator())
    for row, text in enumerate(texts):
        asked = "".join(tokenizer.decode(ids[row][batch.asked[row]].tolist()))
        assert asked == (text.rpartition(".")[2] if "." in text else "")
    assert torch.equal(
        batch.input_ids[batch.asked], torch.full_like(batch.input_ids[batch.asked], tokenizer.mask_token_id)
    )
    assert torch.equal(batch.input_ids[~batch.asked], ids[~batch.asked])


def test_a_trained_model_reads_the_target(trained):
    for target in ("DACEEC", "EACDAA"):
        found = generate_binders(trained, target, 4, 10, generator=generator(1))
        assert found.binders[0] == target[0] * 4
        assert found.pseudo_perplexity[0] < 1.5
        right, wrong = pseudo_perplexity(trained, target, [target[0] * 4, "AAAA"])
        assert right < 1.5 < wrong


def test_candidates_are_different_and_ranked(trained):
    found = generate_binders(trained, "ACDEAC", 5, 8, generator=generator(2))
    assert len(set(found.binders)) == len(found.binders) <= 8
    assert all(len(text) == 5 and set(text) <= set(AMINO_ACIDS) for text in found.binders)
    assert (np.diff(found.pseudo_perplexity) >= 0).all()
    np.testing.assert_allclose(
        found.pseudo_perplexity, pseudo_perplexity(trained, "ACDEAC", found.binders, batch_size=2), rtol=1e-5
    )


def test_the_seed_decides(trained):
    first, second, other = (generate_binders(trained, "ACDEAC", 6, 5, generator=generator(seed)) for seed in (3, 3, 4))
    assert first.binders == second.binders
    assert first.binders != other.binders


@pytest.mark.parametrize("mixer", ["xlnet", "attention"])
def test_pseudo_perplexity_is_that_of_its_definition(mixer):
    """One residue masked at a time, one forward pass each, the mean of -log p by hand."""
    model = protein_model(mixer)
    target, binder = "ACDEFGH", "KLMN"
    tokenizer = model.tokenizer
    ids = torch.tensor(tokenizer.encode(f"{target}.{binder}"))
    begin = ids.tolist().index(separator_id(tokenizer)) + 1
    total = 0.0
    for place in range(begin, begin + 4):
        masked = ids.clone()
        masked[place] = tokenizer.mask_token_id
        hidden = torch.zeros(1, len(ids), len(ids))
        hidden[:, :, place] = 1
        with torch.no_grad():
            logits = model(masked[None], perm_mask=hidden if mixer == "xlnet" else None)[0, place]
        total -= float(torch.log_softmax(logits.double(), -1)[ids[place]])
    assert pseudo_perplexity(model, target, [binder])[0] == pytest.approx(math.exp(total / 4), rel=1e-5)


def test_only_the_likeliest_letters_are_drawn():
    model = protein_model()
    one = generate_binders(model, "ACDE", 5, 4, top_k=1, generator=generator())
    assert len(one) == 1
    assert one.drawn == 1
    cold = generate_binders(model, "ACDE", 5, 1, temperature=1e-6, generator=generator())
    assert cold.binders == one.binders
    two = generate_binders(model, "ACDE", 2, 100, top_k=2, tries=50, generator=generator())
    assert len(two) == 4  # all there are
    letters = [{text[place] for text in two.binders} for place in range(2)]
    assert all(len(found) == 2 for found in letters)
    assert {text[0] for text in one.binders} <= letters[0]


def test_draws_are_bounded_and_what_is_missing_is_told():
    model = protein_model()
    found = generate_binders(model, "ACDE", 3, 20, temperature=1e-6, tries=2, generator=generator())
    assert found.drawn == 40
    assert len(found) == 1
    assert "1 of 20 wanted" in found.notes()[1]


def test_the_result_shows_and_saves_itself(trained, tmp_path):
    found = generate_binders(trained, "ACDEAC", 4, 3, generator=generator())
    assert [row["rank"] for row in found.table()] == list(range(1, len(found) + 1))
    lines = found.save(tmp_path / "b.csv").read_text().splitlines()
    assert lines[0] == "rank,binder,pseudo_perplexity"
    assert [line.split(",")[1] for line in lines[1:]] == list(found.binders)
    assert found.figure().axes[0].get_xlabel() == "place in the binder"
    assert found.binders[0] in found.report("Binders").html()
    assert found.to_dict()["binders"] == found.table()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": "ACXD"}, "the target has X, which the model does not know"),
        ({"target": "AC-D"}, "the target: row 1 has -, which is no letter of a protein"),
        ({"target": "AC.D"}, "the target: row 1 has ."),
        ({"target": ""}, "is empty"),
        ({"target": "A" * 600}, "the model takes 512"),
        ({"length": 0}, "--length is 0"),
        ({"n": 0}, "--n is 0"),
        ({"top_k": 0}, "--top_k is 0"),
        ({"temperature": 0.0}, "--temperature is 0.0"),
        ({"temperature": math.nan}, "--temperature is nan"),
    ],
)
def test_what_is_wrong_is_told(arguments, message):
    given = {"target": "ACDE", "length": 4, "n": 2} | arguments
    with pytest.raises(UserError, match=message):
        generate_binders(protein_model(), **given, generator=generator())


def test_models_that_were_not_made_for_pairs():
    with pytest.raises(UserError, match=r"knows no '\.'"):
        generate_binders(protein_model(vocabulary=(*SPECIAL, *AMINO_ACIDS)), "ACDE", 4, 2, generator=generator())
    with pytest.raises(UserError, match="this model reads selfies"):
        generate_binders(create_model("rt_debug"), "ACDE", 4, 2, generator=generator())
    few = (*SPECIAL, ".", *"ACDE")
    with pytest.raises(UserError, match="which the model does not know"):
        generate_binders(protein_model(vocabulary=few), "ACDK", 4, 2, generator=generator())
    assert set(
        "".join(generate_binders(protein_model(vocabulary=few), "ACDE", 4, 5, top_k=9, generator=generator()).binders)
    ) <= set("ACDE")


def test_the_command_writes_binders(trained, tmp_path, capsys):
    trained.save_pretrained(tmp_path / "model")
    out = tmp_path / "binders.csv"
    flags = ["--binder_of", "dacaea", "--length", "4", "--n", "3", "--seed", "1"]
    assert main(["generate", str(tmp_path / "model"), *flags, "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["target"] == "DACAEA"
    assert told["binders"][0]["binder"] == "DDDD"
    assert out.read_text().splitlines()[1].startswith("1,DDDD,")
    assert "DDDD" in out.with_suffix(".html").read_text()
    for more, message in {
        ("--top_p", "0.5"): "--top_p: is no option of --binder_of",
        ("--binder_of", "AXA"): "the target has X, which the model does not know",
        ("--binder_of", "none.fasta"): "--binder_of none.fasta: there is no such file",
        ("--top_k", "0"): "--top_k is 0",
    }.items():
        assert main(["generate", str(tmp_path / "model"), *flags, *more]) == 2
        err = capsys.readouterr().err.strip()
        assert message in err
        assert len(err.splitlines()) == 1
