"""How fast SaShiMi makes sound on one CPU thread, beside a step in the manner of the published code; kernel memory.

    python benchmarks/audio_generation.py                   # d_model 64, 8 layers, pool 4,4, batches 1 and 16
    python benchmarks/audio_generation.py --rounds 15 --batches 1

All ways run the same weights in the same process, in turns of whole tier patterns, and are timed by the time of the
process; ratios are medians over the rounds. The published manner, written anew from its description: one module
call a layer, lists of states, 64 complex modes a channel with their conjugates, either a dense state matrix or its
eigenvectors. Embedding and head belong to every step; drawing does not, but for the line that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from _machine import write_result
from torch import Tensor, nn

from seqaudio.generation.engine import Engine
from seqaudio.generation.plan import eigenbasis_condition
from seqaudio.generation.sampling import Draws, Streams
from seqaudio.models.sashimi import Sashimi
from seqsuite import create_model
from seqsuite.backbones.unet import ResidualBlock
from seqsuite.mixers.s4 import S4

PATTERN = 16
"""Samples after which all tiers have run: the product of the pool."""

MODES = ("dense", "diagonal")


class PublishedS4(nn.Module):
    """An S4 layer's step with complex states (B, H, N) of whole conjugate pairs."""

    def __init__(self, layer: S4, mode: str) -> None:
        super().__init__()
        system, C = layer.recurrence(torch.complex128)
        dA, dB, dC = _paired(system, C)
        self.mode = mode
        if mode == "diagonal":
            values, vectors = torch.linalg.eig(dA)
            dB = torch.linalg.solve(vectors, dB[..., None])[..., 0]
            dC = torch.einsum("chn,hnm->chm", dC, vectors)
            dA = values
        self.dA, self.dB, self.dC = (x.to(torch.complex64) for x in (dA, dB, dC))
        self.D, self.output_linear = layer.D, layer.output_linear
        self.activation, self.dropout = nn.GELU(), nn.Dropout(0.0)

    def default_state(self, batch: int) -> Tensor:
        """Return zeros."""
        return torch.zeros(batch, *self.dB.shape, dtype=torch.complex64)

    def step(self, u: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """(B, H) to (B, H)."""
        product = "hmn,bhn->bhm" if self.mode == "dense" else "hm,bhm->bhm"
        state = torch.einsum(product, self.dA, state) + torch.einsum("hn,bh->bhn", self.dB, u.to(self.dB.dtype))
        y = torch.einsum("chn,bhn->bch", self.dC, state).real
        y = y + u.unsqueeze(-2) * self.D
        y = self.dropout(self.activation(y.flatten(1)))
        return F.glu(self.output_linear(y), dim=-1), state


def _paired(system: Any, C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return dA (H, 2N, 2N), dB (H, 2N), dC (C, H, 2N) on modes and their conjugates."""
    half = system.decay.shape[1]
    left, right = (torch.cat((x, x.conj()), -1) for x in (system.left, system.right))
    decay = torch.cat((system.decay, system.decay.conj()), -1)
    dA = torch.diag_embed(decay) - torch.einsum("rhm,rhn->hmn", left, right)
    assert dA.shape[-1] == 2 * half
    return dA, torch.cat((system.drive, system.drive.conj()), -1), torch.cat((C, C.conj()), -1)


class PublishedFF(nn.Module):
    """The feed-forward layer as convolutions of one tap."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.first, self.second = _conv(layer.fc1), _conv(layer.fc2)

    def default_state(self, batch: int) -> None:
        """It has none."""

    def step(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        """(B, H) to (B, H)."""
        return self.second(F.gelu(self.first(x.unsqueeze(-1)))).squeeze(-1), state


class PublishedResidual(nn.Module):
    """x + layer(norm(x))."""

    def __init__(self, block: ResidualBlock, mode: str) -> None:
        super().__init__()
        self.norm = block.norm
        self.layer: Any = PublishedS4(block.layer, mode) if isinstance(block.layer, S4) else PublishedFF(block.layer)
        self.dropout = nn.Dropout(0.0)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(B, H) to (B, H)."""
        y, state = self.layer.step(self.norm(x), state)
        return x + self.dropout(y), state


class PublishedDown(nn.Module):
    """Collects steps in a list and gives one when there are enough."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.pool, self.linear = layer.pool, _conv(layer.linear)

    def step(self, x: Tensor, state: list[Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """(B, H) to (B, H') or None."""
        state.append(x)
        if len(state) < self.pool:
            return None, state
        return self.linear(torch.stack(state, -1).flatten(1).unsqueeze(-1)).squeeze(-1), []


class PublishedUp(nn.Module):
    """Gives the steps of a queue, which a step from below fills."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.pool, self.linear = layer.pool, _conv(layer.linear)

    def step(self, x: Tensor | None, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """(B, H') or None to (B, H)."""
        y, *state = state
        if x is not None:
            state = list(torch.unbind(self.linear(x.unsqueeze(-1)).squeeze(-1).unflatten(1, (-1, self.pool)), -1))
        return y, state


def _conv(layer: nn.Linear) -> nn.Conv1d:
    made = nn.Conv1d(layer.in_features, layer.out_features, 1)
    made.weight.data, made.bias.data = layer.weight.data.unsqueeze(-1), layer.bias.data
    return made


class Published(nn.Module):
    """An S-net in the manner of the published step: lists of layers, states and skips."""

    def __init__(self, model: Sashimi, mode: str) -> None:
        super().__init__()
        backbone = model.backbone
        self.d_layers = nn.ModuleList(PublishedDown(pool) for pool in backbone.down_pools)
        self.c_layers = nn.ModuleList(PublishedResidual(block, mode) for block in backbone.centre)
        self.u_layers = nn.ModuleList(
            nn.ModuleList([PublishedUp(pool), *(PublishedResidual(block, mode) for block in blocks)])
            for pool, blocks in zip(reversed(backbone.up_pools), reversed(backbone.up_blocks), strict=True)
        )
        self.norm, self.embedding, self.head = backbone.norm_f, model.embedding, model.head
        self.widths = backbone.widths

    def default_state(self, batch: int) -> tuple[list[Any], list[Any], list[list[Any]]]:
        """Return the states of the layers on the way down, in the centre and on the way up, as lists."""
        up = []
        for block, width in zip(self.u_layers, reversed(self.widths[:-1]), strict=True):
            queue = [torch.zeros(batch, width) for _ in range(block[0].pool)]
            up.append([queue, *(layer.layer.default_state(batch) for layer in block[1:])])
        return [[] for _ in self.d_layers], [layer.layer.default_state(batch) for layer in self.c_layers], up

    def step(self, codes: Tensor, states: tuple[list[Any], list[Any], list[list[Any]]]) -> tuple[Tensor, Any]:
        """(B,) codes to logits; tiers whose step is not complete are left alone."""
        down, centre, up = (list(part) for part in states)
        x: Tensor | None = self.embedding(codes)
        outputs = [x]
        for i, layer in enumerate(self.d_layers):
            x, down[i] = layer.step(x, down[i])
            if x is None:
                break
            outputs.append(x)
        first = max(len(self.d_layers) - len(outputs), 0)
        if x is not None:
            x, centre = self._through(self.c_layers, x, centre)
            x = x + outputs.pop()
        for i in range(first, len(self.u_layers)):
            queue, *inner = up[i]
            pool, *layers = self.u_layers[i]
            y, queue = pool.step(x, queue)
            skip = y + outputs.pop()
            x, inner = self._through(layers, skip, inner)
            x, up[i] = x + skip, [queue, *inner]
        return self.head(self.norm(x)), (down, centre, up)

    def _through(self, layers: Any, x: Tensor, states: list[Any]) -> tuple[Tensor, list[Any]]:
        after = []
        for layer, state in zip(layers, states, strict=True):
            x, state = layer.step(x, state)
            after.append(state)
        return x, after


def check(model: Sashimi, batch: int, ways: dict[str, Callable[[Tensor], Tensor]], length: int) -> dict[str, float]:
    """Return each way's largest difference from the parallel form."""
    codes = torch.randint(256, (batch, length), generator=torch.Generator().manual_seed(batch))
    with torch.inference_mode():
        wanted = model(codes)
        return {
            name: float(max((step(codes[:, t]) - wanted[:, t]).abs().max() for t in range(length)))
            for name, step in ways.items()
        }


def published_step(model: Sashimi, mode: str, batch: int) -> Callable[[Tensor], Tensor]:
    """Return a step that keeps its state."""
    net = Published(model, mode).eval()
    held = [net.default_state(batch)]

    def step(codes: Tensor) -> Tensor:
        logits, held[0] = net.step(codes, held[0])
        return logits

    return step


def measure(model: Sashimi, batch: int, rounds: int) -> dict[str, Any]:
    """Time all ways at one batch size."""
    engines = {name: Engine(model, batch, compile=how) for name, how in (("native", "on"), ("eager", "off"))}
    ways = {f"published {mode}": published_step(model, mode, batch) for mode in MODES}
    ways |= {name: engine.step for name, engine in engines.items()}
    errors = check(model, batch, ways, 4 * PATTERN)
    codes, streams = torch.randint(256, (batch,)), Streams(list(range(batch)))
    ways["native with draws"] = lambda _: engines["native"].run(codes, streams.take(1), Draws())[0]
    patterns = {"published dense": 1, "published diagonal": 2, "eager": 4}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    with torch.inference_mode():
        for _ in range(rounds):
            for name, step in ways.items():
                count = PATTERN * patterns.get(name, 20)
                began = time.process_time()
                if name == "native with draws":
                    engines["native"].run(codes, streams.take(count), Draws())
                else:
                    for _ in range(count):
                        step(codes)
                taken[name].append((time.process_time() - began) / count)
    return {
        "batch": batch,
        "steps_per_second": {name: 1 / statistics.median(times) for name, times in taken.items()},
        "samples_per_second": {name: batch / statistics.median(times) for name, times in taken.items()},
        "times_published_diagonal": {name: ratio(taken["published diagonal"], times) for name, times in taken.items()},
        "times_published_dense": {name: ratio(taken["published dense"], times) for name, times in taken.items()},
        "largest_error": errors,
    }


def ratio(slow: list[float], fast: list[float]) -> float:
    """Return the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(slow, fast, strict=True))


_KERNEL = """
import json, resource, sys, torch
from seqsuite.mixers.s4 import S4
torch.manual_seed(0)
layer = S4(64, d_state=64)
way, length = sys.argv[1], int(sys.argv[2])
def run(length):
    if way == "naive":
        z = torch.exp(2j * torch.pi * torch.arange(length // 2 + 1) / length)
        v, w = torch.randn(2, 2, 64, 1, 64, dtype=torch.complex64), torch.randn(64, 1, 64, dtype=torch.complex64)
        return (v / (z[:, None] - w)).sum(-1)
    k = layer.kernel(length)
    if way == "with gradients":
        k.square().sum().backward()
with torch.set_grad_enabled(way == "with gradients"):
    run(64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(length)
print(json.dumps((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024))
"""


def kernel_memory(length: int = 16000) -> dict[str, float]:
    """Return by how many MB the memory of a fresh process rises while a kernel of S4 is made."""
    found = {}
    for way in ("without gradients", "with gradients", "naive"):
        command = [sys.executable, "-c", _KERNEL, way, str(length)]
        found[way] = float(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    return found


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = create_model("sashimi").eval()
    assert isinstance(model, Sashimi)
    first = model.backbone.up_blocks[0][0].layer
    result: dict[str, Any] = {
        "model": "sashimi: d_model 64, 8 layers, pool 4,4, n_ssm 1",
        "rounds": options.rounds,
        "condition_of_eigenvectors": eigenbasis_condition(first),
        "kernel_memory_MB_H64_N64_L16000": kernel_memory(),
        "batches": [measure(model, batch, options.rounds) for batch in options.batches],
    }
    print(json.dumps(result, indent=2))
    print(write_result("audio_generation", result))


if __name__ == "__main__":
    main()
