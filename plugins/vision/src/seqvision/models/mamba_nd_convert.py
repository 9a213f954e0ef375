"""Between published Mamba-ND checkpoints and ours: key maps both ways, and images inflated to videos.

All of it is differentiable in the tensors. Published are three layouts: the image classifier, the video
classifier and the Kinetics classifier. The table of positions keeps its grid here, (1, *grid, D); there it
is flat, so a grid that is not the model's is taken for a square (of a video: the model's frames, each a square).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from timm.models._manipulate import adapt_input_conv
from torch import Tensor, nn

from seqsuite.errors import UserError, unknown_name
from seqvision.models.mamba_nd_parts import resample_positions

if TYPE_CHECKING:
    from seqvision.models.mamba_nd_model import MambaND

InflatePositions = Literal["repeat", "cosine", "single"]

# Their names to ours; the order of the rows decides. What follows a block's number stays but for the merging.
_FROM_PUBLISHED = (
    (r"^backbone\.", ""),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^ln1\.", "norm."),
    (r"^ln2\.", "fc_norm."),
    (r"^head\.fc\.|^cls_head\.fc_cls\.|^head\.1\.", "head."),
    (r"^head\.0\.", "fc_norm."),
    (r"^layers\.(\d+)\.down_sample_layer\.", lambda found: f"blocks.{int(found[1]) + 1}.downsample."),
    (r"^layers\.", "blocks."),
)


def checkpoint_filter_fn(state_dict: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
    """Bring a checkpoint into a model's names and shapes: a published one of any layout, or our own.

    The table of positions is resampled to the model's grid. A checkpoint of an image model is inflated for a
    video model.

    Args:
        state_dict: Tensors by name, or what a training script saved with them under "state_dict" or "model".
        model: The `MambaND` that they are for.

    Returns:
        Tensors under our names.

    Raises:
        UserError: The positions' grid cannot be told, or the checkpoint cannot be inflated.
    """
    target: Any = model
    tensors = dict(state_dict)
    for key in ("state_dict", "model"):
        if isinstance(tensors.get(key), Mapping):
            tensors = dict(tensors[key])
    if "patch_embed.proj.weight" not in tensors:
        tensors = {_our_name(name): tensor for name, tensor in tensors.items()}
    weight = tensors.get("patch_embed.proj.weight")
    if weight is not None and target.ndim != 2 and weight.shape[1] != target.in_chans:  # timm does it for images only
        columns = adapt_input_conv(target.in_chans, weight.flatten(2)[..., None])
        tensors["patch_embed.proj.weight"] = columns.reshape(weight.shape[0], target.in_chans, *weight.shape[2:])
    if weight is not None and weight.ndim == 4 and target.ndim == 3:
        return inflate(tensors, target)
    if "pos_embed" in tensors:
        table = _with_grid(tensors["pos_embed"], target.patch_embed.grid_size)
        tensors["pos_embed"] = resample_positions(table, target.patch_embed.grid_size)
    return tensors


def to_published(state_dict: Mapping[str, Tensor], model: MambaND) -> dict[str, Tensor]:
    """Return a model's tensors under the published names, for the model it corresponds to there.

    Args:
        state_dict: Ours.
        model: The model that they are of: an image model, a video model, or one with a norm before its classifier,
            which is the Kinetics layout.

    Returns:
        Tensors under their names; the positions flat, (1, L, D).
    """
    layout = "image" if model.ndim == 2 else "video" if isinstance(model.fc_norm, nn.Identity) else "kinetics"
    heads = {"image": "head.fc.", "video": "cls_head.fc_cls.", "kinetics": "head.1."}
    stem = "" if layout == "kinetics" else "backbone."
    published = {}
    for name, tensor in state_dict.items():
        if name.startswith("head."):
            published[heads[layout] + name.removeprefix("head.")] = tensor
        elif name.startswith("fc_norm.") and layout == "kinetics":
            published["head.0." + name.removeprefix("fc_norm.")] = tensor
        else:
            published[stem + _their_name(name)] = tensor.flatten(1, -2) if name == "pos_embed" else tensor
    return published


def inflate(
    state_dict: Mapping[str, Tensor],
    model: MambaND,
    *,
    positions: InflatePositions = "repeat",
    copy_time: bool = False,
) -> dict[str, Tensor]:
    """Turn an image model's tensors into a video model's.

    Of every six blocks of the video model, the first four are four blocks of the image model; the two that scan
    along time stay as the video model has them. Patches are repeated over their frames and divided by their number.

    Args:
        state_dict: The image model's tensors, ours or published.
        model: The video model; what the image model does not have is taken from it.
        positions: How the image's positions fill the frames: the same in every one; fading from 1 to -1 along half a
            cosine; in the middle frame alone, zero elsewhere.
        copy_time: Start the two blocks along time from the two before them.

    Returns:
        All of the video model's tensors.

    Raises:
        UserError: Not an image model's tensors, or the image model merges patches, or it is too deep or too wide.
    """
    if positions not in ("repeat", "cosine", "single"):
        raise unknown_name("way to inflate positions", positions, ("repeat", "cosine", "single"))
    tensors = {_our_name(name): tensor for name, tensor in state_dict.items()}
    if any(".downsample." in name for name in tensors):
        raise UserError("inflate: the image model merges patches within; only one without can become a video model")
    result = dict(model.state_dict())
    for name, tensor in _inflated(tensors, model, positions, copy_time).items():
        if name not in result and not name.startswith(("norm.", "fc_norm.", "head.")):
            raise UserError(
                f"inflate: the video model has no {name!r}; it must have six blocks for four of the image's"
            )
        if name in result and result[name].shape == tensor.shape:
            result[name] = tensor
        elif name in result and not name.startswith("head."):
            raise UserError(
                f"inflate: {name} is {tuple(tensor.shape)} in the image model and {tuple(result[name].shape)} in the "
                "video model"
            )
    return result


def _inflated(
    tensors: Mapping[str, Tensor], model: MambaND, positions: InflatePositions, copy_time: bool
) -> dict[str, Tensor]:
    """Return the image model's tensors under the video model's names and in its shapes."""
    inflated = {}
    for name, tensor in tensors.items():
        if name == "patch_embed.proj.weight":
            frames = model.patch_embed.patch_size[0]
            inflated[name] = tensor[:, :, None].repeat_interleave(frames, 2) / frames
        elif name == "pos_embed":
            inflated[name] = _positions_over_time(tensor, model.patch_embed.grid_size, positions)
        elif found := re.match(r"blocks\.(\d+)\.(.*)", name):
            cycle, place = divmod(int(found[1]), 4)
            inflated[f"blocks.{6 * cycle + place}.{found[2]}"] = tensor
            if copy_time and place >= 2:
                inflated[f"blocks.{6 * cycle + place + 2}.{found[2]}"] = tensor
        else:
            inflated[name] = tensor
    return inflated


def _positions_over_time(table: Tensor, grid: tuple[int, ...], positions: InflatePositions) -> Tensor:
    """Return (1, *grid, D) of an image's table, resampled to the frames' size and spread over the frames."""
    frames = grid[0]
    image = resample_positions(_with_grid(table, grid[1:]), grid[1:])
    frame = torch.arange(frames, device=table.device, dtype=image.dtype)
    weight = {
        "repeat": torch.ones_like(frame),
        "cosine": torch.cos(frame / frames * math.pi),
        "single": (frame == frames // 2).to(image.dtype),
    }[positions]
    return image[:, None] * weight[:, None, None, None]


def _with_grid(table: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Return a table of positions with its grid, (1, *grid, D); a flat one (1, L, D) gets the grid it must have."""
    if table.ndim != 3 or len(grid) == 1:
        return table
    cells, width = table.shape[1:]
    if cells != math.prod(grid):
        frames = math.prod(grid[:-2])
        side = math.isqrt(cells // frames)
        if side * side * frames != cells:
            raise UserError(
                f"pos_embed: {cells} positions are neither the model's grid {grid} nor a square; build the model with "
                "the checkpoint's img_size and call set_input_size afterwards"
            )
        grid = (*grid[:-2], side, side)
    return table.reshape(1, *grid, width)


def _our_name(name: str) -> str:
    """Return our name of a published tensor; ours stay as they are."""
    for pattern, to in _FROM_PUBLISHED:
        name = re.sub(pattern, to, name)  # type: ignore[call-overload]
    return name


def _their_name(name: str) -> str:
    """Return the published backbone's name of one of our tensors."""
    rows = (
        (r"^patch_embed\.proj\.", "patch_embed.projection."),
        (r"^norm\.", "ln1."),
        (r"^fc_norm\.", "ln2."),
        (r"^blocks\.(\d+)\.downsample\.", lambda found: f"layers.{int(found[1]) - 1}.down_sample_layer."),
        (r"^blocks\.", "layers."),
    )
    for pattern, to in rows:
        name = re.sub(pattern, to, name)  # type: ignore[call-overload]
    return name
