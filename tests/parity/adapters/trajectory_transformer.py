"""The Trajectory Transformer against the published code: discretisers, token sequences, network, search."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from seqrl.convert_trajectory import config_from_jannerm, from_jannerm, to_jannerm
from seqrl.data.discretizers import Discretizer, fit_discretizer
from seqrl.data.trajectories import TokenWindows, flat_rows
from seqrl.models.trajectory_transformer import TrajectoryTransformer, dimension_weights, trajectory_loss
from seqrl.planning import (
    PlanContext,
    PlanOptions,
    Replay,
    beam_plan,
    beam_search,
    estimate,
    filter_cdf,
    filter_top_k,
)
from seqsuite.testing.parity import Case, adapter


@adapter("trajectory_transformer")
def trajectory_transformer(case: Case) -> dict[str, Tensor]:
    name = case.folder.name
    parts = {"gpt": network, "plan": plan, "beam": likelihood, "sampling": filters, "sequence": sequences}
    if name == "discretizer_quantile":
        return quantiles(case)
    return parts.get(name.split("_")[0], bins)(case)


def network(case: Case) -> dict[str, Tensor]:
    leaves = {name: tensor.requires_grad_() for name, tensor in case.weights.items()}
    config = config_from_jannerm(case.hyperparameters)
    model = TrajectoryTransformer(config).eval()
    weights = from_jannerm(leaves, config)
    assert weights.keys() == model.state_dict().keys()
    tokens, targets = case.take("idx"), case.take("targets")
    logits = functional_call(model, weights, (tokens,))
    loss = trajectory_loss(logits, targets, case.take("mask"), weights=dimension_weights(config))
    found = torch.autograd.grad(loss, list(leaves.values()))
    results = {"logits": logits, "loss": loss}
    length = 8 if case.folder.name == "gpt_unit_weights" else 11
    results["prefix_logits"] = functional_call(model, weights, (tokens[:, :length],))
    results["unweighted_ce"] = trajectory_loss(logits, targets, weights=(1.0,) * config.transition_dim)
    back = to_jannerm(weights, config)
    assert all(torch.equal(back[name], leaves[name]) for name in leaves)
    return results | {f"grad.{name}": gradient for name, gradient in zip(leaves, found, strict=True)}


def load(case: Case, given: dict) -> TrajectoryTransformer:
    model = TrajectoryTransformer(config_from_jannerm(given)).eval()
    model.load_state_dict(from_jannerm(case.weights, model.config))
    return model


def plan(case: Case) -> dict[str, Tensor]:
    """Every engine must give the recorded plan; the cached one's is returned."""
    model = load(case, case.hyperparameters["model"])
    given = dict(case.hyperparameters["plan"])
    given["horizon"], given["max_context"] = given.pop("n_steps"), given.pop("max_context_transitions")
    if given["percentile"] != "mean":
        given["percentile"] = float(given["percentile"])
    options = PlanOptions(**given, wrap=True)
    discretizer = fit_discretizer(case.take("fit_data").numpy(), model.config.vocab_size)
    sizes = {"observation_dim": model.config.observation_dim, "action_dim": model.config.action_dim}
    context = PlanContext(discretizer, **sizes, rows=options.max_context)
    split = model.config.observation_dim
    for row in case.take("context_raw").numpy():
        context.add(row[:split], row[split:-1], row[-1])
    prefix = torch.from_numpy(context.prefix(case.take("observation").numpy(), context=options.prefix_context))[None]
    count = sum(name.startswith("draws.") for name in case.inputs)
    recorded = [case.take(f"draws.{call}") for call in range(count)]
    plans = {
        engine: beam_plan(model, discretizer, prefix, options, draws=Replay(recorded), engine=engine)
        for engine in ("plain", "cached")
    }
    assert torch.equal(plans["plain"].tokens, plans["cached"].tokens)
    found = plans["cached"]
    rows = torch.from_numpy(found.rows(discretizer)[0])
    results = {"prefix": prefix, "best_sequence": found.tokens[0], "best_sequence_reconstructed": rows}
    results["action"] = rows[0, split : split + model.config.action_dim]
    return results | {f"topk_values.{row}": values[0] for row, values in enumerate(found.kept_values)}


def likelihood(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    options = {"beam_width": given["beam_width"], "top_k": given["topk"], "temperature": given["temperature"]}
    model = load(case, given["model"])
    tokens, logps = beam_search(model, case.take("x"), given["n_steps"], **options)
    plain, _ = beam_search(model, case.take("x"), given["n_steps"], **options, engine="plain")
    assert torch.equal(tokens, plain)
    return {"sequence": tokens[0, 0], "cumulative_logp": logps[0]}


def filters(case: Case) -> dict[str, Tensor]:
    logits, given = case.take("logits"), case.hyperparameters
    found = {f"top_k.{k}": filter_top_k(logits, k) for k in given["k"]}
    return found | {f"filter_cdf.{share}": filter_cdf(logits, share) for share in given["threshold"]}


def quantiles(case: Case) -> dict[str, Tensor]:
    discretizer = fit_discretizer(case.take("data").numpy(), case.hyperparameters["N"])
    query, probs = case.take("query").numpy(), case.take("probs")
    tokens = discretizer.encode(query)
    observations = discretizer.encode(query[:, : case.hyperparameters["observation_dim"]])
    results = {"indices": tokens, "indices_obs_subslice": observations, "reconstruction": discretizer.decode(tokens)}
    found = {name: torch.from_numpy(array) for name, array in results.items()}
    edges = found["thresholds"] = torch.from_numpy(discretizer.edges)
    for place, name in enumerate(("reward", "value")):
        for kind, percentile in (("mean", "mean"), ("p80", 0.8), ("p30", 0.3)):
            estimated = estimate(probs[:, place], edges[:, place - 2], percentile, wrap=True)
            found[f"value_{kind}_{name}"] = estimated
    return found


def bins(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    strategy = "uniform" if given["strategy"] == "uniform" else "percentile"
    discretizer = fit_discretizer(case.take("data").numpy(), given["num_bins"], strategy=strategy)
    query, probs = case.take("query").numpy(), case.take("probs")
    tokens = discretizer.encode(query)
    edges = torch.from_numpy(discretizer.edges)
    found = {
        "bin_edges": discretizer.edges.T,
        "indices": tokens,
        "indices_subslice_1_3": discretizer.encode(query[:, 1:3], first=1),
        "reconstruction": discretizer.decode(tokens),
    }
    expected = [estimate(probs[:, place], edges[:, place - 2]) for place in range(2)]
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in found.items()} | {
        "expectation": torch.stack(expected, 1)
    }


def sequences(case: Case) -> dict[str, Tensor]:
    given = case.hyperparameters
    names = ("observations", "actions", "rewards", "terminals", "timeouts")
    arrays = [case.take(f"raw.{name}").numpy() for name in names]
    rows = flat_rows(*arrays, discount=given["discount"], termination_penalty=given["penalty"])
    discretizer: Discretizer = fit_discretizer(rows.rows, given["N"])
    options = {"step": given["step"], "max_path_length": given["max_path_length"]}
    windows = TokenWindows(rows, discretizer, given["sequence_length"], **options)
    items = [windows[index] for index in range(len(windows))]
    stacked = {key: np.stack([item[key] for item in items]) for key in ("tokens", "targets", "mask")}
    values = np.zeros((len(rows.lengths), given["max_path_length"], 1))
    for path, (start, end) in enumerate(zip(rows.offsets[:-1], rows.offsets[1:], strict=True)):
        values[path, : end - start, 0] = rows.rows[start:end, -1]
    reach = given["sequence_length"] * given["step"]
    found = {
        "X": stacked["tokens"],
        "Y": stacked["targets"],
        "mask": stacked["mask"],
        "joined_raw": rows.rows,
        "thresholds": discretizer.edges,
        "values_segmented": values,
        "indices": np.stack([windows.episode, windows.first, windows.first + reach], 1),
        "path_lengths": rows.lengths,
    }
    return {name: torch.from_numpy(array) for name, array in found.items()}
