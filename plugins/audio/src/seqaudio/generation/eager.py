"""The same step in torch operations: where there is no compiler, and on other devices.

    stepper = EagerStepper(plan, batch_size=16, device="cuda")
    logits = stepper.step(codes)

Real arithmetic, states written in place, each linear layer one `addmm`, and of a state space three operations: the
decay, all inputs (the sample and the low rank's feedback) by one batched product, all outputs by another.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqaudio.generation.plan import BlockPlan, FeedForwardBlock, Linear, Norm, Plan, S5Block, SSMBlock, all_blocks
from seqaudio.generation.sampling import Draws, draw

_ACTIVATIONS: dict[str, Any] = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu, "none": lambda x: x}


class EagerStepper:
    """A plan with its states in place.

    Args:
        plan: The model.
        batch_size: Rows B.
        device: Where it runs.

    Attributes:
        kind: "eager".
    """

    kind = "eager"

    def __init__(self, plan: Plan, batch_size: int, *, device: torch.device | str = "cpu") -> None:
        self.plan, self.batch_size, self.device = plan, batch_size, torch.device(device)
        self._of = {id(block): self._make(block) for block in all_blocks(plan)}
        self._blocks = [self._of[id(block)] for block in all_blocks(plan)]
        self._links = [(_Affine(tier.join, self.device), _Affine(tier.split, self.device)) for tier in plan.tiers]
        self._embedding = plan.embedding.to(self.device)
        self._norm, self._head = _Normalised(plan.norm, self.device), _Affine(plan.head, self.device)
        sizes = [(batch_size, tier.pool, width) for tier, width in zip(plan.tiers, plan.widths, strict=False)]
        self.pending, self.ready = ([torch.zeros(size, device=self.device) for size in sizes] for _ in range(2))
        self._phases = [0 for _ in sizes]

    def _make(self, block: BlockPlan) -> _Layer:
        kinds: dict[type, Any] = {SSMBlock: _SSM, S5Block: _S5, FeedForwardBlock: _FeedForward}
        layer: _Layer = kinds[type(block)](block, self.batch_size, self.device)
        return layer

    def load(self, modes: list[Tensor | None], pending: list[Tensor], ready: list[Tensor], phases: list[int]) -> None:
        """Take over a state; see `engine.Engine.load`."""
        for mine, given in zip((*self.pending, *self.ready), (*pending, *ready), strict=True):
            mine.copy_(given)
        self._phases = list(phases)
        for layer, entering in zip(self._blocks, modes, strict=True):
            if entering is not None:
                layer.load(entering)

    @torch.inference_mode()
    def step(self, codes: Tensor) -> Tensor:
        """Return the logits (B, 2 ** bits) behind codes (B,)."""
        x = self._tick(0, F.embedding(codes.to(self.device), self._embedding))
        return self._head(self._norm(x))

    def _tick(self, tier: int, x: Tensor) -> Tensor:
        if tier == len(self.plan.tiers):
            return x + self._through(self.plan.centre, x)
        here, phase = self.plan.tiers[tier], self._phases[tier]
        skips = []
        for block in here.down:
            skips.append(x)
            x = self._of[id(block)](x)
        self.pending[tier][:, phase] = x
        x = self.ready[tier][:, phase] + x
        if not self.plan.unet:
            x = x + self._through(here.up, x)
        else:
            for block in here.up:
                x = self._of[id(block)](x) + skips.pop()
        self._phases[tier] = (phase + 1) % here.pool
        if not self._phases[tier]:
            join, split = self._links[tier]
            below = self._tick(tier + 1, join(self.pending[tier].flatten(1)))
            self.ready[tier].copy_(split(below).view_as(self.ready[tier]))
        return x

    def _through(self, blocks: tuple[BlockPlan, ...], x: Tensor) -> Tensor:
        for block in blocks:
            x = self._of[id(block)](x)
        return x

    @torch.inference_mode()
    def run(self, codes: Tensor, uniforms: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Step and draw; see `NativeStepper.run`."""
        return run_steps(self.step, codes, uniforms, draws)


def run_steps(step: Any, codes: Tensor, uniforms: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Step and draw with any `step` from codes (B,) to logits; see `NativeStepper.run`."""
    drawn, scores = [], []
    for uniform in uniforms:
        codes, score = draw(step(codes), uniform, draws)
        drawn.append(codes)
        scores.append(score)
    return torch.stack(drawn).cpu(), torch.stack(scores).cpu()


class _Affine:
    def __init__(self, layer: Linear, device: torch.device) -> None:
        self.weight, self.bias = layer.weight.to(device), layer.bias.to(device)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class _Normalised:
    def __init__(self, norm: Norm, device: torch.device) -> None:
        self.norm, self.weight, self.bias = norm, norm.weight.to(device), norm.bias.to(device)

    def __call__(self, x: Tensor) -> Tensor:
        norm = self.norm
        if not norm.floor and not norm.shift:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, norm.eps)
        variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
        scale = (variance.clamp(min=norm.floor) + norm.eps).rsqrt()
        return torch.addcmul(self.bias, (x - mean + norm.shift) * scale, self.weight)


class _Layer:
    """A block: x (B, D) to x plus what it makes of it."""

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def load(self, modes: Tensor) -> None:
        """Take over modes (B, ..., 2)."""


class _FeedForward(_Layer):
    def __init__(self, block: FeedForwardBlock, batch: int, device: torch.device) -> None:
        self.norm = _Normalised(block.norm, device)
        self.first, self.second = _Affine(block.first, device), _Affine(block.second, device)

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.second(F.gelu(self.first(self.norm(x))))


class _SSM(_Layer):
    def __init__(self, block: SSMBlock, batch: int, device: torch.device) -> None:
        heads, modes = block.decay.shape
        self.block, self.channels, self.rank = block, len(block.skip), block.rank
        self.norm = _Normalised(block.norm, device)
        self.linear = None if block.linear is None else _Affine(block.linear, device)
        self.activation = _ACTIVATIONS[block.activation]
        self.decay = block.decay.to(torch.complex64).to(device)[:, None]
        self.drive = torch.view_as_real(block.drive.transpose(0, 1)).flatten(2).float().to(device)  # (H, 1 + r, 2N)
        read = torch.view_as_real(2 * block.read.conj().resolve_conj()).flatten(2).float()
        self.read = read.permute(1, 2, 0).contiguous().to(device)  # (H, 2N, c + r)
        self.skip = block.skip.T[:, None].to(device)  # (H, 1, c)
        self.state = torch.zeros(heads, batch, modes, dtype=torch.complex64, device=device)
        self.flat = torch.view_as_real(self.state).flatten(2)  # the same memory
        self.inputs = torch.zeros(heads, batch, 1 + self.rank, device=device)

    def __call__(self, x: Tensor) -> Tensor:
        u = self.norm(x)
        self.inputs[:, :, 0] = u.T
        self.state.mul_(self.decay)
        self.flat.baddbmm_(self.inputs, self.drive)
        out = torch.bmm(self.flat, self.read)  # (H, B, c + r)
        y = torch.addcmul(out[:, :, : self.channels], self.inputs[:, :, :1], self.skip)
        if self.rank:
            self.inputs[:, :, 1:] = out[:, :, self.channels :]
        y = self.activation(y).permute(1, 2, 0).flatten(1)
        if self.linear is not None:
            y = self.linear(y)
        return x + (F.glu(y, -1) if self.block.gated else y)

    def load(self, modes: Tensor) -> None:
        torch.view_as_real(self.state).copy_(modes.transpose(0, 1))
        self.inputs[:, :, 1:] = torch.bmm(self.flat, self.read)[:, :, self.channels :]


class _S5(_Layer):
    def __init__(self, block: S5Block, batch: int, device: torch.device) -> None:
        self.norm, self.skip = _Normalised(block.norm, device), block.skip.to(device)
        self.read_in, self.read_out = _Affine(block.read_in, device), _Affine(block.read_out, device)
        self.decay = torch.stack((block.decay.real, block.decay.imag)).float().to(device)
        self.state = torch.zeros(batch, 2, len(block.decay), device=device)

    def __call__(self, x: Tensor) -> Tensor:
        u = self.norm(x)
        re, im = self.state.unbind(1)
        moved = torch.stack((self.decay[0] * re - self.decay[1] * im, self.decay[0] * im + self.decay[1] * re), 1)
        self.state.copy_(self.read_in(u).view_as(moved) + moved)
        return x + torch.addcmul(self.read_out(self.state.flatten(1)), u, self.skip)

    def load(self, modes: Tensor) -> None:
        self.state.copy_(modes.transpose(1, 2))
