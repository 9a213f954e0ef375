"""Decision Transformer beside transformers' DecisionTransformerModel: time of an update, and of acting.

    python benchmarks/rl_decision_transformer.py
    python benchmarks/rl_decision_transformer.py --rounds 40 --mixer mamba

The same sizes, weights, batches and dropouts, in one process, by turns; medians of the CPU time of the rounds. An
update is forward, backward, clipping and AdamW at B = 64, K = 20, D = 128 (the published size for Hopper), with every
fourth row padded at its left.
Acting is one forward of our model at B = 1 and, as "agent", everything from an observation to an action, against a bare
forward of theirs; the agent is timed in the first 20 steps of an episode and after 500. Needs the group bench. Run it
with nothing else on its core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _machine import write_result
from gymnasium.spaces import Box

from seqrl.convert import to_huggingface
from seqrl.spaces import space_to_json
from seqsuite.models import create_model

BATCH, CONTEXT, STATE, ACTION = 64, 20, 11, 3
NAMES = ("states", "actions", "returns_to_go", "timesteps")


def make_models(mixer: str) -> tuple[Any, Any]:
    from transformers import DecisionTransformerConfig, DecisionTransformerModel

    torch.manual_seed(0)
    spaces = {
        "observation_space": space_to_json(Box(-np.inf, np.inf, (STATE,), np.float64)),
        "action_space": space_to_json(Box(-1, 1, (ACTION,), np.float32)),
    }
    published = create_model("decision_transformer", **spaces)
    raw, tensors = to_huggingface(published.state_dict(), published.config)
    theirs = DecisionTransformerModel(DecisionTransformerConfig(**raw))
    theirs.load_state_dict(tensors)
    if mixer != "attention":
        return create_model("decision_transformer", mixer=mixer, **spaces), theirs
    return published, theirs


def make_batch(rows: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    mask = torch.ones(rows, CONTEXT, dtype=torch.bool)
    for row in range(0, rows, 4):
        mask[row, : row % CONTEXT] = False
    return {
        "states": torch.randn(rows, CONTEXT, STATE, generator=random),
        "actions": torch.rand(rows, CONTEXT, ACTION, generator=random) * 2 - 1,
        "returns_to_go": torch.rand(rows, CONTEXT, 1, generator=random) * 3.6,
        "timesteps": torch.arange(CONTEXT).expand(rows, -1) + 100,
        "mask": mask if rows > 1 else torch.ones_like(mask),
    }


def update_of(model: Any, batch: dict[str, torch.Tensor], predict: Callable[[], torch.Tensor]) -> Callable[[], None]:
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-4)
    keep = batch["mask"]

    def update() -> None:
        loss = (predict()[keep] - batch["actions"][keep]).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        optimizer.step()

    return update


def ours_on(model: Any, batch: dict[str, torch.Tensor]) -> Callable[[], torch.Tensor]:
    return lambda: model(*(batch[name] for name in NAMES), mask=batch["mask"]).actions


def theirs_on(model: Any, batch: dict[str, torch.Tensor]) -> Callable[[], torch.Tensor]:
    given = {name: batch[name] for name in NAMES} | {"attention_mask": batch["mask"].long()}
    return lambda: model(**given, rewards=None).action_preds


def acting(model: Any, steps: int) -> Callable[[], None]:
    """An agent that has played some steps; each call is one more, at the same age where it is young."""
    from seqrl.agents import make_agent

    agent = make_agent(model)
    observation = np.zeros(STATE)
    agent.reset(target_return=3600)
    for _ in range(steps):
        agent.act(observation)
        agent.observe(1.0)
    played = 0

    def act() -> None:
        nonlocal played
        if steps == 0 and played == CONTEXT:
            agent.reset(target_return=3600)
            played = 0
        agent.act(observation)
        agent.observe(1.0)
        played += 1

    return act


def by_turns(cases: dict[str, Callable[[], Any]], rounds: int, repeats: int) -> dict[str, dict[str, float]]:
    """Time each case in every round, `repeats` calls at once; milliseconds of one call."""
    for run in cases.values():
        for _ in range(3):
            run()
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, run in cases.items():
            start = time.process_time()
            for _ in range(repeats):
                run()
            times[name].append((time.process_time() - start) / repeats * 1e3)
    return {name: {"median_ms": statistics.median(all_), "fastest_ms": min(all_)} for name, all_ in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25, help="rounds of updates; of acting eight times as many")
    parser.add_argument("--mixer", default="attention", help="of our model; theirs stays attention")
    parser.add_argument("--no_write", action="store_true", help="print only")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    ours, theirs = make_models(given.mixer)
    one, many = make_batch(1), make_batch(BATCH)
    with torch.inference_mode():
        ours.eval(), theirs.eval()
        apart = (ours_on(ours, many)() - theirs_on(theirs, many)())[many["mask"]].abs().max().item()
        cases = {"theirs": theirs_on(theirs, one), "ours": ours_on(ours, one)}
        cases |= {"agent, first 20 steps": acting(ours, 0), "agent, after 500 steps": acting(ours, 500)}
        acted = by_turns(cases, given.rounds * 8, 5)
    updates = {"theirs": update_of(theirs, many, theirs_on(theirs, many))}
    updates["ours"] = update_of(ours, many, ours_on(ours, many))
    updated = by_turns(updates, given.rounds, 1)
    result = {"mixer": given.mixer, "largest_difference": apart, "update": updated, "acting": acted}
    for what, rows in (("update", updated), ("acting", acted)):
        for name, row in rows.items():
            ratio = row["median_ms"] / rows["theirs"]["median_ms"]
            print(f"{what:8} {name:24} {row['median_ms']:9.3f} ms   {ratio:5.2f} x theirs")
    print(f"largest difference of the actions with the same weights: {apart:.2g}")
    if not given.no_write:
        name = "rl_decision_transformer" + ("" if given.mixer == "attention" else f"_{given.mixer}")
        print(write_result(name, result))


if __name__ == "__main__":
    main()
