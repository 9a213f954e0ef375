"""`seqdna import` and `export`: every layout, strict, with its vocabulary, and back bit for bit."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import seqdna
import seqsuite
from seqdna.checkpoints import export_checkpoint, import_checkpoint, read_checkpoint
from seqdna.cli import main
from seqdna.tokenizers import CADUCEUS_TOKENS, NucleotideTokenizer
from seqsuite.errors import UserError

EMBEDDING = "caduceus.backbone.embeddings.word_embeddings.embedding.weight"
PLANT = (0, 1, 2, 6, 5, 4, 3, 7)


def refused(capsys, *arguments: object) -> str:
    """Run the program, expect exit code 2, and return its one line."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("kind", ["safetensors", "bin", "ckpt"])
@pytest.mark.parametrize("options", [{"swap_halves": True}, {}, {"rcps": False}], ids=["fused", "unfused", "ph"])
def test_a_published_folder_becomes_ours(make, publish, tokens, tmp_path, capsys, kind, options):
    model = make(**options)
    folder = publish(tmp_path / "published", model, kind=kind)
    assert main(["import", str(folder), str(tmp_path / "ours"), "--json", "true"]) == 0
    out, told = capsys.readouterr()
    assert sorted(os.listdir(tmp_path / "ours")) == ["README.md", "config.json", "model.safetensors", "tokenizer.json"]
    ours = seqsuite.load_model(tmp_path / "ours")
    assert torch.equal(ours(tokens), model(tokens))
    found = json.loads(out)
    assert found["family"] == "caduceus"
    assert found["parameters"] == model.num_parameters()
    assert told.count("padding='as_published'") == 1
    assert told.count("swap_halves=") == bool(options.get("rcps", True))
    assert f"swap_halves={bool(options.get('swap_halves'))}" in told or not options.get("rcps", True)
    words = NucleotideTokenizer.from_dict(json.loads((tmp_path / "ours" / "tokenizer.json").read_text()))
    assert words.tokens == CADUCEUS_TOKENS
    assert ours.config.pad_token_id == words.pad_id


def test_an_imported_model_is_one_that_the_other_commands_read(make, publish, tmp_path):
    import_checkpoint(publish(tmp_path / "published", make()), tmp_path / "ours")
    assert seqdna.load(tmp_path / "ours").embed(["ACGTACGT"]).width == 16


@pytest.mark.parametrize("swap_halves", [True, False])
def test_published_weights_that_are_used_as_they_are_say_once_how_they_were_read(
    make, publish, tmp_path, caplog, swap_halves
):
    folder = publish(tmp_path / "published", make(swap_halves=swap_halves))
    (tmp_path / "s.fa").write_text(">s\nACGT\n")
    assert main(["embed", str(folder), str(tmp_path / "s.fa"), "--out", str(tmp_path / "v.npz")]) == 0
    (line,) = caplog.messages
    assert line.startswith(f"{folder}: published weights, read with swap_halves={swap_halves}, padding='as_published'")
    caplog.clear()
    seqdna.load(folder, swap_halves=not swap_halves, padding="masked")
    assert f"swap_halves={not swap_halves}, padding='masked'" in caplog.text
    caplog.clear()
    import_checkpoint(folder, tmp_path / "ours")
    seqdna.load(tmp_path / "ours")
    seqdna.load(publish(tmp_path / "ph", make(rcps=False)))
    (line,) = caplog.messages
    assert "read with padding='as_published'" in line


def test_flags_overrule_the_checkpoint(make, publish, tokens, tmp_path):
    folder = publish(tmp_path / "published", make(swap_halves=True))
    flags = ("--swap_halves", "false", "--padding", "masked", "--lower", "n")
    assert main(["import", str(folder), str(tmp_path / "other"), *flags]) == 0
    loaded = read_checkpoint(tmp_path / "other")
    assert (loaded.config.swap_halves, loaded.config.padding, loaded.tokenizer.lower) == (False, "masked", "n")
    padded = torch.cat((torch.full((2, 5), 4), tokens), 1)
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(padded)[:, 5:], loaded.model(tokens), atol=1e-5, rtol=1e-5)
    import_checkpoint(folder, tmp_path / "same")
    with torch.inference_mode():
        published = read_checkpoint(tmp_path / "same").model
        assert not torch.allclose(published(padded)[:, 5:], published(tokens), atol=1e-5)


def test_a_single_weights_file_takes_its_config_from_a_flag(make, publish, tokens, tmp_path, capsys):
    model = make()
    folder = publish(tmp_path / "published", model, kind="ckpt")
    shutil.move(folder / "config.json", tmp_path / "elsewhere.json")
    line = refused(capsys, "import", folder / "weights.ckpt", tmp_path / "ours")
    assert "weights.ckpt: has no config.json beside it; say --source_config FILE" in line
    command = ["import", folder / "weights.ckpt", tmp_path / "ours", "--source_config", tmp_path / "elsewhere.json"]
    assert main([str(argument) for argument in command]) == 0
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens), model(tokens))
    line = refused(capsys, *command[:3], "--source_config", tmp_path / "nowhere.json", "--overwrite", "true")
    assert "nowhere.json: there is no such file" in line


class Hostile:
    """Executes a program where a pickle is read as pickles are."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return (os.system, (self.command,))


def test_nothing_in_a_trainer_s_checkpoint_is_executed(make, publish, tokens, tmp_path):
    model = make()
    folder = publish(tmp_path / "published", model, kind="ckpt")
    content = torch.load(folder / "weights.ckpt")
    trap = tmp_path / "executed"
    content["hyper_parameters"] = {"config": Hostile(f"touch {trap}")}
    torch.save(content, folder / "weights.ckpt")
    import_checkpoint(folder, tmp_path / "ours")
    assert not trap.exists()
    assert torch.equal(seqsuite.load_model(tmp_path / "ours")(tokens), model(tokens))


def plant(make):
    return make(swap_halves=True, vocab_size=8, complement_map=PLANT, pad_token_id=None, residual_in_fp32=True)


def test_plant_caduceus_brings_its_own_vocabulary(make, publish, tmp_path):
    model = plant(make)
    import_checkpoint(publish(tmp_path / "published", model, pad_token_id=-100), tmp_path / "ours")
    loaded = read_checkpoint(tmp_path / "ours")
    assert loaded.tokenizer.encode("ACGTacgt").tolist() == [3, 4, 5, 6] * 2
    assert loaded.config.residual_in_fp32
    assert loaded.config.full_complement_map == PLANT
    ids = torch.from_numpy(loaded.tokenizer.encode("ACGGTTAC").astype("int64"))[None]
    assert torch.equal(loaded.model(ids), model(ids))


@pytest.mark.parametrize("kind", ["tokenizers", "table"])
def test_a_vocabulary_beside_the_weights_is_the_one_that_is_taken(make, publish, tmp_path, kind):
    folder = publish(tmp_path / "published", plant(make))
    ids = {"[MASK]": 0, "<pad>": 1, "[UNK]": 2, "a": 3, "c": 4, "g": 5, "t": 6}
    content = {"version": "1.0", "model": {"type": "WordLevel", "vocab": ids}}
    content["added_tokens"] = [{"id": 7, "content": "[CLS]"}]
    name = "tokenizer.json" if kind == "tokenizers" else "vocab.json"
    (folder / name).write_text(json.dumps(content if kind == "tokenizers" else ids | {"[CLS]": 7}))
    import_checkpoint(folder, tmp_path / "ours")
    words = read_checkpoint(tmp_path / "ours").tokenizer
    assert words.tokens == ("[MASK]", "[PAD]", "[UNK]", "A", "C", "G", "T", "[CLS]")
    assert read_checkpoint(tmp_path / "ours").config.pad_token_id == 1


def test_a_causal_mamba_over_bases_is_a_genome_model_and_one_over_words_is_not(tmp_path, tokens, capsys):
    from seqsuite.models.convert import to_published

    def write(folder, **options):
        torch.manual_seed(0)
        model = seqsuite.create_model("mamba_lm_debug", **options).eval()
        state = {name: tensor.clone() for name, tensor in to_published(model.state_dict(), model.config).items()}
        folder.mkdir()
        save_file(state, folder / "model.safetensors")
        fields = {"d_model": 32, "n_layer": 2, "vocab_size": model.config.vocab_size, "ssm_cfg": {"d_state": 8}}
        (folder / "config.json").write_text(json.dumps(fields))
        return model

    model = write(tmp_path / "dna", vocab_size=12)
    assert import_checkpoint(tmp_path / "dna", tmp_path / "ours").family == "mamba"
    ours = read_checkpoint(tmp_path / "ours")
    assert ours.config.head == "causal_lm"
    assert torch.equal(ours.model(tokens), model(tokens))
    write(tmp_path / "words", vocab_size=50277)
    line = refused(capsys, "import", tmp_path / "words", tmp_path / "x")
    assert f"{tmp_path / 'words'}: its embedding has 50280 rows, which no known vocabulary of bases has" in line
    assert not (tmp_path / "x").exists()


VARIANTS = [
    ("caduceus_ps_debug", {"swap_halves": True}),
    ("caduceus_ps_debug", {"bidirectional_strategy": "ew_multiply", "bidirectional_weight_tie": False}),
    ("caduceus_ph_debug", {"norm": "layer", "mixer_options": {"bias": True, "d_state": 3}}),
    ("caduceus_ps_debug", {"head": "sequence_classification", "num_classes": 3, "pooling": "max"}),
    ("caduceus_ph_debug", {"head": "sequence_classification", "conjoin_eval": True}),
    ("caduceus_ps_debug", {"head": "none"}),
    ("mamba_dna_debug", {"residual_in_fp32": True}),
    ("caduceus_ps_debug", {"vocab_size": 8, "complement_map": PLANT, "pad_token_id": 0}),
    ("hyenadna_debug", {}),
    ("hyenadna_debug", {"mixer_options": {"l_max": 40, "shift": 0.05, "trainable_positions": True}, "d_inner": 24}),
    ("hyenadna_debug", {"head": "sequence_classification", "num_classes": 3}),
]


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_an_export_imports_bit_for_bit(make, tmp_path, name, options):
    model = make(name, **options)
    plants = options.get("vocab_size") == 8
    words = NucleotideTokenizer(tokens=("[PAD]", "[MASK]", "[UNK]", *"ACGT")) if plants else NucleotideTokenizer()
    model.save_pretrained(tmp_path / "first")
    (tmp_path / "first" / "tokenizer.json").write_text(json.dumps(words.to_dict()))
    assert main(["export", str(tmp_path / "first"), str(tmp_path / "out"), "--layout", "huggingface"]) == 0
    assert main(["import", str(tmp_path / "out"), str(tmp_path / "second")]) == 0
    first, second = (load_file(tmp_path / folder / "model.safetensors") for folder in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    again = read_checkpoint(tmp_path / "second")
    ids = torch.from_numpy(words.encode("ACGTTGCAACGGTTA").astype("int64"))[None]
    assert torch.equal(again.model(ids), model(ids))
    assert again.tokenizer.tokens == words.tokens
    assert main(["export", str(tmp_path / "second"), str(tmp_path / "third")]) == 0
    for file in ("model.safetensors", "config.json", "vocab.json"):
        assert (tmp_path / "out" / file).read_bytes() == (tmp_path / "third" / file).read_bytes(), file


def reference(case: Path) -> tuple[dict, dict, dict]:
    weights, io = (load_file(case / f"{name}.safetensors") for name in ("weights", "io"))
    return json.loads((case / "config.json").read_text()), weights, io


def cases() -> list:
    root = Path(__file__).resolve().parents[2] / "parity" / "cases"
    folders = sorted(path for system in ("caduceus", "hyenadna") for path in (root / system).glob("*"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.name}") for path in folders]


@pytest.mark.parametrize("case", cases())
def test_reference_weights_survive_import_and_export(case, tmp_path):
    """What a public implementation wrote comes back under its own names, and computes what it computed."""
    described, weights, io = reference(case)
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(described["hyperparameters"]))
    save_file(weights, folder / "model.safetensors")
    import_checkpoint(folder, tmp_path / "ours")
    export_checkpoint(tmp_path / "ours", tmp_path / "back")
    back = load_file(tmp_path / "back" / "model.safetensors")
    tables = ("pos_emb.z", "pos_emb.t", "modulation.deltas")
    for name, tensor in weights.items():
        if name.endswith(tables):  # functions of the sizes: computed again, not stored
            torch.testing.assert_close(back[name], tensor, atol=1e-4, rtol=0)
        else:
            assert torch.equal(back[name], tensor), name
    expected = io.get("logits", io.get("cls_logits"))
    if expected is None:
        return
    tolerance = described["tolerance"]
    got = read_checkpoint(tmp_path / "ours").model(io["input_ids"])
    torch.testing.assert_close(got, expected, atol=tolerance["atol"], rtol=tolerance["rtol"])


def edit(folder: Path, change) -> None:
    """Change the tensors of a folder."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def json_of(folder: Path, name: str = "config.json", **changes: object) -> None:
    path = folder / name
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | changes))


WORDS = {"version": "1.0", "model": {"type": "BPE", "vocab": {"the": 0, "a": 1}}}
LONG = {f"[X{number}]": number for number in range(20)} | {"A": 20, "C": 21, "G": 22, "T": 23, "N": 24}
SPOILT = [
    (lambda f: cut(f / "model.safetensors"), r"model\.safetensors: is damaged or no safetensors file"),
    (
        lambda f: edit(f, lambda t: t.pop("caduceus.backbone.norm_f.weight")),
        r"lacks caduceus\.backbone\.norm_f\.weight",
    ),
    (lambda f: edit(f, lambda t: t.update(stranger=torch.ones(1))), r"has unknown stranger"),
    (
        lambda f: edit(f, lambda t: t.update({"caduceus.backbone.norm_f.weight": torch.ones(17)})),
        r"has wrong shapes: backbone\.norm_f\.weight is \(17,\), not \(16,\)",
    ),
    (
        lambda f: json_of(f, fused_add_norm=False),
        r"config says fused_add_norm=False, but the tensors have the names of a fused model",
    ),
    (lambda f: json_of(f, d_model=32), r"has wrong shapes: embedding\.weight is \(16, 16\), not \(16, 32\)"),
    (lambda f: json_of(f, n_layer=3), r"lacks caduceus\.backbone\.layers\.2\."),
    (lambda f: json_of(f, d_model="wide"), r"its config's d_model must be a whole number, not 'wide'"),
    (lambda f: (f / "config.json").write_text('{"model_type": "gpt2", "n_embd": 8}'), r"its config lacks '[a-z_]+'"),
    (lambda f: (f / "config.json").write_text("{"), r"config\.json: is not valid JSON"),
    (lambda f: (f / "config.json").unlink(), r"has no config\.json beside it; say --source_config FILE"),
    (lambda f: (f / "model.safetensors").unlink(), r"holds none of model\.safetensors"),
    (lambda f: json_of(f, "tokenizer.json", **WORDS), r"tokenizer\.json: its vocabulary has words such as 'the'"),
    (
        lambda f: json_of(f, "vocab.json", **LONG),
        r"vocab\.json: does not match the checkpoint: it has 25 tokens, but the checkpoint's embedding has 16 rows",
    ),
    (
        lambda f: json_of(f, "vocab.json", **dict(zip("TGCANX", range(6), strict=True))),
        r"vocab\.json: does not match the checkpoint: it has 6 tokens, but the checkpoint's embedding has 16 rows",
    ),
    (
        lambda f: json_of(f, "vocab.json", **{t: i for i, t in enumerate((*CADUCEUS_TOKENS[:7], *"ATCGN"))}),
        r"vocab\.json: does not match the checkpoint: it pairs the bases otherwise",
    ),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILT)
def test_what_is_wrong_with_a_checkpoint_is_named(make, publish, tmp_path, capsys, spoil, message):
    folder = publish(tmp_path / "published", make(swap_halves=True))
    spoil(folder)
    line = refused(capsys, "import", folder, tmp_path / "ours")
    assert re.search(message, line), line
    assert "published" in line
    assert not (tmp_path / "ours").exists()


def test_a_text_model_is_no_genome_model(tmp_path, capsys):
    folder = tmp_path / "gpt2"
    folder.mkdir()
    state = {"transformer.wte.weight": torch.ones(50, 8), "transformer.h.0.ln_1.weight": torch.ones(8)}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "gpt2", "n_embd": 8, "vocab_size": 50}')
    line = refused(capsys, "import", folder, tmp_path / "ours")
    assert (
        "gpt2: is no genome model that is known here (its config calls it 'gpt2', its tensors are transformer" in line
    )


def test_models_of_ours_and_places_that_are_taken(make, publish, tmp_path, capsys):
    make().save_pretrained(tmp_path / "own")
    line = refused(capsys, "import", tmp_path / "own", tmp_path / "x")
    assert f"{tmp_path / 'own'}: is a model of SeqSuite already and needs no import" in line
    line = refused(capsys, "import", tmp_path / "nowhere", tmp_path / "x")
    assert "nowhere: does not exist" in line
    folder = publish(tmp_path / "published", make())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    line = refused(capsys, "import", folder, tmp_path / "full")
    assert f"{tmp_path / 'full'} is not empty; add --overwrite or choose another folder" in line
    assert main(["import", str(folder), str(tmp_path / "full"), "--overwrite", "true"]) == 0
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    line = refused(capsys, "export", folder, folder / "config.json")
    assert "config.json: is a file; give a folder to write" in line


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--l_max", "40"), r"config.json: says the model's length itself; leave --l_max away"),
        (("--shift", "0.1"), r"is a checkpoint of caduceus, which has no shift; leave --shift away"),
        (("--revision", "main"), r"--revision belongs to a hub id"),
        (("--l_max", "0"), r"--l_max is 0; it must be at least 1"),
        (("--tokenizer", "nowhere.json"), r"--tokenizer nowhere.json: there is no such file"),
        (("--padding", "none"), r"padding"),
    ],
)
def test_flags_that_do_not_belong(make, publish, tmp_path, capsys, flags, message):
    folder = publish(tmp_path / "published", make())
    assert message in refused(capsys, "import", folder, tmp_path / "ours", *flags)


def test_what_has_no_published_layout_is_not_exported(make, tmp_path, capsys):
    make("leave_one_out_debug").save_pretrained(tmp_path / "loo")
    line = refused(capsys, "export", tmp_path / "loo", tmp_path / "x")
    assert f"{tmp_path / 'loo'}: is a LeaveOneOut, for which there is no published layout" in line
    seqsuite.create_model("mamba_lm_debug").save_pretrained(tmp_path / "text")
    line = refused(capsys, "export", tmp_path / "text", tmp_path / "x")
    assert "holds a MixerLM, which is no genome model of seqdna" in line
    with pytest.raises(UserError, match=r"Unknown layout 'onnx'"):
        export_checkpoint(tmp_path / "loo", tmp_path / "x", layout="onnx")


def test_an_export_of_a_model_that_masks_padding_says_what_is_lost(make, tmp_path, capsys):
    torch.manual_seed(0)
    seqsuite.create_model("caduceus_ps_debug").save_pretrained(tmp_path / "own")
    assert main(["export", str(tmp_path / "own"), str(tmp_path / "out")]) == 0
    assert "cannot say padding='masked'" in capsys.readouterr().err


def hyena(make, tmp_path, **options) -> tuple:
    from seqdna.convert_hyenadna import to_published

    model = make("hyenadna_debug", **options)
    return model, {name: tensor.clone() for name, tensor in to_published(model.state_dict(), model.config).items()}


def test_a_hyenadna_checkpoint_without_a_config_is_read_from_its_shapes(make, tokens, tmp_path, capsys):
    options = {"l_max": 50, "filter_width": 8, "shift": 0.05, "emb_dim": 5}
    model, state = hyena(make, tmp_path, mixer_options=options, d_inner=24)
    prefixed = OrderedDict({f"model.{name}": tensor for name, tensor in state.items()})
    hostile = Hostile(f"touch {tmp_path / 'x'}")
    torch.save({"state_dict": prefixed, "hyper_parameters": hostile}, tmp_path / "weights.ckpt")
    assert main(["import", str(tmp_path / "weights.ckpt"), str(tmp_path / "ours")]) == 0
    told = capsys.readouterr().err
    assert "shift=0.05" in told
    assert "lower case letters become [UNK]" in told
    ours = read_checkpoint(tmp_path / "ours")
    assert torch.equal(ours.model(tokens), model(tokens))
    assert ours.flags["l_max"] == 50
    assert ours.tokenizer.encode("aA").tolist() == [6, 7]
    assert not (tmp_path / "x").exists()


def test_a_hyenadna_checkpoint_without_positions_asks_for_its_length(make, tokens, tmp_path, capsys):
    model, state = hyena(make, tmp_path, mixer_options={"l_max": 50, "shift": 0.05})
    save_file({name: tensor for name, tensor in state.items() if "pos_emb" not in name}, tmp_path / "w.safetensors")
    line = refused(capsys, "import", tmp_path / "w.safetensors", tmp_path / "ours")
    assert "w.safetensors: neither a config nor a stored pos_emb says its length; say --l_max" in line
    import_checkpoint(tmp_path / "w.safetensors", tmp_path / "ours", l_max=50)
    assert torch.equal(read_checkpoint(tmp_path / "ours").model(tokens), model(tokens))
    save_file(state, tmp_path / "z.safetensors")
    line = refused(capsys, "import", tmp_path / "z.safetensors", tmp_path / "b", "--l_max", 60)
    assert "--l_max is 60, but the stored pos_emb has 50 positions" in line


def test_the_floor_of_the_fading_is_the_one_that_was_asked_for(make, tokens, tmp_path):
    model, state = hyena(make, tmp_path, mixer_options={"l_max": 50, "shift": 0.0})
    save_file(state, tmp_path / "w.safetensors")
    assert main(["import", str(tmp_path / "w.safetensors"), str(tmp_path / "none"), "--shift", "0"]) == 0
    import_checkpoint(tmp_path / "w.safetensors", tmp_path / "published")
    none, published = (read_checkpoint(tmp_path / name) for name in ("none", "published"))
    assert (none.flags["shift"], published.flags["shift"]) == (0.0, 0.05)
    assert torch.equal(none.model(tokens), model(tokens))
    assert not torch.allclose(published.model(tokens), model(tokens))


def test_the_hf_layout_of_hyenadna_is_read(make, tokens, tmp_path):
    from seqdna.convert_hyenadna import config_to_published, to_published

    model = make("hyenadna_debug", mixer_options={"l_max": 50, "shift": 0.05, "trainable_positions": True})
    state = to_published(model.state_dict(), model.config, layout="hf")
    raw = config_to_published(model.config)
    layer = raw.pop("layer")
    raw |= {"model_type": "hyenadna", "max_seq_len": layer["l_max"], "hyena_order": 2, "short_filter_order": 3}
    raw |= {"activation_freq": layer["w"], "filter_order": layer["filter_order"], "emb_dim": layer["emb_dim"]}
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(raw))
    save_file({name: tensor.clone() for name, tensor in state.items()}, folder / "model.safetensors")
    assert import_checkpoint(folder, tmp_path / "ours").family == "hyenadna"
    torch.testing.assert_close(read_checkpoint(tmp_path / "ours").model(tokens), model(tokens), atol=1e-6, rtol=1e-5)
