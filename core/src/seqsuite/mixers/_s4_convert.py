"""Parameters of published S4 and S4D layers to ours and back, as pure functions of tensors.

Two layouts (state-spaces/s4): the block (``layer.kernel.C``, DPLR or diagonal) and the minimal S4D layer
(``kernel.C``). Gradients flow through the maps. A block's C is C (I - dA^l) once l_kernel = l > 0; ours
is C: the map solves for it in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seqsuite.errors import UserError
from seqsuite.ops import DiscreteSSM, discretize
from seqsuite.ops._ssm_kernel.discrete import spread

Transform = Literal["exp", "softplus", "sigmoid", "relu", "none"]
_BLOCK = {f"layer.kernel.{name}": name for name in ("inv_dt", "A_real", "A_imag", "B", "C", "P")} | {"layer.D": "D"}
_MINIMAL = {"kernel.log_dt": "inv_dt", "kernel.log_A_real": "A_real", "kernel.A_imag": "A_imag", "kernel.C": "C"}
_ENDS = {f"output_linear.0.{name}": f"output_linear.{name}" for name in ("weight", "bias")}
_LENGTH = "layer.kernel.l_kernel"


def s4_options_from_published(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what a block's shapes say of the options of `S4` or `S4D`, `d_model` among them.

    Not in the shapes: dt_transform ("softplus" in the published training configs), discretization, bandlimit.
    """
    _demand(state, ["layer.D", "layer.kernel.C", "layer.kernel.A_real", "layer.kernel.inv_dt"])
    channels, d_model = state["layer.D"].shape
    rows, _, modes, _ = state["layer.kernel.C"].shape
    options = {
        "d_model": d_model,
        "d_state": 2 * modes,
        "n_ssm": len(state["layer.kernel.A_real"]),
        "channels": channels,
        "dt_tie": state["layer.kernel.inv_dt"].shape[1] == 1,
        "bidirectional": rows == 2 * channels,
        "output": "glu" if "output_linear.0.weight" in state else "none",
    }
    return options | ({"rank": len(state["layer.kernel.P"])} if "layer.kernel.P" in state else {})


def s4_from_published(
    state: Mapping[str, Tensor],
    *,
    dt_transform: Literal["exp", "softplus"] = "exp",
    real_transform: Transform = "exp",
    imag_transform: Transform = "none",
) -> dict[str, Tensor]:
    """Return the parameters of `S4` from those of a published block.

    Args:
        state: The block's tensors under its own names (``layer.D``, ``layer.kernel.C``, ...).
        dt_transform: That of the block, and of the `S4` to load into.
        real_transform: How the block made -Re A of its A_real.
        imag_transform: How it made -Im A of its A_imag.

    Raises:
        UserError: A tensor is missing or unknown.
    """
    names = _BLOCK | _output_names(state)
    _demand(state, [*names, _LENGTH])
    ours = _from_block(state, names, real_transform, imag_transform)
    length = int(state[_LENGTH])
    if length:
        C = torch.view_as_complex(ours["C"].double().contiguous())
        ours["C"] = torch.view_as_real(_system(ours, dt_transform).detune(C, length)).to(ours["C"].dtype)
    return ours


def s4_to_published(
    tensors: Mapping[str, Tensor], length: int = 0, *, dt_transform: Literal["exp", "softplus"] = "exp"
) -> dict[str, Tensor]:
    """Return the tensors of a published block from the parameters of `S4`.

    Args:
        tensors: Our parameters by name.
        length: What C is attuned to in the result; 0: it stays plain, as in a block that has never run.
        dt_transform: That of the `S4`.

    Raises:
        UserError: A tensor is missing or unknown.
    """
    published = _to_block(tensors, _BLOCK)
    if length:
        C = torch.view_as_complex(tensors["C"].double().contiguous())
        tuned = torch.view_as_real(_system(tensors, dt_transform).attune(C, length))
        published["layer.kernel.C"] = tuned.to(tensors["C"].dtype)
    return published | {_LENGTH: torch.tensor(length)}


def s4d_options_from_published(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return what the shapes of either layout say of the options of `S4D`, `d_model` among them."""
    if "kernel.C" not in state:
        return {name: value for name, value in s4_options_from_published(state).items() if name != "rank"}
    d_model, modes, _ = state["kernel.C"].shape
    return {"d_model": d_model, "d_state": 2 * modes}


def s4d_from_published(
    state: Mapping[str, Tensor], *, real_transform: Transform = "exp", imag_transform: Transform = "none"
) -> dict[str, Tensor]:
    """Return the parameters of `S4D` from those of a minimal layer or of a block in diagonal mode.

    Args:
        state: The published tensors by name.
        real_transform: What the block makes of its parameter of -Re A.
        imag_transform: Likewise for the imaginary part.

    Returns:
        The tensors by the names of `S4D`.

    Raises:
        UserError: A tensor is missing or unknown.
    """
    if "kernel.C" not in state:
        names = {theirs: ours for theirs, ours in (_BLOCK | _output_names(state)).items() if ours != "P"}
        _demand(state, names)
        return _from_block(state, names, real_transform, imag_transform)
    _demand(state, ["D", *_MINIMAL, *_ENDS])
    ours = {name: state[theirs] for theirs, name in (_MINIMAL | _ENDS).items()}
    ours |= {"inv_dt": ours["inv_dt"][:, None], "C": ours["C"][None], "D": state["D"][None]}
    ours["A_imag"] = -ours["A_imag"]  # their A has + i A_imag
    ours["output_linear.weight"] = ours["output_linear.weight"].squeeze(-1)
    ours["B"] = torch.stack((torch.ones_like(ours["A_real"]), torch.zeros_like(ours["A_real"])), -1)
    return ours


def s4d_to_published(tensors: Mapping[str, Tensor], *, layout: Literal["block", "minimal"]) -> dict[str, Tensor]:
    """Return the tensors of a published layer from the parameters of `S4D`.

    Args:
        tensors: Our parameters by name.
        layout: The minimal layer has neither B, which goes into its C, nor shared A, nor channels, and holds the
            input over a step ("zoh", dt_transform "exp").

    Raises:
        UserError: A tensor is missing or unknown, or the layer has several channels or a step size a mode.
    """
    if layout == "block":
        return _to_block(tensors, {theirs: ours for theirs, ours in _BLOCK.items() if ours != "P"})
    _demand(tensors, [*_MINIMAL.values(), "B", "D", *_ENDS.values()])
    if len(tensors["C"]) > 1 or tensors["inv_dt"].shape[1] > 1:
        raise UserError("the minimal S4D layer has one channel, one direction and one step size a channel")
    heads = tensors["C"].shape[1]
    B, C = (torch.view_as_complex(tensors[name].contiguous()) for name in ("B", "C"))
    A_real, A_imag = (spread(tensors[name], heads) for name in ("A_real", "A_imag"))
    return {
        "D": tensors["D"][0],
        "kernel.log_dt": tensors["inv_dt"][:, 0],
        "kernel.log_A_real": A_real,
        "kernel.A_imag": -A_imag,
        "kernel.C": torch.view_as_real(C[0] * spread(B, heads)),
        "output_linear.0.weight": tensors["output_linear.weight"][..., None],
        "output_linear.0.bias": tensors["output_linear.bias"],
    }


def _from_block(
    state: Mapping[str, Tensor], names: Mapping[str, str], real_transform: Transform, imag_transform: Transform
) -> dict[str, Tensor]:
    ours = {name: state[theirs] for theirs, name in names.items()}
    ours["B"] = ours["B"][0]
    if real_transform != "exp":
        ours["A_real"] = torch.log(_transformed(ours["A_real"], real_transform))
    ours["A_imag"] = _transformed(ours["A_imag"], imag_transform)
    return ours


def _to_block(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    names = dict(names) | (_ENDS if "output_linear.weight" in tensors else {})
    _demand(tensors, names.values())
    published = {theirs: tensors[name] for theirs, name in names.items()}
    return published | {"layer.kernel.B": tensors["B"][None]}


def _output_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    return _ENDS if "output_linear.0.weight" in state else {}


def _transformed(x: Tensor, transform: Transform) -> Tensor:
    if transform == "relu":
        return F.relu(x) + 1e-4
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "exp": torch.exp,
        "softplus": F.softplus,
        "sigmoid": torch.sigmoid,
    }
    return x if transform == "none" else functions[transform](x)


def _system(ours: Mapping[str, Tensor], dt_transform: str) -> DiscreteSSM:
    """Return the discrete system of S4's parameters."""
    raw, heads = ours["inv_dt"].double(), ours["C"].shape[1]
    dt = torch.exp(raw) if dt_transform == "exp" else F.softplus(raw)
    A = torch.complex(-torch.exp(ours["A_real"].double()), -ours["A_imag"].double())
    B, P = (torch.view_as_complex(ours[name].double().contiguous()) for name in ("B", "P"))
    return discretize(dt, *(spread(x, heads) for x in (A, B, P)))


def _demand(state: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Raise UserError unless a layer has exactly these tensors, or at least those of its options' shapes."""
    wanted = set(names)
    missing, unknown = sorted(wanted - set(state)), sorted(set(state) - wanted)
    if missing:
        raise UserError(f"the S4 layer lacks {', '.join(missing)}; it has {', '.join(sorted(state))}")
    if unknown and wanted != {"layer.D", "layer.kernel.C", "layer.kernel.A_real", "layer.kernel.inv_dt"}:
        raise UserError(f"the S4 layer has unknown tensors: {', '.join(unknown)}")
