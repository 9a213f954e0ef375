"""Continuing and filling in: the two modes agree, and what is drawn follows the model's probabilities."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

import seqsuite
from seqdna.api import GenomeModel
from seqdna.generation import has_recurrent_form
from seqdna.likelihood import everywhere
from seqdna.tokenizers import NucleotideTokenizer
from seqsuite.errors import UserError

TOKENIZER = NucleotideTokenizer()


def make(name: str, **options) -> GenomeModel:
    """A model of strong opinions: a fresh one holds all bases for equally likely."""
    torch.manual_seed(3)
    model = seqsuite.create_model(name, **options).double()
    with torch.no_grad():
        model.embedding.weight.mul_(5 if model.config.head == "causal_lm" else 10)
    return GenomeModel(model, TOKENIZER)


@pytest.mark.parametrize("prompt", ["ACGTTGCA", "", "A", "ACGNRYacgt"])
def test_step_by_step_and_recomputing_draw_the_same_bases(prompt) -> None:
    model = make("mamba_dna_debug")
    assert has_recurrent_form(model.model)
    results = [model.generate(prompt, length=40, n=3, seed=5, mode=mode) for mode in ("recurrent", "recompute", "auto")]
    assert results[0].sequences == results[1].sequences == results[2].sequences
    assert len(set(results[0].sequences)) == 3
    assert all(text.startswith(prompt) and len(text) == len(prompt) + 40 for text in results[0].sequences)


def test_a_long_prompt_is_read_in_chunks(monkeypatch) -> None:
    from seqdna.generation import causal

    model = make("mamba_dna_debug")
    prompts = {"x": "ACGTTGCAAC" * 3, "y": "TTG"}
    whole = model.generate(prompts, length=20, n=2)
    monkeypatch.setattr(causal, "_PREFILL", 7)
    assert model.generate(prompts, length=20, n=2).sequences == whole.sequences


def test_neither_the_batch_nor_the_number_of_samples_changes_a_sequence() -> None:
    from seqdna.generation import continue_prompts

    model = make("mamba_dna_debug")
    prompts = {"x": "ACGTTGCA", "empty": "", "y": "TTG"}
    for mode in ("recurrent", "recompute"):
        few = model.generate(prompts, length=15, n=2, mode=mode)
        many = model.generate(prompts, length=15, n=5, mode=mode)
        chosen = [many.sequences[many.names.index(name)] for name in few.names]
        assert list(few.sequences) == chosen
        alone = continue_prompts(model.model, TOKENIZER, prompts, length=15, n=2, mode=mode, batch_rows=1)
        assert alone.sequences == few.sequences
    assert model.generate(prompts, length=15, n=2, seed=1).sequences != few.sequences


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_first_base_follows_the_model(temperature) -> None:
    model = make("mamba_dna_debug")
    prompt = "ACGTTGCAAG"
    logp = everywhere(model.model, TOKENIZER, TOKENIZER.encode(prompt + "A"))[-1]
    expected = np.exp(logp / temperature) / np.exp(logp / temperature).sum()
    assert 0.02 < expected.min()
    assert expected.max() - expected.min() > 0.1
    drawn = [text[-1] for text in model.generate(prompt, length=1, n=2000, temperature=temperature, seed=1).sequences]
    counts = [drawn.count(base) for base in "ACGT"]
    assert chisquare(counts, 2000 * expected).pvalue > 1e-3
    assert chisquare(counts, 2000 * np.roll(expected, 1)).pvalue < 1e-6  # the test can tell


def test_the_second_base_follows_the_first() -> None:
    model = make("mamba_dna_debug")
    expected = {}
    first = np.exp(everywhere(model.model, TOKENIZER, TOKENIZER.encode("ACGA"))[-1])
    for i, base in enumerate("ACGT"):
        second = np.exp(everywhere(model.model, TOKENIZER, TOKENIZER.encode(f"ACG{base}A"))[-1])
        expected |= {base + other: first[i] * second[j] for j, other in enumerate("ACGT")}
    drawn = model.generate("ACG", length=2, n=2000).new()
    assert chisquare([drawn.count(pair) for pair in expected], 2000 * np.array([*expected.values()])).pvalue > 1e-3


def test_without_a_prompt_the_first_base_is_even() -> None:
    drawn = make("mamba_dna_debug").generate("", length=1, n=2000).sequences
    assert chisquare([drawn.count(base) for base in "ACGT"]).pvalue > 1e-3


def test_only_bases_are_written() -> None:
    """Also where the model holds a special token for the likeliest by far."""
    for name, prompt in (
        ("mamba_dna_debug", "ACGT"),
        ("caduceus_ps_debug", "AC______GT"),
        ("leave_one_out_debug", "A__T"),
    ):
        model = make(name)
        handle = model.model.register_forward_hook(lambda m, a, logits: logits + 50 * (torch.arange(16) < 7))
        generate = model.generate if model.model.config.head == "causal_lm" else model.infill
        options = {"length": 20, "mode": "recompute"} if name == "mamba_dna_debug" else {}
        for new in generate(prompt, n=5, **options).new():
            assert not new.strip("ACGT")
        handle.remove()


def test_hyena_recomputes_as_far_as_it_reads() -> None:
    model = make("hyenadna_debug")
    reach = model.model.config.mixer_options["l_max"]
    assert not has_recurrent_form(model.model)
    result = model.generate("ACGT", length=8, n=2)
    greedy = model.generate("ACGT", length=3, temperature=0).new()[0]
    for count in range(3):
        logp = everywhere(model.model, TOKENIZER, TOKENIZER.encode("ACGT" + greedy[:count] + "A"))[-1]
        assert greedy[count] == "ACGT"[logp.argmax()]
    assert all(len(text) == 12 for text in result.sequences)
    with pytest.raises(UserError, match=f"reads at most {reach:,}"):
        model.generate("ACGT", length=reach)
    with pytest.raises(UserError, match="no recurrent form; use --mode recompute"):
        model.generate("ACGT", mode="recurrent")


@pytest.mark.parametrize(
    ("name", "method", "prompt", "options", "message"),
    [
        ("caduceus_ps_debug", "generate", "ACGT", {}, "cannot continue a sequence: mark the bases"),
        ("leave_one_out_debug", "generate", "ACGT", {}, "cannot continue a sequence"),
        ("mamba_dna_debug", "infill", "AC__", {}, "sees only the bases before"),
        ("mamba_dna_debug", "generate", "AC__", {}, "_ marks bases to fill in"),
        ("caduceus_ps_debug", "infill", "ACGT", {}, "no base to fill in"),
        ("caduceus_ps_debug", "infill", "AC_T", {"order": "randm"}, "Did you mean 'random'"),
        ("caduceus_ps_debug", "infill", "AC_T", {"steps": 0}, "--steps is 0"),
        ("caduceus_ps_debug", "infill", "AC_T", {"sweeps": 0}, "--sweeps is 0"),
        ("mamba_dna_debug", "generate", "ACGT", {"n": 0}, "--n is 0"),
        ("mamba_dna_debug", "generate", "ACGT", {"length": 0}, "--length is 0"),
        ("mamba_dna_debug", "generate", "ACGT", {"mode": "recursive"}, "Unknown mode"),
    ],
)
def test_refusals(name, method, prompt, options, message) -> None:
    with pytest.raises(UserError, match=message):
        getattr(make(name), method)(prompt, **options)


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "caduceus_ph_debug", "leave_one_out_debug"])
def test_one_marked_base_follows_the_model(name) -> None:
    model = make(name)
    text = "ACGTTGCAAGCC"
    expected = np.exp(everywhere(model.model, TOKENIZER, TOKENIZER.encode(text))[5])
    drawn = model.infill(text[:5] + "_" + text[6:], n=2000).new()
    assert chisquare([drawn.count(base) for base in "ACGT"], 2000 * expected).pvalue > 1e-3
    assert expected.max() - expected.min() > 0.1


def conditional(model: GenomeModel, text: str, place: int, hidden: list[int]) -> np.ndarray:
    """p of the base at `place`, with the places of `hidden` masked."""
    ids = TOKENIZER.encode(text).astype(np.int64)
    ids[hidden] = TOKENIZER.mask_id
    with torch.no_grad():
        logits = model.model(torch.from_numpy(ids)[None])[0, place, torch.from_numpy(TOKENIZER.base_ids.astype(int))]
    return logits.softmax(-1).numpy()


def pair_probabilities(model: GenomeModel, text: str, order: list[int]) -> np.ndarray:
    """(4, 4) of the bases at order[0] and order[1] when drawn in this order."""
    table = np.empty((4, 4))
    first = conditional(model, text, order[0], order)
    for i, base in enumerate("ACGT"):
        given = text[: order[0]] + base + text[order[0] + 1 :]
        table[i] = first[i] * conditional(model, given, order[1], [order[1]])
    return table


def count_pairs(drawn) -> np.ndarray:
    return np.array([drawn.count(a + b) for a, b in product("ACGT", repeat=2)])


def test_masked_bases_are_drawn_one_given_the_other() -> None:
    model = make("caduceus_ph_debug")
    text = "ACGTTGCAAGCC"
    marked = text[:5] + "__" + text[7:]
    forth, back = pair_probabilities(model, text, [5, 6]), pair_probabilities(model, text, [6, 5]).T
    drawn = model.infill(marked, n=2000, order="random").new()
    assert chisquare(count_pairs(drawn), 2000 * ((forth + back) / 2).ravel()).pvalue > 1e-3
    surer_first = conditional(model, text, 5, [5, 6]).max() >= conditional(model, text, 6, [5, 6]).max()
    drawn = model.infill(marked, n=2000, order="confident").new()
    assert chisquare(count_pairs(drawn), 2000 * (forth if surer_first else back).ravel()).pvalue > 1e-3
    drawn = model.infill(marked, n=2000, steps=1).new()
    apart = np.outer(conditional(model, text, 5, [5, 6]), conditional(model, text, 6, [5, 6]))
    assert chisquare(count_pairs(drawn), 2000 * apart.ravel()).pvalue > 1e-3


def test_leave_one_out_draws_each_base_given_the_other() -> None:
    """After many sweeps: the stationary distribution of drawing the two bases in turns, from a random start."""
    model = make("leave_one_out_debug")
    text = "ACGTTGCAAGCC"
    kernel = np.zeros((16, 16))
    for order in ([5, 6], [6, 5]):
        sweep = np.eye(16)
        for place in order:
            step = np.zeros((16, 16))
            for state, (a, b) in enumerate(product("ACGT", repeat=2)):
                p = np.exp(everywhere(model.model, TOKENIZER, TOKENIZER.encode(text[:5] + a + b + text[7:])))[place]
                for code in range(4):
                    there = 4 * code + state % 4 if place == 5 else state // 4 * 4 + code
                    step[state, there] = p[code]
            sweep = sweep @ step
        kernel += sweep / 2
    expected = np.full(16, 1 / 16) @ np.linalg.matrix_power(kernel, 5)
    drawn = model.infill(text[:5] + "__" + text[7:], n=2000).new()
    assert chisquare(count_pairs(drawn), 2000 * expected).pvalue > 1e-3
    assert expected.max() > 1.5 * expected.min()


@pytest.mark.parametrize("name", ["caduceus_ps_debug", "leave_one_out_debug"])
@pytest.mark.parametrize("options", [{}, {"steps": 2}, {"order": "random"}, {"sweeps": 3, "steps": 1}])
def test_everything_but_the_marked_bases_stays(name, options) -> None:
    model = make(name)
    result = model.infill({"a": "acgN____nTTRG", "b": "ACNNGT"}, n=3, **options)
    assert result.names == ("a_1", "a_2", "a_3", "b_1", "b_2", "b_3")
    for text in result.sequences[:3]:
        assert text[:4] + text[8:] == "acgNnTTRG"
        assert not text[4:8].strip("ACGT")
    for text in result.sequences[3:]:
        assert text[:2] + text[4:] == "ACGT"
    assert model.infill({"a": "acgN____nTTRG", "b": "ACNNGT"}, n=1, **options).sequences[0] == result.sequences[0]


def test_results_show_and_save_themselves(tmp_path) -> None:
    from seqdna.data import read_fasta

    result = make("mamba_dna_debug").generate({"x": "ACG"}, length=150, n=2, seed=7)
    assert "data:image" in result._repr_html_()
    assert [len(new) for new in result.new()] == [150, 150]
    path = result.save(tmp_path / "g.fa")
    assert {name: text.decode() for name, text in read_fasta(path)} == dict(
        zip(result.names, result.sequences, strict=True)
    )
    assert path.read_text().startswith(">x_1 new=150 seed=7 temperature=1.0 top_k=0 top_p=1.0\n")
