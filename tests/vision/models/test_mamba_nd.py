"""MambaND: laws of the model, timm's contract, and parts against torch's own layers."""

from __future__ import annotations

import copy
import itertools

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.models import FeatureInfo
from timm.optim import create_optimizer_v2
from torch import Tensor, nn

import seqvision.models  # noqa: F401  enters the names
from seqsuite.backbones import ScanOrder, alternating_orders
from seqsuite.errors import UserError
from seqsuite.training.optim import parameter_groups
from seqvision.models.mamba_nd import MambaND, MambaNDBlock
from seqvision.models.mamba_nd_parts import GridMerge, GridPatchEmbed, resample_positions

SMALL = {"patch_size": 4, "embed_dim": 12, "depth": 4, "num_classes": 5, "mixer_options": {"d_state": 4}}


def build(**given) -> MambaND:
    torch.manual_seed(0)
    model = MambaND(**({"img_size": 16} | SMALL | given)).eval()
    if model.num_classes:
        nn.init.normal_(model.head.weight)  # the published start is close to zero and would hide differences
    return model


def images(*size: int, batch: int = 2, channels: int = 3) -> Tensor:
    return torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(1))


SIZES = {1: (20,), 2: (12, 20), 3: (4, 8, 12), 4: (4, 4, 8, 4)}


@pytest.mark.parametrize("ndim", SIZES)
def test_any_number_of_axes(ndim):
    model = build(img_size=SIZES[ndim], patch_size=(4,) * ndim, merge_after=(1,), in_chans=2)
    x = images(*SIZES[ndim], channels=2)
    features = model.forward_features(x)
    assert features.shape == (2, *(-(-n // 8) for n in SIZES[ndim]), 12)
    assert model.forward_head(features, pre_logits=True).shape == (2, 12)
    model(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_an_image_is_a_video_of_one_frame():
    """With one frame and the first four of the six orders the video model computes what the image model does."""
    image = build(img_size=(12, 20), depth=6, pos_drop_rate=0.5)
    video = build(img_size=(1, 12, 20), patch_size=(1, 4, 4), depth=6, orders=alternating_orders(3)[:4])
    weights = image.state_dict()
    weights["pos_embed"] = weights["pos_embed"][:, None]
    weights["patch_embed.proj.weight"] = weights["patch_embed.proj.weight"][:, :, None]
    video.load_state_dict(weights)
    x = images(12, 20)
    torch.testing.assert_close(video(x[:, :, None]), image(x))


def test_a_block_is_the_formula():
    torch.manual_seed(0)
    block = MambaNDBlock(6, ScanOrder((1, 0), reverse=True), mixer_options={"d_state": 3})
    x = torch.randn(2, 3, 4, 6)
    normed = F.layer_norm(x, (6,), block.norm.weight, block.norm.bias)
    columns = normed.transpose(1, 2).flatten(1, 2).flip(1)
    mixed = block.mixer(columns).flip(1).view(2, 4, 3, 6).transpose(1, 2)
    torch.testing.assert_close(block(x), normed + mixed)
    block.skip = False
    torch.testing.assert_close(block(x), mixed)
    torch.testing.assert_close(block(7 * x + 3), mixed, atol=1e-4, rtol=1e-4)  # nothing goes around the norm


@pytest.mark.parametrize(("conv", "ndim"), [(F.conv1d, 1), (F.conv2d, 2), (F.conv3d, 3)])
def test_patches_are_a_strided_convolution_of_the_padded_or_cut_input(conv, ndim):
    patch, size = (2, 3, 4)[:ndim], (5, 9, 6)[:ndim]
    x = images(*size)
    for pad in (True, False):
        embed = GridPatchEmbed(size, patch, 3, 8, pad=pad)
        padded = F.pad(x, [0, 2, 0, 0, 0, 1][-2 * ndim :]) if pad else x
        expected = conv(padded, embed.proj.weight, embed.proj.bias, stride=patch).movedim(1, -1)
        torch.testing.assert_close(embed(x), expected)
        assert embed.grid_size == expected.shape[1:-1]


def test_merging_is_unfold_norm_linear():
    merge = GridMerge(6, 2)
    x = torch.randn(2, 3, 4, 6)
    columns = F.unfold(F.pad(x.movedim(-1, 1), (0, 0, 0, 1)), 2, stride=2).transpose(1, 2)
    torch.testing.assert_close(merge(x), merge.reduction(merge.norm(columns)).view(2, 2, 2, 6))


def test_positions_are_resampled_as_torch_does():
    x = torch.randn(1, 3, 4, 5, 6)
    for new in ((6, 4, 7), (3, 2, 5), (2, 4, 5)):
        expected = F.interpolate(x.movedim(-1, 1), new, mode="trilinear").movedim(1, -1)
        torch.testing.assert_close(resample_positions(x, new), expected)
    x = torch.randn(1, 4, 5, 6)
    expected = F.interpolate(x.movedim(-1, 1), (7, 3), mode="bicubic").movedim(1, -1)
    torch.testing.assert_close(resample_positions(x, (7, 3)), expected)
    assert resample_positions(x, (4, 5)) is x
    assert resample_positions(torch.randn(1, 3, 4, 5, 2, 6), (3, 4, 5, 4)).shape == (1, 3, 4, 5, 4, 6)


@pytest.mark.parametrize("interval", [2, 3])
def test_blocks_in_parallel_read_the_same_features(interval):
    model = build(update_interval=interval)
    x = model.patch_embed(images(16, 16)) + model.pos_embed
    for first in range(0, 4, interval):
        x = x + sum(block(x) for block in list(model.blocks)[first : first + interval])
    torch.testing.assert_close(model.forward_features(images(16, 16)), model.norm(x))


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        (None, [(0, 1, 2)] * 2 + [(0, 2, 1)] * 2 + [(2, 1, 0)] * 2 + [(0, 1, 2)] * 2),
        ("row", [(0, 1, 2)] * 8),
        ("planar", [(0, 1, 2)] * 2 + [(0, 2, 1)] * 2 + [(0, 1, 2)] * 4),
        ("hw_t", [(1, 2)] * 2 + [(2, 1)] * 2 + [(2, 1, 0)] * 2 + [(1, 2)] * 2),
        ("h_w_t", [(2,)] * 2 + [(1,)] * 2 + [(0,)] * 2 + [(2,)] * 2),
    ],
)
def test_named_orders(orders, expected):
    model = build(img_size=(2, 8, 8), patch_size=(1, 4, 4), depth=8, orders=orders)
    assert [block.order.axes for block in model.blocks] == expected
    assert [block.order.reverse for block in model.blocks] == [False, True] * 4


def test_frames_kept_apart_do_not_see_each_other():
    model = build(img_size=(3, 8, 8), patch_size=(1, 4, 4), depth=4, orders="hw_t", final_norm=False)
    x = images(3, 8, 8)
    y = model.forward_features(x)
    x[:, :, 1] += 1
    moved = (model.forward_features(x) != y).flatten(2).any(-1)
    assert moved.tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("mixer", ["gla", "s4d", "mamba*3, tcn"])
def test_other_mixers(mixer):
    model = build(mixer=mixer, mixer_options=None)
    model(images(16, 16)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert {*model.no_weight_decay()} <= {name for name, _ in model.named_parameters()}


# timm's contract ---------------------------------------------------------------------------------------------------

NAMES = {
    "mamba_nd_small_patch8_224": (24.51, 24.12, (14, 14)),
    "mamba_nd_base_patch8_224": (94.43, 93.66, (14, 14)),
    "mamba_nd_3d_small_patch2x16_32x224": (36.56, 36.52, (16, 14, 14)),
    # Half the patch weights of the one above; the norm in front of the classifier belongs to that.
    "mamba_nd_3d_small_patch1x16_16x224": (36.38, 36.23, (16, 14, 14)),
}


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_on_the_meta_device(name):
    whole, backbone, grid = NAMES[name]
    model = timm.create_model(name, device="meta", dtype=torch.float64)
    tensors = [*model.parameters(), *model.buffers()]
    assert {(tensor.device.type, tensor.dtype) for tensor in tensors} == {("meta", torch.float64)}
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 2) == whole
    if name.startswith("mamba_nd_3d"):
        count -= sum(parameter.numel() for parameter in model.fc_norm.parameters())  # of the classifier there
    assert round((count - model.head.weight.numel() - model.head.bias.numel()) / 1e6, 2) == backbone
    x = torch.empty(1, 3, *model.patch_embed.img_size, device="meta", dtype=torch.float64)
    assert model.forward_features(x).shape == (1, *grid, model.embed_dim)
    assert model(x).shape == (1, model.num_classes)


def test_names_and_configurations():
    assert {*NAMES, "test_mamba_nd", "test_mamba_nd_3d"} <= set(timm.list_models("*mamba_nd*"))
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        timm.create_model("test_mamba_nd", pretrained=True)
    with pytest.raises(TypeError, match="patch_sise"):
        timm.create_model("test_mamba_nd", patch_sise=4)
    config = timm.data.resolve_data_config(model=timm.create_model("mamba_nd_small_patch8_224", device="meta"))
    assert (config["input_size"], config["crop_pct"]) == ((3, 224, 224), 0.875)
    video = timm.create_model("test_mamba_nd_3d", img_size=(8, 16, 16), in_chans=1, num_classes=3)
    assert video(images(8, 16, 16, channels=1)).shape == (2, 3)


@pytest.mark.parametrize(("name", "size"), [("test_mamba_nd", (40, 64)), ("test_mamba_nd_3d", (4, 16, 32))])
def test_features_only(name, size):
    torch.manual_seed(0)
    net = timm.create_model(name, features_only=True).eval()
    x = images(*size)
    features = net(x)
    assert net.feature_info.channels() == [feature.shape[1] for feature in features]
    for reduction, feature in zip(net.feature_info.reduction(), features, strict=True):
        assert feature.shape[-2:] == tuple(-(-n // reduction) for n in size[-2:])
    model = net.model
    assert torch.equal(features[-1].movedim(1, -1), model.forward_features(x))  # norm and head are gone
    assert isinstance(model.head, nn.Identity)


@pytest.mark.parametrize(
    "given", [{"merge_after": (1,)}, {"update_interval": 2}, {"img_size": (2, 8, 8), "patch_size": (1, 4, 4)}]
)
def test_intermediates_are_the_blocks_outputs(given):
    model = build(**given)
    x = images(*model.patch_embed.img_size)
    final, taps = model.forward_intermediates(x, output_fmt="NHWC")
    torch.testing.assert_close(final, model.forward_features(x))
    torch.testing.assert_close(model.norm(taps[-1]), final)
    info = FeatureInfo(model.feature_info, len(model.feature_info))
    assert [tap.shape[-1] for tap in taps] == info.channels()
    assert [model.patch_embed.img_size[-1] // tap.shape[-2] for tap in taps] == info.reduction()

    first = model.forward_intermediates(x, [0, -2], norm=True, stop_early=True, intermediates_only=True)
    for got, tap in zip(first, (taps[0], taps[-2]), strict=True):
        torch.testing.assert_close(got, model.norm(tap).movedim(-1, 1))
    pruned = copy.deepcopy(model)
    assert pruned.prune_intermediate_layers([1], prune_norm=True) == [1]
    torch.testing.assert_close(pruned(x), taps[1])
    assert len(pruned.blocks) == 2


def test_layer_decay_groups():
    model = build()
    groups = create_optimizer_v2(model, "adamw", lr=1.0, weight_decay=0.1, layer_decay=0.5).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    scale = {names[id(p)]: group["lr_scale"] for group in groups for p in group["params"]}
    decay = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert set(scale) == set(names.values())
    assert scale["head.weight"] == 1
    steps = [scale[f"blocks.{index}.mixer.in_proj.weight"] for index in range(4)]
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(steps))
    assert scale["pos_embed"] == scale["patch_embed.proj.weight"] == steps[0] / 2
    for name, value in decay.items():
        exempt = name == "pos_embed" or name.endswith((".A_log", ".D", "bias")) or "norm" in name
        assert (value == 0) == exempt, name


def test_the_suites_optimiser_exempts_the_same_parameters():
    for model in (build(), copy.deepcopy(build())):
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        groups = parameter_groups(model, lr=1.0, weight_decay=0.1)
        decaying = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
        assert not decaying & model.no_weight_decay()
        assert "blocks.0.mixer.in_proj.weight" in decaying


def test_classifier_is_replaced_on_the_models_device_and_dtype():
    model = build().to("meta", torch.float64)
    model.reset_classifier(0)
    assert model(torch.empty(1, 3, 16, 16, device="meta", dtype=torch.float64)).shape == (1, 12)
    model.reset_classifier(7, "max")
    assert (model.head.weight.device.type, model.head.weight.dtype, model.global_pool) == ("meta", torch.float64, "max")
    assert not any(module.training for module in model.modules())
    model.reset_classifier(0, "")
    assert model(torch.empty(1, 3, 16, 16, device="meta", dtype=torch.float64)).shape == (1, 4, 4, 12)
    with pytest.raises(AssertionError, match="Unknown global_pool 'catavgmax'"):
        model.reset_classifier(3, "catavgmax")


def test_pooling():
    x = images(16, 16)
    for pool in ("avg", "max"):
        model = build(global_pool=pool)
        features = model.forward_features(x).flatten(1, 2)
        pooled = features.mean(1) if pool == "avg" else features.max(1).values
        expected = F.layer_norm(pooled, (12,), model.fc_norm.weight, model.fc_norm.bias, 1e-6) @ model.head.weight.T
        torch.testing.assert_close(model(x), expected + model.head.bias)


def test_set_input_size_does_what_every_call_would_do():
    model, x = build(), images(24, 20)
    expected = model(x)
    model.pos_embed.requires_grad_(False)
    model.set_input_size((24, 20))
    assert model.pos_embed.shape == (1, 6, 5, 12)
    assert not model.pos_embed.requires_grad
    torch.testing.assert_close(model(x), expected)
    model.set_input_size(patch_size=4)
    with pytest.raises(UserError, match="cannot be changed"):
        model.set_input_size(patch_size=8)
    video = build(img_size=(2, 8, 8), patch_size=(1, 4, 4))
    video.set_input_size((12, 16))
    assert video.patch_embed.grid_size == (2, 3, 4)


def test_checkpointing_gives_the_same_gradients():
    gradients = []
    for enable in (False, True):
        model = build(merge_after=(1,), drop_path_rate=0.3, proj_drop_rate=0.1).train()
        model.set_grad_checkpointing(enable)
        torch.manual_seed(3)
        model(images(16, 16)).sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)


def test_bfloat16_autocast_and_weights():
    model = build(img_size=(224, 224), in_chans=1, depth=2)  # 3136 cells
    x = images(224, 224, batch=1, channels=1)
    expected = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    y.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.1)
    y = model.bfloat16()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.1)


def test_fx_traces_blocks_as_wholes():
    torch.manual_seed(0)
    model = timm.create_model("test_mamba_nd").eval()
    traced = timm.models.create_feature_extractor(model, ["blocks.1", "head"])
    x = images(64, 40)
    found = traced(x)
    assert torch.equal(found["head"], model(x))
    assert torch.equal(found["blocks.1"], model.forward_intermediates(x, [1], output_fmt="NHWC")[1][0])


def test_torch_compile_takes_the_model_as_one_graph():
    model = build(depth=2, merge_after=(0,))
    x = images(16, 12)
    with torch.no_grad():
        assert torch.equal(torch.compile(model, backend="eager", fullgraph=True)(x), model(x))


def test_dropout_and_drop_path_act_in_training_only():
    model = build(drop_rate=0.5, pos_drop_rate=0.5, proj_drop_rate=0.5, drop_path_rate=0.5)
    x = images(16, 16)
    torch.testing.assert_close(model(x), build()(x))
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in model.blocks]
    torch.testing.assert_close(rates, [0.0, 1 / 6, 1 / 3, 0.5])
    model.train()
    torch.manual_seed(0)
    first = model(x)
    torch.manual_seed(0)
    assert torch.equal(model(x), first)
    assert not torch.equal(model(x), first)


def test_rows_do_not_see_each_other():
    model, x = build(merge_after=(1,)), images(16, 16, batch=3)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"img_size": (8, 8), "patch_size": (1, 4, 4)}, "different numbers of axes"),
        ({"img_size": 0}, "positive along every axis"),
        ({"orders": "hw_t"}, "for three axes, the model has 2"),
        ({"orders": "colums"}, "Unknown scan orders 'colums'"),
        ({"orders": [ScanOrder((0,))]}, "all of them for 2 axes"),
        ({"mixer": "mambo"}, "Did you mean 'mamba'"),
        ({"mixer_options": {"d_stat": 3}}, "Did you mean 'd_state'"),
        ({"merge_after": (3,)}, "with 4 blocks the places are 0 to 2"),
        ({"merge_after": (1,), "update_interval": 2}, "needs update_interval=1"),
        ({"depth": 0}, "at least 1"),
    ],
)
def test_what_the_user_can_mend_is_told(given, message):
    with pytest.raises(UserError, match=message):
        build(**given)


def test_inputs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"takes \(B, 3, \*size\) with 2 axes of size, got \(2, 1, 16, 16\)"):
        build()(images(16, 16, channels=1))
    with pytest.raises(ValueError, match=r"with 3 axes of size, got \(2, 3, 16, 16\)"):
        build(img_size=(2, 8, 8), patch_size=(1, 4, 4))(images(16, 16))
    with pytest.raises(ValueError, match="holds no whole patch"):
        build(img_size=(2, 8, 8), patch_size=(1, 4, 4))(images(2, 8, 3))
