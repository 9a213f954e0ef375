"""Names of SaShiMi's layers in published files: every spelling of them brought to the stand-alone module's.

canonical(state)                    # tensors by the stand-alone module's names, whatever wrote them
published_names(config)             # our name -> that name
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor

from seqaudio.configs.models import SashimiConfig
from seqsuite.errors import UserError

ENDS = ("weight", "bias")
_COUNTERS = re.compile(r"(^|\.)(train|val|test)_torchmetrics\.")


class Place(NamedTuple):
    """Where a layer stands.

    Attributes:
        kind: "s4", "ff", "down" or "up".
        ours: Its path in our backbone.
        theirs: Its path in the stand-alone module.
        rate: Samples of one of its steps.
    """

    kind: str
    ours: str
    theirs: str
    rate: int


def places(config: SashimiConfig) -> Iterator[Place]:
    """Yield the layers of the backbone, in the order of the stand-alone module."""
    kinds = ["s4", "ff"][: 1 + bool(config.ff)] * config.n_layer
    rate, index, tiers = 1, 0, list(enumerate(config.pool))
    rates = []
    for tier, factor in tiers:
        for place, kind in enumerate(kinds if config.unet else ()):
            yield Place(kind, f"down_blocks.{tier}.{place}", f"d_layers.{index}", rate)
            index += 1
        yield Place("down", f"down_pools.{tier}", f"d_layers.{index}", rate)
        rates.append(rate)
        index, rate = index + 1, rate * factor
    for place, kind in enumerate(kinds):
        yield Place(kind, f"centre.{place}", f"c_layers.{place}", rate)
    for block, (tier, _) in enumerate(reversed(tiers)):
        yield Place("up", f"up_pools.{tier}", f"u_layers.{block}.0", rates[tier])
        for place, kind in enumerate(kinds):
            yield Place(kind, f"up_blocks.{tier}.{place}", f"u_layers.{block}.{place + 1}", rates[tier])


def canonical(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring a published state dict into the stand-alone module's names and shapes, the head in Lightning's.

    Weight norms are multiplied out, convolutions of width 1 become linear layers; S4 layers stay as they are.
    """
    named = {_canonical(name): tensor for name, tensor in state.items() if not _COUNTERS.search(name)}
    named = _nested(_multiplied(named))
    return {name: x.flatten(1) if x.ndim == 3 and is_linear(name) else x for name, x in named.items()}


def _canonical(name: str) -> str:
    name = name.removeprefix("module.").removeprefix("model.")
    name = re.sub(r"^encoder\.(0\.)?(weight)$", r"encoder.0.\2", name)
    name = re.sub(r"^decoder\.(0\.)?output_transform\.", "decoder.0.output_transform.", name)
    return name.replace(".norm.norm.", ".norm.").replace(".norm.ln.", ".norm.")


def is_linear(name: str) -> bool:
    """Return whether a name is of the weight of a linear layer, which may be a convolution of width 1 in a file."""
    return re.search(r"\.(linear|ff\.0\.0|ff\.2)\.weight$", name) is not None


def _multiplied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with weight norms, g v / |v|, multiplied out."""
    given = {}
    for name, tensor in state.items():
        name = name.replace(".parametrizations.weight.original0", ".weight_g")
        given[name.replace(".parametrizations.weight.original1", ".weight_v")] = tensor
    for name in [name for name in given if name.endswith(".weight_v")]:
        stem = name.removesuffix("_v")
        if f"{stem}_g" not in given:
            raise UserError(f"the checkpoint has {name} without {stem}_g")
        v, g = given.pop(name), given.pop(f"{stem}_g")
        norm = v.flatten(1).norm(dim=1).reshape(-1, *[1] * (v.ndim - 1))
        given[stem] = v * (g.reshape_as(norm) / norm)
    return given


def _nested(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with the training U-net's flat ``u_layers.7.`` as ``u_layers.1.2.``."""
    flat = [name for name in state if re.match(r"u_layers\.\d+\.(linear|layer|norm)\.", name)]
    if not flat:
        return state
    pools = sorted({int(name.split(".")[1]) for name in flat if re.match(r"u_layers\.\d+\.linear\.", name)})
    moved = {}
    for name in flat:
        index, rest = re.match(r"u_layers\.(\d+)\.(.+)", name).groups()  # type: ignore[union-attr]
        block = sum(pool <= int(index) for pool in pools) - 1
        moved[f"u_layers.{block}.{int(index) - pools[max(block, 0)]}.{rest}"] = state[name]
    return {name: tensor for name, tensor in state.items() if name not in set(flat)} | moved


def published_names(config: SashimiConfig) -> dict[str, str]:
    """Return ``our name -> canonical published name`` of everything but S4's parameters and the model's ends."""
    norm = ("m", "s") if config.norm == "frame" else ENDS
    names = {f"norm_f.{end}": f"norm.{end}" for end in ENDS}
    for kind, ours, theirs, _ in places(config):
        if kind in ("down", "up"):
            names |= {f"{ours}.linear.{end}": f"{theirs}.linear.{end}" for end in ENDS}
            continue
        names |= {f"{ours}.norm.{end}": f"{theirs}.norm.{end}" for end in norm}
        if kind == "ff":
            names |= {f"{ours}.layer.fc1.{end}": f"{theirs}.layer.ff.0.0.{end}" for end in ENDS}
            names |= {f"{ours}.layer.fc2.{end}": f"{theirs}.layer.ff.2.{end}" for end in ENDS}
    return names


def layers_below(state: Mapping[str, Tensor], path: str) -> dict[str, Tensor]:
    """Return the tensors below a path, by their names there."""
    return {name.removeprefix(f"{path}."): x for name, x in state.items() if name.startswith(f"{path}.")}
