"""XLNet beside transformers' XLNetLMHeadModel: time of a training step.

    python benchmarks/xlnet_training.py
    python benchmarks/xlnet_training.py --rounds 20 --activation gelu

The same sizes, weights, tokens, masks and dropout, in one process, by turns; medians of the CPU time of the rounds. A
step is forward, loss, backward, clipping and AdamW. "base" is D 256, 8 layers, 8 heads, T 64, B 16; "debug" the size
rt_debug (D 64, 2 layers) at T 32, B 16. About --fraction of the tokens are masked, in an order of their own in each
row, and of every eighth row the last quarter is padding. Three cases:

- theirs: the target mapping is the identity, as the published Regression Transformer trains, logits at all positions;
- ours, identity: the same inputs;
- ours, masked: the query stream at the masked positions only, which is all that the loss sees.

"theirs, masked" is their model given one-hot rows of the masked positions, which the published collators never do. All
losses are the same, which is checked before. Needs the group bench. Run it with nothing else on its core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import torch.nn.functional as F
from _machine import write_result

from seqsuite.models.configs import XLNetConfig
from seqsuite.models.xlnet import XLNetLM
from seqsuite.models.xlnet_convert import config_to_published

SIZES = {
    "base": ({"n_token": 507, "d_model": 256, "n_layer": 8, "n_head": 8, "d_inner": 1024}, 16, 64),
    "debug": ({"n_token": 108, "d_model": 64, "n_layer": 2, "n_head": 4, "d_inner": 128}, 16, 32),
}


def make_models(fields: dict[str, Any], activation: str) -> tuple[Any, Any]:
    from transformers import XLNetConfig as TheirConfig
    from transformers import XLNetLMHeadModel

    torch.manual_seed(0)
    config = XLNetConfig(activation=activation, dropout=0.1, **fields)
    ours = XLNetLM(config)
    theirs = XLNetLMHeadModel(TheirConfig(**config_to_published(config)))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def make_batch(vocabulary: int, rows: int, length: int, fraction: float) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    ids = torch.randint(5, vocabulary, (rows, length), generator=random)
    attention = torch.ones(rows, length)
    attention[::8, length - length // 4 :] = 0
    masked = (torch.rand(rows, length, generator=random) < fraction) & (attention > 0)
    masked[:, 1] = True
    order = torch.rand(rows, length, generator=random).where(masked, torch.tensor(-1.0))
    perm = ((order[:, :, None] <= order[:, None, :]) & masked[:, None, :]).float()
    count = int(masked.sum(1).max())
    places = (~masked).to(torch.int8).argsort(dim=1, stable=True)[:, :count]
    labels = ids.where(masked, torch.tensor(-100))
    return {
        "input_ids": ids.masked_fill(masked, 4),
        "attention_mask": attention,
        "perm_mask": perm,
        "identity": torch.eye(length).expand(rows, -1, -1).contiguous(),
        "one_hot": F.one_hot(places, length).float(),
        "places": places,
        "labels": labels,
        "labels_at": labels.gather(1, places),
    }


def step_of(model: Any, batch: dict[str, torch.Tensor], targets: dict[str, Any], labels: str) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    given = {name: batch[name] for name in ("input_ids", "attention_mask", "perm_mask")} | targets

    def step() -> float:
        logits = model(**given).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch[labels].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def by_turns(cases: dict[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Time each case in every round, in an order that turns; milliseconds of a step."""
    for run in cases.values():
        run(), run()
    names = list(cases)
    times: dict[str, list[float]] = {name: [] for name in names}
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            start = time.process_time()
            cases[name]()
            times[name].append((time.process_time() - start) * 1e3)
    return {name: {"median_ms": statistics.median(all_), "fastest_ms": min(all_)} for name, all_ in times.items()}


def losses_of(ours: Any, theirs: Any, cases: dict[str, tuple], batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Return each case's loss without dropout."""
    found = {}
    for name, (model, targets, labels) in cases.items():
        model.eval()
        given = {key: batch[key] for key in ("input_ids", "attention_mask", "perm_mask")} | targets
        with torch.no_grad():
            logits = model(**given).logits
            found[name] = F.cross_entropy(logits.flatten(0, 1), batch[labels].flatten()).item()
        model.train()
    return found


def measure(size: str, activation: str, fraction: float, rounds: int) -> dict[str, Any]:
    fields, rows, length = SIZES[size]
    ours, theirs = make_models(fields, activation)
    batch = make_batch(fields["n_token"], rows, length, fraction)
    identity = {"target_mapping": batch["identity"]}
    cases: dict[str, tuple] = {
        "theirs": (theirs, identity, "labels"),
        "theirs, masked": (theirs, {"target_mapping": batch["one_hot"]}, "labels_at"),
        "ours, identity": (ours, identity | {"with_content": False}, "labels"),
        "ours, masked": (ours, {"target_positions": batch["places"], "with_content": False}, "labels_at"),
    }
    losses = losses_of(ours, theirs, cases, batch)
    if max(losses.values()) - min(losses.values()) > 1e-5:
        raise SystemExit(f"the losses differ: {losses}")
    timed = by_turns({name: step_of(m, batch, targets, at) for name, (m, targets, at) in cases.items()}, rounds)
    for row in timed.values():
        row["times_theirs"] = row["median_ms"] / timed["theirs"]["median_ms"]
    return {
        "batch": rows,
        "length": length,
        "targets": batch["places"].shape[1],
        **fields,
        "loss": losses,
        "step": timed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=11, help="rounds of the size base; of debug twenty times as many")
    parser.add_argument("--fraction", type=float, default=0.2, help="of the tokens are masked")
    parser.add_argument("--activation", choices=["gelu_tanh", "gelu"], default="gelu_tanh")
    parser.add_argument("--no_write", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    result: dict[str, Any] = {"activation": given.activation, "fraction": given.fraction, "sizes": {}}
    result["load"] = os.getloadavg()[0]  # of other work on the machine, which makes the ratios noisy
    for size in given.sizes:
        rounds = given.rounds * (20 if size == "debug" else 1)
        result["sizes"][size] = measure(size, given.activation, given.fraction, rounds)
        for name, row in result["sizes"][size]["step"].items():
            print(f"{size:8} {name:18} {row['median_ms']:9.2f} ms   {row['times_theirs']:5.2f} x theirs")
    if not given.no_write:
        print(write_result("xlnet_training", result))


if __name__ == "__main__":
    main()
