"""Steps in machine code: tick.cpp, built once by the C++ compiler of the machine and called without torch between.

    stepper = NativeStepper(plan, batch_size=16)        # NativeError: no compiler, or it failed
    logits = stepper.step(codes)                        # (B,) int64 -> (B, 2 ** bits)

A step is about 2.4 million operations in hundreds of small layers: what a framework spends on each call is more
than the arithmetic.
"""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int32, c_int64, c_void_p
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqaudio.generation.building import load_library
from seqaudio.generation.plan import BlockPlan, FeedForwardBlock, Linear, Norm, Plan, S5Block, SSMBlock, all_blocks
from seqaudio.generation.sampling import Draws

_LANES, _TILE = 16, 32
_KINDS = {SSMBlock: 0, S5Block: 1, FeedForwardBlock: 2}
_ACTIVATIONS = {"none": 0, "gelu": 1, "silu": 2, "relu": 3}


class _Norm(ctypes.Structure):
    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("shift", c_float), ("eps", c_float), ("floor", c_float)]


class _Linear(ctypes.Structure):
    _fields_ = [("weight", c_void_p), ("bias", c_void_p), ("inputs", c_int32), ("outputs", c_int32)]


class _Block(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("kind", "width", "modes", "channels")),
        *((name, c_int32) for name in ("rank", "activation", "gated", "has_linear")),
        ("norm", _Norm),
        *((name, c_void_p) for name in ("decay", "drive", "read", "skip", "state", "feedback")),
        ("first", _Linear),
        ("second", _Linear),
    ]


class _Tier(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("pool", "phase", "width", "downs", "ups")),
        ("down", ctypes.POINTER(_Block)),
        ("up", ctypes.POINTER(_Block)),
        ("join", _Linear),
        ("split", _Linear),
        ("pending", c_void_p),
        ("ready", c_void_p),
    ]


class _Net(ctypes.Structure):
    _fields_ = [
        *((name, c_int32) for name in ("batch", "tiers", "unet", "width", "centre_width", "centres", "codes")),
        ("tier", ctypes.POINTER(_Tier)),
        ("centre", ctypes.POINTER(_Block)),
        ("embedding", c_void_p),
        ("norm", _Norm),
        ("head", _Linear),
        *((name, c_void_p) for name in ("normed", "wide", "out", "stream", "skips", "joined")),
        ("tier_stride", c_int64),
        ("skip_stride", c_int64),
    ]


class _Draw(ctypes.Structure):
    _fields_ = [("temperature", c_float), ("top_p", c_float), ("top_k", c_int32)]


class NativeStepper:
    """A plan on the CPU with its states in place.

    Args:
        plan: The model.
        batch_size: Rows B.

    Attributes:
        kind: "native".

    Raises:
        NativeError: See there.
    """

    kind = "native"
    device = torch.device("cpu")

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self._library = load_library()
        self.plan, self.batch_size = plan, batch_size
        self._held: list[Any] = []  # what the structs point at
        self.states: list[Tensor | None] = []
        self.feedbacks: list[Tensor | None] = []
        self._reads: list[Tensor | None] = []
        self.pending = [self._new(batch_size, tier.pool, width) for tier, width in self._tiers()]
        self.ready = [torch.zeros_like(x) for x in self.pending]
        self._net = self._make_net()
        self._logits = torch.empty(batch_size, plan.head.weight.shape[1])

    def _tiers(self) -> Any:
        return zip(self.plan.tiers, self.plan.widths, strict=False)

    def _new(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.float32)

    def _keep(self, x: Tensor) -> int:
        x = x.detach().cpu().float().contiguous()
        self._held.append(x)
        return x.data_ptr()

    def _linear(self, layer: Linear | None) -> _Linear:
        if layer is None:
            return _Linear()
        inputs, outputs = layer.weight.shape
        room = -outputs % _TILE
        tiles = F.pad(layer.weight.cpu(), (0, room)).unflatten(1, (-1, _TILE)).transpose(0, 1)
        return _Linear(self._keep(tiles), self._keep(F.pad(layer.bias.cpu(), (0, room))), inputs, outputs)

    def _norm(self, norm: Norm) -> _Norm:
        return _Norm(self._keep(norm.weight), self._keep(norm.bias), norm.shift, norm.eps, norm.floor)

    def _block(self, block: BlockPlan) -> _Block:
        made = _Block(kind=_KINDS[type(block)], width=len(block.norm.weight), norm=self._norm(block.norm))
        state = feedback = read = None
        if isinstance(block, FeedForwardBlock):
            made.first, made.second = self._linear(block.first), self._linear(block.second)
        elif isinstance(block, S5Block):
            made.modes = len(block.decay)
            made.decay, made.skip = self._keep(torch.cat((block.decay.real, block.decay.imag))), self._keep(block.skip)
            made.first, made.second = self._linear(block.read_in), self._linear(block.read_out)
            state = self._new(self.batch_size, 2 * made.modes)
        else:
            state, feedback, read = self._ssm(made, block)
        for name, x in (("state", state), ("feedback", feedback)):
            if x is not None:
                self._held.append(x)
                setattr(made, name, x.data_ptr())
        self.states.append(state)
        self.feedbacks.append(feedback)
        self._reads.append(read)
        return made

    def _ssm(self, made: _Block, block: SSMBlock) -> tuple[Tensor, Tensor, Tensor]:
        heads, modes = block.decay.shape
        made.modes, made.channels, made.rank = modes + -modes % _LANES, len(block.skip), block.rank
        made.activation, made.gated = _ACTIVATIONS[block.activation], int(block.gated)
        made.has_linear, made.first = int(block.linear is not None), self._linear(block.linear)
        drive, read = (x.transpose(0, 1).cpu() for x in (block.drive, block.read))
        made.decay, made.drive = self._keep(_parts(block.decay.cpu())), self._keep(_parts(drive))
        rows = _parts(2 * read.conj()).float()  # 2 Re(c x) is 2 Re(c) Re(x) - 2 Im(c) Im(x)
        made.read, made.skip = self._keep(rows), self._keep(block.skip)
        state = self._new(heads, self.batch_size, 2 * made.modes)
        return state, self._new(heads, self.batch_size, block.rank), rows[:, made.channels :]

    def _array(self, blocks: tuple[BlockPlan, ...]) -> Any:
        array = (_Block * max(len(blocks), 1))(*map(self._block, blocks))
        self._held.append(array)
        return array

    def _make_net(self) -> _Net:
        plan, batch = self.plan, self.batch_size
        # The order of `all_blocks`: that of the lists of states.
        downs = [self._array(tier.down) for tier in plan.tiers]
        centre = self._array(plan.centre)
        ups = [self._array(tier.up) for tier in plan.tiers]
        tiers = (_Tier * max(len(plan.tiers), 1))()
        for i, (tier, width) in enumerate(self._tiers()):
            counts = tier.pool, 0, width, len(tier.down), len(tier.up)
            links = self._linear(tier.join), self._linear(tier.split)
            tiers[i] = _Tier(*counts, downs[i], ups[i], *links, self.pending[i].data_ptr(), self.ready[i].data_ptr())
        self._held.append(tiers)
        widest = max(plan.widths)
        depth = max((len(tier.down) for tier in plan.tiers), default=0)
        scratch = {"normed": widest, "wide": self._widest(), "out": 2 * widest, "stream": plan.widths[0]}
        scratch |= {"skips": (len(plan.tiers) + 1) * (depth + 1) * widest, "joined": (len(plan.tiers) + 1) * widest}
        places = {name: self._keep(self._new(batch * size)) for name, size in scratch.items()}
        ends = (plan.widths[0], plan.widths[-1], len(plan.centre), len(plan.embedding))
        whole = (self._keep(plan.embedding), self._norm(plan.norm), self._linear(plan.head))
        strides = batch * widest, batch * (depth + 1) * widest
        return _Net(batch, len(plan.tiers), int(plan.unet), *ends, tiers, centre, *whole, *places.values(), *strides)

    def _widest(self) -> int:
        inner = [1]
        for block in all_blocks(self.plan):
            if isinstance(block, SSMBlock):
                inner.append(block.skip.numel())
            else:
                first = block.first if isinstance(block, FeedForwardBlock) else block.read_in
                inner.append(first.weight.shape[1])
        return max(inner)

    def load(self, modes: list[Tensor | None], pending: list[Tensor], ready: list[Tensor], phases: list[int]) -> None:
        """Take over a state; see `engine.Engine.load`."""
        for i, (pend, said, phase) in enumerate(zip(pending, ready, phases, strict=True)):
            self.pending[i].copy_(pend)
            self.ready[i].copy_(said)
            self._net.tier[i].phase = phase
        for state, feedback, read, given in zip(self.states, self.feedbacks, self._reads, modes, strict=True):
            if state is None:
                continue
            assert given is not None
            given = given.float().cpu()
            if feedback is None:
                state.copy_(given.transpose(1, 2).flatten(1))
                continue
            room = state.shape[-1] // 2 - given.shape[-2]
            state.copy_(F.pad(given.permute(1, 0, 3, 2), (0, room)).flatten(2))
            feedback.copy_(torch.einsum("hbm,hrm->hbr", state, read))

    def step(self, codes: Tensor) -> Tensor:
        """Return the logits (B, 2 ** bits) behind codes (B,); the tensor is written anew by the next step."""
        codes = self._checked(codes)
        self._library.seqaudio_step(ctypes.byref(self._net), codes.data_ptr(), self._logits.data_ptr())
        return self._logits

    def _checked(self, codes: Tensor) -> Tensor:
        codes = codes.detach().to(device="cpu", dtype=torch.int64).contiguous()
        if codes.shape != (self.batch_size,):
            raise ValueError(f"codes must be ({self.batch_size},), one a row, not {tuple(codes.shape)}")
        low, high = codes.aminmax()
        if int(low) < 0 or int(high) >= len(self.plan.embedding):
            raise ValueError(f"codes must be 0 to {len(self.plan.embedding) - 1}")
        return codes

    def run(self, codes: Tensor, uniforms: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Step and draw `count` times in one call.

        Args:
            codes: (B,), the first inputs.
            uniforms: (count, B) float64 between 0 and 1.
            draws: How to draw.

        Returns:
            Codes (count, B) and their log-likelihoods (count, B), natural, under the untempered distribution.
        """
        codes, uniforms = self._checked(codes).clone(), uniforms.double().cpu().contiguous()
        drawn = torch.empty(uniforms.shape, dtype=torch.int64)
        scores = torch.empty(uniforms.shape, dtype=torch.float32)
        draw = _Draw(draws.temperature, draws.top_p, draws.top_k)
        self._library.seqaudio_run(
            ctypes.byref(self._net),
            len(uniforms),
            ctypes.byref(draw),
            *(x.data_ptr() for x in (uniforms, codes, drawn, scores, self._logits)),
        )
        return drawn, scores


def _parts(x: Tensor) -> Tensor:
    """Return (..., N) complex as (..., 2 N') real: real parts, then imaginary ones, each padded to whole vectors."""
    room = -x.shape[-1] % _LANES
    return torch.cat((F.pad(x.real, (0, room)), F.pad(x.imag, (0, room))), -1)
