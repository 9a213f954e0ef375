"""The fastest way to run a model sample by sample: machine code, torch operations in place, or the model's own step.

    engine = Engine(model, batch_size=16)
    engine.prefill(inputs)                      # (B, L): what went before, in parallel form
    logits = engine.step(codes_t)               # (B, 2 ** bits)
    engine.path                                 # "native", "eager" or "model"

All agree with the parallel form. A CUDA graph of the torch operations of each tier pattern would suit GPUs: states
are in place and their addresses fixed.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seqaudio.generation.building import NativeError
from seqaudio.generation.eager import EagerStepper, run_steps
from seqaudio.generation.native import NativeStepper
from seqaudio.generation.plan import make_plan, ssm_states
from seqaudio.generation.sampling import Draws
from seqaudio.models.base import SampleModel
from seqsuite.backbones._pooled_rows import on_trees
from seqsuite.errors import UserError

Compile = Literal["auto", "on", "off"]

_PREFILL = 1 << 16
"""Samples read at once: bounds the memory of a long prompt."""


class Engine:
    """A model with the state of B rows.

    Args:
        model: For the next sample, in evaluation mode.
        batch_size: Rows B.
        compile: "on" demands machine code, "off" does without, "auto" takes it where it can be built.

    Attributes:
        path: What runs: "native", "eager", or "model", the model's own step.
        why: Why not "native" though it was not forbidden; empty otherwise.

    Raises:
        UserError: The model does not run sample by sample, or machine code is demanded and impossible.
    """

    def __init__(self, model: SampleModel, batch_size: int, *, compile: Compile = "auto") -> None:
        if model.training:
            raise ValueError("a model that generates is in evaluation mode: call model.eval()")
        self.model, self.batch_size = model, batch_size
        self._first: Any = model.init_state(batch_size)  # refuses models that see ahead
        self.device = model.embedding.weight.device
        self._stepper, self.why = self._choose(compile)
        self.path = self._stepper.kind
        self.reset()

    def _choose(self, compile: Compile) -> tuple[Any, str]:
        weight = self.model.embedding.weight
        plan = make_plan(self.model) if weight.dtype == torch.float32 else None
        if plan is None:
            why = f"{type(self.model).__name__} with mixer {self.model.config.mixer!r} in {weight.dtype} has no plan"
        elif self.device.type != "cpu":
            why = f"the model is on {self.device}"
        else:
            why = ""
        if not why and compile != "off" and plan is not None:
            try:
                return NativeStepper(plan, self.batch_size), ""
            except NativeError as error:
                why = str(error)
        if compile == "on":
            raise UserError(f"--compile on: {why}; leave it out, or use --compile off")
        why = why if compile == "auto" else ""
        if plan is None:
            return _ModelStepper(self.model, self.batch_size), why
        return EagerStepper(plan, self.batch_size, device=self.device), why

    def reset(self) -> None:
        """Go back to the state before the first sample."""
        self.load(self._first)

    @torch.inference_mode()
    def prefill(self, codes: Tensor) -> None:
        """Read codes in parallel form, from the first sample on.

        Args:
            codes: (B, L) inputs, L above 0, or (1, L) for all rows.
        """
        state = None
        for part in codes.to(self.device).split(_PREFILL, 1):
            _, state = self.model.prefill(part, state)
        if len(codes) != self.batch_size:
            state = on_trees(lambda x: x.expand(self.batch_size, *x.shape[1:]).contiguous(), state)
        self.load(state)

    def load(self, state: Any) -> None:
        """Take over a state of the model.

        Raises:
            ValueError: Its rows stand at different places of their pools.
        """
        if isinstance(self._stepper, _ModelStepper):
            self._stepper.state = state
            return
        phases = []
        for tier in state.tiers:
            low, high = (int(x) for x in tier.phase.aminmax())
            if low != high:
                raise ValueError("rows of an engine stand at the same sample; load rows of one length")
            phases.append(low)
        pending, ready = [tier.pending for tier in state.tiers], [tier.ready for tier in state.tiers]
        self._stepper.load(ssm_states(state), pending, ready, phases)

    def step(self, codes: Tensor) -> Tensor:
        """Return the logits (B, 2 ** bits) behind codes (B,); valid until the next step."""
        logits: Tensor = self._stepper.step(codes)
        return logits

    def run(self, codes: Tensor, uniforms: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Step and draw as often as there are uniform numbers (count, B); see `NativeStepper.run`."""
        done: tuple[Tensor, Tensor] = self._stepper.run(codes, uniforms, draws)
        return done


class _ModelStepper:
    """The model's own step."""

    kind = "model"

    def __init__(self, model: SampleModel, batch_size: int) -> None:
        self.model, self.state = model, model.init_state(batch_size)

    @torch.inference_mode()
    def step(self, codes: Tensor) -> Tensor:
        logits, self.state = self.model.step(codes.to(self.model.embedding.weight.device), self.state)
        return logits

    def run(self, codes: Tensor, uniforms: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            return run_steps(self.step, codes, uniforms, draws)
