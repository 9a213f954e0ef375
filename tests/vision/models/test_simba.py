"""SiMBA: its published sizes and names, what it computes, its two ways to start, token labels, timm's contract."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.optim import create_optimizer_v2

import seqvision.models  # noqa: F401 - fills timm's registry
from seqsuite.errors import UserError
from seqvision.models.simba import SiMBABlock, checkpoint_filter_fn
from seqvision.models.simba_convert import from_published, to_published

NAMES = ["test_simba", "test_simba_einfft"]


def make(name="test_simba", **options):
    torch.manual_seed(0)
    return timm.create_model(name, **{"num_classes": 7, **options})


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "millions", "with_token_labels"),
    [
        ("simba_small", 26.14, 26.59),
        ("simba_base", 39.70, 40.21),
        ("simba_large", 66.25, 66.76),
        ("simba_small_einfft", 14.86, 15.31),
        ("simba_base_einfft", 22.31, 22.82),
        ("simba_large_einfft", 36.13, 36.64),
    ],
)
def test_the_published_numbers_of_parameters(name, millions, with_token_labels):
    def count(**options):
        model = timm.create_model(name, device="meta", **options)
        return round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2)

    assert (count(), count(token_label=True)) == (millions, with_token_labels)


def test_the_wildcard_lists_all_names():
    sizes = [f"simba_{size}{mixer}" for size in ("small", "base", "large") for mixer in ("", "_einfft")]
    assert set(timm.list_models("simba_*")) == set(sizes)
    assert set(NAMES) <= set(timm.list_models("test_*"))


@pytest.mark.parametrize("name", NAMES)
def test_names_go_to_the_published_layout_and_back(name, images):
    model = make(name, token_label=True).eval()
    state = model.state_dict()
    published = to_published(state)
    assert len(published) == len(state)
    prefixes = {key.split(".")[0] for key in published}
    assert prefixes == {f"{part}{i}" for part in ("patch_embed", "block", "norm") for i in (1, 2, 3, 4)} | {
        "post_network",
        "head",
        "aux_head",
    }
    assert not any("mixer" in key or "norm1.weight" in key.split(".", 1)[-1] for key in published)
    back = from_published(published)
    assert list(back) == list(state)
    other = timm.create_model(name, num_classes=7, token_label=True).eval()
    other.load_state_dict(checkpoint_filter_fn({"model": {f"module.{k}": x for k, x in published.items()}}, other))
    torch.testing.assert_close(other(images), model(images), rtol=0, atol=0)


def test_a_published_checkpoint_file_loads_through_timm(tmp_path, images):
    source = make(num_classes=1000, token_label=True).eval()
    path = tmp_path / "published.pth"
    torch.save({"state_dict": to_published(source.state_dict())}, path)
    overlay = {"file": str(path)}
    loaded = make(num_classes=1000, token_label=True, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    torch.testing.assert_close(loaded(images), source(images), rtol=0, atol=0)
    finetune = make(num_classes=5, in_chans=1, token_label=True, pretrained=True, pretrained_cfg_overlay=overlay)
    torch.testing.assert_close(finetune.stages.state_dict(), source.stages.state_dict(), rtol=0, atol=0)
    assert finetune.aux_head.weight.shape == finetune.head.weight.shape == (5, 40)
    weights = source.stem.conv[0].weight.sum(1, keepdim=True)
    torch.testing.assert_close(finetune.stem.conv[0].weight, weights)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_seen_alone(name, images):
    model = make(name).eval()
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(model(images), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (40, 100)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_gives_a_map_of_a_32nd_rounded_up(name, size):
    model = make(name).eval()
    x = torch.randn(1, 3, *size)
    features = model.forward_features(x)
    assert features.shape == (1, *(-(-n // 32) for n in size), 40)
    assert model(x).shape == (1, 7)


def test_the_class_token_is_the_mean_behind_a_block_that_sees_it_alone(images):
    model = make("test_simba_einfft").eval()
    cells = model.forward_features(images)
    block = model.class_blocks[0]
    token = cells.mean((1, 2))[:, None]
    token = token + block.mixer(block.norm1(token))
    token = token + block.mlp(block.norm2(token))
    expected = torch.nn.functional.layer_norm(token, (40,), model.norm.weight, model.norm.bias, eps=1e-6)[:, 0]
    torch.testing.assert_close(model.forward_head(cells, pre_logits=True), expected)
    torch.testing.assert_close(model(images), model.head(expected))
    # Cells in another order are the same image to the head.
    torch.testing.assert_close(model.forward_head(cells.flip(1, 2)), model.forward_head(cells), rtol=1e-4, atol=1e-5)


def test_a_block_scans_forward_in_row_major_order():
    torch.manual_seed(0)
    block = SiMBABlock(8, channel_mixer="mlp", conv=False, mixer_options={"d_state": 4}).double()
    x = torch.randn(1, 3, 4, 8, dtype=torch.float64)
    changed = x.clone()
    changed[0, 1, 2, 3] += 1
    moved = (block(changed) != block(x)).any(-1)[0].flatten()
    assert moved.tolist() == [False] * 6 + [True] * 6
    torch.testing.assert_close(block(x.flatten(1, 2)).view_as(x), block(x), rtol=0, atol=0)


def test_a_block_with_einfft_takes_any_number_of_axes():
    torch.manual_seed(0)
    block = SiMBABlock(8, channel_mixer="einfft", mixer_options={"d_state": 4})
    x = torch.randn(2, 3, 2, 4, 8)
    torch.testing.assert_close(block(x), block(x.flatten(1, 3)).view_as(x), rtol=0, atol=0)


def test_mamba_has_a_state_of_64_unless_told_otherwise():
    assert SiMBABlock(8).mixer.d_state == 64
    assert SiMBABlock(8, mixer_options={"expand": 1}).mixer.d_state == 64
    assert SiMBABlock(8, mixer_options={"d_state": 3}).mixer.d_state == 3


@pytest.mark.parametrize(("mixer", "options"), [("s4d", {}), ("attention", {}), ("gla", {"num_heads": 2})])
def test_other_mixers_take_mambas_place(mixer, options, images):
    options = {"mixer_options": options} if options else {}
    model = make(mixer=mixer, embed_dims=(16, 16, 32, 32), **options)
    model(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_initial_step_sizes_are_mambas_or_the_published_ones():
    kept, redrawn = make(init="mamba"), make(init="official")
    for block in [*kept.stages[2].blocks, *kept.class_blocks]:
        steps = torch.nn.functional.softplus(block.mixer.dt_proj.bias)
        assert 0.0009 < steps.min()
        assert steps.max() < 0.11
    for block in [*redrawn.stages[2].blocks, *redrawn.class_blocks]:
        assert (torch.nn.functional.softplus(block.mixer.dt_proj.bias) - 0.6931).abs().max() < 1e-4
        # A truncated normal of deviation 0.02; torch's own draw of this width would have 0.10.
        assert abs(block.mixer.in_proj.weight.std() / 0.02 - 1) < 0.1
        assert torch.equal(block.mixer.D, torch.ones_like(block.mixer.D))
    for model in (kept, redrawn):
        assert abs(model.stages[3].blocks[0].mlp.fc1.weight.std() / 0.02 - 1) < 0.1
        assert not model.stages[3].blocks[0].mlp.fc1.bias.any()


def test_with_token_labels_evaluation_adds_half_of_the_largest_cells(images):
    model = make("test_simba_einfft", token_label=True).eval()
    cells = model.norm(model.forward_features(images))
    plain = model.head(model.forward_head(model.forward_features(images), pre_logits=True))
    largest = torch.stack([model.aux_head(cells[:, i, j]) for i in range(2) for j in range(3)]).max(0).values
    torch.testing.assert_close(model(images), plain + 0.5 * largest)


def test_with_token_labels_training_gives_logits_cells_and_a_box(images):
    model = make(token_label=True).train()
    logits, cells, box = model(images)
    assert logits.shape == (3, 7)
    assert cells.shape == (3, 2 * 3, 7)
    assert len(box) == 4
    (logits.sum() + cells.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


class CellMeans(torch.nn.Sequential):
    """In place of the four stages: the mean of each 8 x 8 cells, in the last stage's width."""

    def __init__(self, width, stages):
        super().__init__(*stages)
        self.width = width

    def forward(self, x):
        means = x.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).mean((2, 4))
        return means.repeat(1, 1, 1, -(-self.width // x.shape[-1]))[..., : self.width]


def test_the_box_is_swapped_in_front_of_the_stages_and_back_behind_them(images, monkeypatch):
    """With a pyramid that averages its cells apart from each other, the logits of the cells are the plain ones."""
    model = make(token_label=True).eval()
    model.stages = CellMeans(40, model.stages)
    plain_cells = model.aux_head(model.norm(model.stages(model.stem(images)))).flatten(1, 2)
    monkeypatch.setattr("seqvision.models.simba_model.draw_box", lambda height, width: (0, 1, height, width))
    boxed: list[torch.Tensor] = []
    model.stages.register_forward_pre_hook(lambda module, args: boxed.append(args[0]))
    _, cells, box = model._forward_tokens(images)
    assert box == (0, 1, 2, 3)
    plain = model.stem(images)
    torch.testing.assert_close(boxed[0][:, :, :8], plain[:, :, :8], rtol=0, atol=0)
    torch.testing.assert_close(boxed[0][:, :, 8:], plain.flip(0)[:, :, 8:], rtol=0, atol=0)
    torch.testing.assert_close(cells, plain_cells)


def test_without_token_labels_there_is_no_second_classifier(images):
    model = make().train()
    assert model.aux_head is None
    assert model(images).shape == (3, 7)


def test_layer_decay_orders_the_groups_by_depth():
    model = make(depths=(1, 2, 1, 1))
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.1, layer_decay=0.5)
    scale = {id(parameter): group["lr_scale"] for group in optimizer.param_groups for parameter in group["params"]}
    by_name = {name: scale[id(parameter)] for name, parameter in model.named_parameters()}
    depth = ["stem.proj", "stages.0.blocks.0.norm2", "stages.1.blocks.0.mlp.fc1", "stages.1.blocks.1.mixer.in_proj"]
    depth += ["stages.2.blocks.0.norm1", "stages.3.blocks.0.norm1", "class_blocks.0.norm1", "head"]
    scales = [by_name[f"{name}.weight"] for name in depth]
    assert scales == [0.5**i for i in range(7, -1, -1)]
    assert by_name["stages.1.downsample.proj.weight"] == by_name["stages.1.blocks.0.norm1.weight"]
    assert by_name["stages.1.norm.weight"] == by_name["stages.1.blocks.1.norm1.weight"]
    assert by_name["norm.weight"] == by_name["class_blocks.0.norm1.weight"]


@pytest.mark.parametrize("name", NAMES)
def test_what_mixers_name_and_biases_are_not_decayed(name):
    model = make(name)
    optimizer = create_optimizer_v2(model, "adamw", lr=1e-3, weight_decay=0.1)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] > 0 for p in group["params"]}
    named = {parameter_name for parameter_name, p in model.named_parameters() if id(p) in decayed}
    assert not any("A_log" in n or n.endswith((".D", "bias", "bias_1", "bias_2")) or "norm" in n for n in named)
    assert any("in_proj.weight" in n for n in named)
    assert model.no_weight_decay() <= {parameter_name for parameter_name, _ in model.named_parameters()}


@pytest.mark.parametrize("name", NAMES)
def test_checkpointing_changes_no_gradient(name, images):
    gradients = []
    for enable in (False, True):
        model = make(name).train()
        model.set_grad_checkpointing(enable)
        assert model.grad_checkpointing is enable
        model(images).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize("name", NAMES)
def test_features_only_gives_the_stages_maps(name, images):
    torch.manual_seed(0)
    pyramid = timm.create_model(name, features_only=True, out_indices=(1, 3)).eval()
    assert pyramid.feature_info.channels() == [24, 40]
    assert pyramid.feature_info.reduction() == [8, 32]
    model = make(name).eval()
    model.load_state_dict(pyramid.model.state_dict(), strict=False)
    x = model.stem(images)
    second = model.stages[1](model.stages[0](x))
    last = model.stages[3](model.stages[2](second))
    for ours, expected in zip(pyramid(images), (second, last), strict=True):
        torch.testing.assert_close(ours, expected.permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", NAMES)
def test_in_bfloat16_the_logits_stay_near(name, images):
    model = make(name).eval()
    expected = model(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(images)
    half = model.to(torch.bfloat16)(images.to(torch.bfloat16))
    assert half.dtype == torch.bfloat16
    # bfloat16 has 8 bits: two to three per cent of the logits' size after five blocks.
    for logits in (mixed, half):
        assert (logits.float() - expected).norm() < 0.05 * expected.norm()


def test_dtype_and_device_hold_for_every_parameter():
    model = timm.create_model("test_simba_einfft", device="meta", dtype=torch.float64)
    assert {(x.device.type, x.dtype) for x in model.parameters()} == {("meta", torch.float64)}
    filled = model.to_empty(device="cpu")
    filled.init_weights()
    assert filled.no_weight_decay() == make("test_simba_einfft").no_weight_decay()
    assert torch.isfinite(filled.eval()(torch.randn(1, 3, 32, 32, dtype=torch.float64))).all()


def test_the_head_is_reset_in_place(images):
    model = make().eval()
    token = model.forward_head(model.forward_features(images), pre_logits=True)
    model.reset_classifier(0)
    torch.testing.assert_close(model(images), token, rtol=0, atol=0)
    model.reset_classifier(4)
    assert model(images).shape == (3, 4)
    model.reset_classifier(0, "avg")
    cells = model.norm(model.forward_features(images))
    torch.testing.assert_close(model(images), cells.mean((1, 2)))
    model.reset_classifier(0, "")
    torch.testing.assert_close(model(images), cells)


@pytest.mark.parametrize("init", ["mamba", "official"])
def test_a_class_block_that_was_given_up_is_drawn_anew(images, init):
    model = make(init=init).to(torch.float64)
    names = {name: value.shape for name, value in model.state_dict().items()}
    model.reset_classifier(4, "avg")
    model.eval().reset_classifier(4, "token")
    after = model.state_dict()
    assert {name: value.shape for name, value in after.items() if not name.startswith("head.")} == {
        name: shape for name, shape in names.items() if not name.startswith("head.")
    }
    assert all(value.dtype == torch.float64 for value in after.values() if value.is_floating_point())
    assert not any(module.training for module in model.modules())
    assert model(images.double()).shape == (3, 4)
    # The initial values are those of a new model's class block: linear layers N(0, 0.02), Mamba's only where asked.
    block = model.class_blocks[0]
    assert 0.015 < float(block.mlp.fc1.weight.detach().std()) < 0.025
    assert (0.015 < float(block.mixer.in_proj.weight.detach().std()) < 0.025) == (init == "official")


def test_drop_path_rises_to_the_last_block_and_spares_the_class_block():
    model = make(drop_path_rate=0.4)
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert isinstance(model.class_blocks[0].drop_path, torch.nn.Identity)


def test_an_unknown_argument_is_a_type_error():
    with pytest.raises(TypeError, match="not_an_argument"):
        make(not_an_argument=1)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"mixer": "mambo"}, "Unknown mixer 'mambo'"),
        ({"mixer_options": {"d_stat": 8}}, "'d_stat'"),
        ({"channel_mixer": "EinFTT"}, "Unknown channel mixer 'EinFTT'"),
        ({"init": "mamba2"}, "Unknown init 'mamba2'"),
        ({"embed_dims": (16, 24, 32)}, "embed_dims, depths and mlp_ratios have 3, 4, 4 entries"),
        ({"embed_dims": (16, 24, 32, 42), "channel_mixer": "einfft"}, "the width 42 is no multiple of 4 blocks"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(options, line):
    with pytest.raises(UserError, match=line):
        make(**options)
