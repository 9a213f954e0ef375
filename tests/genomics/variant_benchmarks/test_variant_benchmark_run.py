"""A whole benchmark: scores against `score_variants`, signs, metrics by scikit-learn, what is refused and left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import distance
from sklearn.metrics import average_precision_score, roc_auc_score

from seqdna.variant_benchmarks import benchmark_variants
from seqdna.variant_benchmarks.published import PUBLISHED
from seqdna.variant_benchmarks.run import PROBE
from seqdna.variants import score_variants
from seqsuite.errors import UserError

MODELS = ("caduceus_ph_debug", "caduceus_ps_debug", "hyenadna_debug", "leave_one_out_debug")


@pytest.fixture(params=MODELS)
def model(request, kit):
    return kit.make_model(request.param)


def scores_of_vcf(model, rows, fasta, folder, **options) -> list:
    """The same variants as a VCF, through the scorer of VCF files."""
    lines = [f"chr{row.chrom}\t{row.pos}\t.\t{row.ref}\t{row.alt}\t.\t.\t.\n" for row in rows]
    header = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    (folder / "v.vcf").write_text(header + "".join(lines))
    return list(score_variants(model, folder / "v.vcf", fasta, **{"window": 32, **options}).rows)


def values(result, task: int = 0) -> dict[tuple[str, str], float]:
    return {(row.score, row.metric): row.value for row in result.tasks[task].rows}


def test_traitgym_scores_are_those_of_a_vcf(kit, model, rows, fasta, tmp_path) -> None:
    kit.write_traitgym(tmp_path, rows)
    (task,) = benchmark_variants(model, tmp_path, fasta, window=32).tasks
    found = scores_of_vcf(model, rows, fasta, tmp_path)
    llr = np.array([row.scores[0].mean() for row in found])
    np.testing.assert_allclose(task.scores["LLR.minus"], -llr, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(task.scores["absLLR.plus"], np.abs(llr), rtol=1e-4, atol=1e-5)
    assert task.window == 32
    assert task.left_out == {}


def test_traitgym_metrics_by_hand(kit, rows, fasta, tmp_path) -> None:
    kit.write_traitgym(tmp_path, rows)
    result = benchmark_variants(kit.make_model("caduceus_ph_debug"), tmp_path, fasta, window=32)
    (task,) = result.tasks
    labels = np.array([row.label for row in rows])
    chroms = np.array([row.chrom for row in rows])
    assert len(task.rows) == 10
    for name, scores in task.scores.items():
        each = [average_precision_score(labels[chroms == c], scores[chroms == c]) for c in np.unique(chroms)]
        found = values(result)
        assert found[name, "AUPRC"] == pytest.approx(average_precision_score(labels, scores))
        # Eight variants on each chromosome: the weights are equal.
        assert found[name, "AUPRC_by_chrom_weighted_average"] == pytest.approx(np.mean(each))
    assert {row.chance for row in task.rows} == {0.25}
    assert [row.standard_error is None for row in task.rows] == [False, True] * 5


def test_signs(kit, genome, rows, fasta, tmp_path) -> None:
    """Positives that the model finds least likely are found by LLR.minus, and large changes by absLLR.plus."""
    model = kit.make_model("leave_one_out_debug")
    llr = np.array([row.scores[0].mean() for row in scores_of_vcf(model, rows, fasta, tmp_path)])
    low, large = llr < np.quantile(llr, 0.25), np.abs(llr) > np.quantile(np.abs(llr), 0.75)
    assert not np.array_equal(low, large)
    for labels, score in ((low, "LLR.minus"), (large, "absLLR.plus")):
        folder = tmp_path / score
        kit.write_traitgym(folder, [replace(row, label=bool(one)) for row, one in zip(rows, labels, strict=True)])
        result = benchmark_variants(model, folder, fasta, window=32, scores="likelihood")
        assert values(result)[score, "AUPRC"] == 1.0


def chain(model, text: str) -> float:
    """Add up a string's log probabilities, one forward pass a base where the model is a masked one."""
    import torch

    head, ids = model.model.config.head, model.tokenizer.encode(text).astype(np.int64)
    bases = model.tokenizer.base_ids.astype(np.int64)
    total = 0.0
    for place in range(len(text)):
        row = ids.copy()
        if head == "masked_lm":
            row[place] = model.tokenizer.mask_id
        at = place - 1 if head == "causal_lm" else place
        if at < 0:
            continue
        with torch.inference_mode():
            logits = model.model.eval()(torch.from_numpy(row)[None])[0, at, torch.from_numpy(bases)]
        total += float(torch.log_softmax(logits.double(), -1)["ACGT".index(text[place])])
    return total


def test_dart_eval_judges_the_whole_window(kit, model, genome, rows, fasta, tmp_path) -> None:
    few = [row for row in rows if 10 < row.pos < 108][:6]
    few[0], few[1] = replace(few[0], label=True), replace(few[1], label=False)
    kit.write_dsqtl(tmp_path, few)
    result = benchmark_variants(model, tmp_path, fasta, window=16, whole_window=True, scores="likelihood")
    expected = []
    for row in few:
        text = genome[f"chr{row.chrom}"][row.pos - 9 : row.pos + 7]
        expected.append(abs(chain(model, text[:8] + row.alt + text[9:]) - chain(model, text)))
    ((name, found),) = result.tasks[0].scores.items()
    assert name == "|LLR| of the window"
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    plain = benchmark_variants(model, tmp_path, fasta, window=16, scores="likelihood").tasks[0]
    if model.model.config.head != "masked_lm":
        np.testing.assert_array_equal(plain.scores[name], found)
    else:
        given = [abs(row.scores[0, 0]) for row in scores_of_vcf(model, few, fasta, tmp_path, window=16)]
        np.testing.assert_allclose(plain.scores["|LLR| of the base (not the suite's)"], given, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "leave_one_out_debug"])
def test_bend_is_the_auroc_of_the_cosine_distance_at_the_variant(kit, name, genome, rows, fasta, tmp_path) -> None:
    import torch

    model = kit.make_model(name)
    inner = [row for row in rows if 16 < row.pos < 100]
    kit.write_bend(tmp_path, inner)
    result = benchmark_variants(model, tmp_path, fasta, window=32)
    expected = []
    for row in inner:
        text = genome[f"chr{row.chrom}"][row.pos - 17 : row.pos + 15]
        both = [text, text[:16] + row.alt + text[17:]]
        ids = torch.from_numpy(np.stack([model.tokenizer.encode(one) for one in both]).astype(np.int64))
        with torch.inference_mode():
            one, other = model.model.eval().forward_features(ids)[:, 16].double().numpy()
        expected.append(distance.cosine(one, other))
    labels = [row.label for row in inner]
    np.testing.assert_allclose(result.tasks[0].scores["cosine distance at the variant"], expected, rtol=1e-3, atol=1e-6)
    assert values(result) == {
        ("cosine distance at the variant", "AUROC"): pytest.approx(roc_auc_score(labels, expected), abs=0.02)
    }
    assert result.tasks[0].rows[0].chance == 0.5


def test_bend_is_not_for_a_model_that_never_sees_the_base_itself(kit, genome, rows, fasta, tmp_path) -> None:
    import torch

    model = kit.make_model("leave_one_out_debug")
    text = genome["chr1"][:32]
    both = [text, text[:16] + ("A" if text[16] != "A" else "C") + text[17:]]
    ids = torch.from_numpy(np.stack([model.tokenizer.encode(one) for one in both]).astype(np.int64))
    with torch.inference_mode():
        one, other = model.model.eval().forward_features(ids)
    assert torch.allclose(one[16], other[16], atol=1e-6)
    assert not torch.allclose(one[15], other[15], atol=1e-6)
    kit.write_bend(tmp_path, rows)
    with pytest.raises(UserError, match="which a leave-one-out model never sees: all distances are 0"):
        benchmark_variants(model, tmp_path, fasta, window=32)


def test_dart_eval_takes_either_allele_as_the_reference(kit, model, rows, fasta, tmp_path) -> None:
    kit.write_caqtl(tmp_path / "a", rows)
    kit.write_caqtl(tmp_path / "b", rows, turned=True)
    kit.write_dsqtl(tmp_path / "c", rows)
    first, turned, other = (benchmark_variants(model, tmp_path / name, fasta, window=32) for name in "abc")
    assert values(first) == values(turned) == values(other)
    assert [result.tasks[0].swapped for result in (first, turned, other)] == [0, len(rows), 0]
    assert {row.metric for row in first.tasks[0].rows} == {"AUROC", "AUPRC"}
    # DART-Eval's cosine is that of mean embeddings, given strand: the scorer of VCF files has it too.
    found = scores_of_vcf(model, rows, fasta, tmp_path, method="embedding")
    if not model.model.config.both_strands:  # such a model's pooling joins its halves first
        expected = [row.scores[1, 0] for row in found]
        given = first.tasks[0].scores["cosine distance of mean embeddings"]
        np.testing.assert_allclose(given, expected, rtol=1e-3, atol=1e-7)


def test_several_sets_and_the_names_of_contigs(kit, rows, fasta, tmp_path) -> None:
    """TraitGym writes 1 for chr1; each set is measured as its suite does."""
    kit.write_traitgym(tmp_path, rows)
    kit.write_bend(tmp_path, rows)
    result = benchmark_variants(kit.make_model("caduceus_ps_debug"), tmp_path, fasta, window=32, title="mine")
    assert [task.task.suite.title for task in result.tasks] == ["BEND", "TraitGym"]
    own = [row for row in result.table() if row["model"] == "mine"]
    assert len(own) == 11
    assert {row["variants"] for row in own} == {64}
    (known,) = [row for row in result.table() if row not in own]
    assert known["model"] == "GPN-Promoter [p]"
    assert known["score"] in result.tasks[1].scores
    assert known["metric"] in result.tasks[1].task.suite.metrics
    assert len(result.figure().axes[0].get_yticklabels()) == 11
    assert "mine" in result.title
    assert result._repr_html_().startswith("<")


def test_published_rows_are_of_scores_and_metrics_that_the_suite_has(kit, rows, fasta, tmp_path) -> None:
    kit.write_caqtl(tmp_path, rows)
    kit.write_dsqtl(tmp_path, rows)
    kit.write_traitgym(tmp_path, rows)
    result = benchmark_variants(kit.make_model("caduceus_ps_debug"), tmp_path, fasta, window=32)
    assert {task.task.name for task in result.tasks} == set(PUBLISHED)
    for task in result.tasks:
        for row in task.published:
            assert row.score in task.scores
            assert row.metric in task.task.suite.metrics
    assert sum("figures do not compare" in line for line in result.notes()) == 2
    assert result.notes()[-1] == "Rows marked [p] are published, not run here."


def test_bases_that_the_tokenizer_hides_are_told(kit, genome, rows, tmp_path) -> None:
    """REF is checked as written; the model sees N in place of lower-case bases, which the report says."""
    from seqdna.api import GenomeModel
    from seqdna.tokenizers import NucleotideTokenizer

    text = "".join(f">{name}\n{letters[:40].lower()}{letters[40:]}\n" for name, letters in genome.items())
    (tmp_path / "soft.fa").write_text(text)
    kit.write_bend(tmp_path / "sets", rows)
    model = kit.make_model("caduceus_ph_debug")
    shown = benchmark_variants(model, tmp_path / "sets", tmp_path / "soft.fa", window=32)
    assert shown.hidden == 0
    blind = GenomeModel(model.model, NucleotideTokenizer(lower="n"))
    hidden = benchmark_variants(blind, tmp_path / "sets", tmp_path / "soft.fa", window=32)
    assert hidden.hidden == 40 * len(genome)
    assert "320 lower-case bases of the genome are hidden from the model by its tokenizer" in hidden.notes()
    assert len(hidden.tasks[0].variants) == len(rows)


def test_a_subset_has_no_published_rows(kit, rows, fasta, tmp_path) -> None:
    path = kit.write_traitgym(tmp_path, rows)
    columns = {key: [getattr(row, key) for row in rows[:16]] for key in ("chrom", "pos", "ref", "alt")}
    kit.write_parquet(path.parent / "subset" / "disease.parquet", **columns)
    (task,) = benchmark_variants(
        kit.make_model("caduceus_ps_debug"), tmp_path, fasta, window=32, subset="disease"
    ).tasks
    assert len(task.variants) == 16
    assert task.published == ()
    assert task.to_dict()["subset"] == "disease"


def test_a_ref_mismatch_stops_or_is_counted(kit, rows, fasta, tmp_path) -> None:
    turned = {"A": "C", "C": "G", "G": "T", "T": "A"}
    broken = list(rows)
    for number in (3, 5):
        ref = turned[rows[number].ref]
        broken[number] = replace(rows[number], ref=ref, alt=turned[ref])
    broken[7] = replace(rows[7], chrom="8x")
    broken[9] = replace(rows[9], pos=500)
    broken[11] = replace(rows[11], alt="GTT")
    path = kit.write_traitgym(tmp_path, broken)
    model = kit.make_model("caduceus_ph_debug")
    with pytest.raises(UserError) as refusal:
        benchmark_variants(model, tmp_path, fasta, window=32)
    assert "\n" not in str(refusal.value)
    assert f"{path}, row 3: 1:{broken[3].pos} {broken[3].ref}>{broken[3].alt}: REF differs" in str(refusal.value)
    assert "5 of 64 variants cannot be scored (2 ref_mismatch, 1 unknown_contig, 1 outside_contig" in str(refusal.value)
    assert "GRCh38? --unscorable skip leaves such variants out." in str(refusal.value)
    (task,) = benchmark_variants(model, tmp_path, fasta, window=32, unscorable="skip").tasks
    assert len(task.variants) == 59
    assert task.left_out == {
        "REF differs from the FASTA": 2,
        "the contig is not in the FASTA": 1,
        "the record reaches beyond its contig": 1,
        "the alleles are no single bases": 1,
    }
    assert len(task.examples) == 5
    kit.write_traitgym(tmp_path / "few", [row for number, row in enumerate(rows) if number not in (3, 5, 7, 9, 11)])
    alone = benchmark_variants(model, tmp_path / "few", fasta, window=32)
    assert {row.score: row.value for row in task.rows} == pytest.approx(
        {row.score: row.value for row in alone.tasks[0].rows}, rel=1e-6
    )


def test_neither_allele_is_the_reference(kit, rows, fasta, tmp_path) -> None:
    others = [base for base in "ACGT" if base != rows[0].ref]
    kit.write_caqtl(tmp_path, [replace(rows[0], ref=others[0], alt=others[1]), *rows[1:]])
    with pytest.raises(UserError, match=r"REF differs from the FASTA\. 1 of 64 variants cannot be scored"):
        benchmark_variants(kit.make_model("caduceus_ph_debug"), tmp_path, fasta, window=32)


def test_an_unknown_chromosome_suggests_near_names(kit, rows, fasta, tmp_path) -> None:
    kit.write_bend(tmp_path, [replace(row, chrom=f"_{row.chrom}") for row in rows])
    with pytest.raises(UserError, match=r"line 2: chr_1:2 .* is not in the FASTA. Did you mean 'chr1'"):
        benchmark_variants(kit.make_model("caduceus_ph_debug"), tmp_path, fasta, window=32)
    with pytest.raises(UserError, match=r"64 of 64 variants cannot be scored \(64 unknown_contig\); is .*GRCh38\?$"):
        benchmark_variants(kit.make_model("caduceus_ph_debug"), tmp_path, fasta, window=32, unscorable="skip")


def test_labels_of_one_class(kit, rows, fasta, tmp_path) -> None:
    kit.write_bend(tmp_path, [replace(row, label=True) for row in rows])
    with pytest.raises(UserError, match="all 64 scorable variants have the label True; both classes are needed"):
        benchmark_variants(kit.make_model("caduceus_ph_debug"), tmp_path, fasta, window=32)


def test_probing(kit, rows, fasta, tmp_path) -> None:
    """The features hold LLR and |LLR|: labels that they decide are learned from other chromosomes."""
    model = kit.make_model("leave_one_out_debug")
    llr = np.array([row.scores[0].mean() for row in scores_of_vcf(model, rows, fasta, tmp_path)])
    labels = np.abs(llr) > np.median(np.abs(llr))
    kit.write_traitgym(tmp_path, [replace(row, label=bool(one)) for row, one in zip(rows, labels, strict=True)])
    result = benchmark_variants(model, tmp_path, fasta, window=32, probe=True)
    assert values(result)[PROBE, "AUPRC"] > 0.8
    assert np.all((result.tasks[0].scores[PROBE] >= 0) & (result.tasks[0].scores[PROBE] <= 1))
    kit.write_bend(tmp_path, rows)
    with pytest.raises(UserError, match="only TraitGym defines this probing"):
        benchmark_variants(model, tmp_path, fasta, window=32, probe=True)


def test_scores_that_a_suite_or_a_model_has_not(kit, rows, fasta, tmp_path) -> None:
    import torch

    import seqsuite
    from seqdna.api import GenomeModel
    from seqdna.tokenizers import NucleotideTokenizer

    kit.write_bend(tmp_path / "bend", rows)
    with pytest.raises(UserError, match="--scores likelihood: BEND defines no such score; use --scores embedding"):
        benchmark_variants(
            kit.make_model("caduceus_ph_debug"), tmp_path / "bend", fasta, window=32, scores="likelihood"
        )
    kit.write_traitgym(tmp_path / "gym", rows)
    torch.manual_seed(0)
    headless = GenomeModel(
        seqsuite.create_model("caduceus_ph_debug", vocab_size=12, head="none"), NucleotideTokenizer()
    )
    (task,) = benchmark_variants(headless, tmp_path / "gym", fasta, window=32).tasks
    assert len(task.scores) == 3
    for options in ({"scores": "all"}, {"probe": True}):
        with pytest.raises(UserError, match="the model predicts no bases"):
            benchmark_variants(headless, tmp_path / "gym", fasta, window=32, **options)


def test_weights_that_are_no_numbers(kit, rows, fasta, tmp_path) -> None:
    import torch

    kit.write_bend(tmp_path, rows)
    model = kit.make_model("caduceus_ph_debug")
    with torch.no_grad():
        next(model.model.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match=r"line 2: chr1:2 .* is no number, as of 64 of 64 variants"):
        benchmark_variants(model, tmp_path, fasta, window=32)
