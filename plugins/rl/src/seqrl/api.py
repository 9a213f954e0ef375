"""What a notebook imports: a trained policy, from a run or a model folder.

    import seqrl
    policy = seqrl.load("runs/cartpole")
    policy                                          # a table of what it is
    agent = policy.agent()
    agent.reset(target_return=500)
    action = agent.act(observation)
    agent.observe(reward)
    policy.evaluate(targets="500,100").figure()

A model folder says what an agent needs: spaces, statistics, scale; a run folder also says what it was trained on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import yaml

from seqrl.configs.models import PolicyConfig
from seqsuite.errors import UserError
from seqsuite.models import load_model
from seqsuite.models.base import Model
from seqsuite.models.create import to_device
from seqsuite.models.published import is_hub_id, own_folder, read_json
from seqsuite.reports import TableView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seqrl.agents import Agent
    from seqrl.evaluation import Evaluation
    from seqrl.evaluation.video import Recorded
    from seqrl.planning.decisions import Decisions

__all__ = ["TrainedPolicy", "load"]

Weights = Literal["last", "best"]


class TrainedPolicy(TableView):
    """A trained policy and what belongs to it.

    Args:
        model: The network; put in evaluation mode.
        folder: Its run or model folder; None for a model from elsewhere.
        weights: Which weights these are, in words.
        options: What its run was told; None for a bare model folder.
        summary: What the run wrote at its end.
    """

    def __init__(
        self,
        model: Model,
        folder: Path | None = None,
        weights: str = "as given",
        options: Mapping[str, Any] | None = None,
        summary: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.folder, self.weights = model.eval(), folder, weights
        self.options, self.summary = options, dict(summary or {})

    def __repr__(self) -> str:
        where = f", {self.config.env_id}" if self.config.env_id else ""
        return f"TrainedPolicy({self.kind}, {self.model.num_parameters():,} parameters{where})"

    @property
    def config(self) -> PolicyConfig:
        """What it was built from."""
        return self.model.config

    @property
    def kind(self) -> str:
        """Its class: DecisionTransformer, BehaviorCloning, ..."""
        return type(self.model).__name__

    @property
    def name(self) -> str:
        """Its kind and the name of its folder."""
        return self.kind if self.folder is None else f"{self.kind} {self.folder.name}"

    def to(self, device: str | torch.device) -> TrainedPolicy:
        """Move the network to a device; returns itself.

        Raises:
            UserError: The device cannot be used here.
        """
        to_device(self.model, device)
        return self

    def table(self) -> dict[str, Any]:
        """Return what it is, by name."""
        config = self.config
        facts: dict[str, Any] = {"policy": self.kind, "parameters": self.model.num_parameters()}
        facts |= {"weights": self.weights, "environment": config.env_id or "not known"}
        for name in ("context", "mixer"):
            if hasattr(config, name):
                facts[name] = getattr(config, name)
        for name in ("observation", "action"):
            text = getattr(config, f"{name}_space")
            facts[f"{name}s"] = _described(text) if text else "not known"
        if config.reference:
            low, high, source = (config.reference[name] for name in ("minimum", "maximum", "source"))
            facts["score 0 and 100"] = f"{low:.6g} and {high:.6g} ({source})"
        for row in self.summary.get("last") or ():
            target = row.get("target")
            name = "return at the end of training" + ("" if target is None else f", target {target:g}")
            facts[name] = row.get("return_mean")
        return facts

    def figure(self) -> Figure | None:
        """Draw the returns of its run by step, else its losses; None without a run."""
        from seqsuite.reports import line_figure, loss_curves

        if self.folder is None or not (self.folder / "metrics.csv").is_file():
            return None
        curves = _returns(self.folder / "evaluations.csv")
        return line_figure(curves, x="step", y="return") if curves else loss_curves(self.folder)

    def agent(self, **options: Any) -> Agent:
        """Return an agent that plays with it: reset, act, observe.

        Args:
            options: Those of `seqrl.agents.WindowedAgent` (context, temperature, delayed, clip), or, of a Trajectory
                Transformer, of its planning agent.

        Raises:
            UserError: An option is unknown or out of its range.
        """
        from seqrl.agents import make_agent

        if (self.options or {}).get("delayed") and hasattr(self.config, "context"):
            options.setdefault("delayed", True)  # what it was trained for
        return make_agent(self.model, **options)

    def evaluate(self, env: str = "auto", **options: Any) -> Evaluation:
        """Play in its environment and measure; see `seqrl.evaluation.evaluate`."""
        from seqrl.evaluation import evaluate

        return evaluate(self, env, **options)

    def plan(self, observation: Any, *, seed: int = 0, repeats: int = 1, **options: Any) -> Decisions:
        """Plan one decision of a Trajectory Transformer, and time it.

        Args:
            observation: What the environment shows.
            seed: Of the draws.
            repeats: How often to plan it, for the time.
            options: Those of `seqrl.agents.PlannedAgent`: plan={"horizon": 5}, engine, ...

        Raises:
            UserError: The policy does not plan, or an option is unknown or out of its range.
        """
        if self.kind != "TrajectoryTransformer":
            raise UserError(f"only a TrajectoryTransformer plans; this is a {self.kind}: use agent()")
        from seqrl.planning.decisions import decide

        agent: Any = self.agent(**options)
        return decide(agent, observation, seed=seed, repeats=repeats)

    def record(self, path: str | Path, env: str = "auto", **options: Any) -> Recorded:
        """Play one episode into a video; see `seqrl.evaluation.record`."""
        from seqrl.evaluation import record

        return record(self, path, env, **options)


def load(source: str | os.PathLike[str], *, checkpoint: Weights = "last", device: str = "cpu") -> TrainedPolicy:
    """Load a trained policy.

    Args:
        source: A run folder of `seqrl train`, a model folder, or a hub id (``"owner/name"``).
        checkpoint: last: the weights at the end of training. best: those of the best evaluation in the environment
            during training; of a run without evaluations, those of the best validation loss.
        device: Where to put it.

    Raises:
        UserError: There is no such folder or model, it is damaged, or it is no policy.
    """
    path = Path(os.path.expanduser(source))
    if not path.exists() and (not is_hub_id(str(source)) or path.parent.is_dir()):
        raise UserError(f"{path}: there is no such folder; give a run folder or a model folder")
    if path.is_file():
        raise UserError(f"{path} is a file; give a run folder or a model folder")
    if checkpoint not in ("last", "best"):
        raise UserError(f"--checkpoint {checkpoint}: give last or best")
    folder = own_folder(path)
    if folder is None and path.is_dir():
        half = " (its run is not complete; go on with --resume)" if (path / "checkpoints").is_dir() else ""
        raise UserError(f"{path} holds no model{half}; give a run folder, or bring one in with `seqrl import`")
    is_run = folder is not None and folder != path
    if checkpoint == "best" and not is_run:
        raise UserError(f"{source} is no run folder: it has one set of weights, leave out --checkpoint best")
    model, weights = _best(path, folder) if checkpoint == "best" and folder else (load_model(folder or str(source)), "")
    if not isinstance(model, Model) or not isinstance(model.config, PolicyConfig):
        raise UserError(f"{source} holds a {type(model).__name__}, which is no policy; give a run of `seqrl train`")
    weights = weights or ("last" if is_run else "of a model folder")
    own = path if path.is_dir() else None
    return TrainedPolicy(model, own, weights, *_told(path) if is_run else (None, None)).to(device)


def _best(run: Path, folder: Path) -> tuple[Any, str]:
    """Return the network of a run with its best weights, and by what they are the best."""
    if (run / "best" / "config.json").is_file():
        return load_model(run / "best"), "best (return during training)"
    path = run / "checkpoints" / "best.ckpt"
    if not path.is_file():
        raise UserError(f"{run} kept no best weights: it was trained without --eval_every and without validation")
    from seqsuite.training.checkpoint_io import load_checkpoint

    model = load_model(folder)
    state = load_checkpoint(path)["state_dict"]
    # A task may hold the network under further names; under this one it always does.
    own = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    model.load_state_dict(own)
    return model, "best (validation loss)"


def _told(run: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return the options and the summary of a run; what is missing is left out."""
    options, summary = None, {}
    if (run / "config.yaml").is_file():
        try:
            options = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
        except (yaml.YAMLError, ValueError, OSError) as error:
            raise UserError(f"{run / 'config.yaml'}: is no valid YAML ({' '.join(str(error).split())})") from error
    if (run / "summary.json").is_file():
        summary = read_json(run / "summary.json")
    return options if isinstance(options, dict) else None, summary


def _returns(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Return the mean return by step of a run's evaluations, a curve for each target."""
    import csv

    curves: dict[str, tuple[list[float], list[float]]] = {}
    if path.is_file():
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                steps, means = curves.setdefault(f"target {row['target']}" if row["target"] else "return", ([], []))
                steps.append(float(row["step"]))
                means.append(float(row["return_mean"]))
    return curves


def _described(space: str) -> str:
    """Return a space as gymnasium shows it, without the bounds of every number."""
    from seqrl.spaces import space_from_json

    found = space_from_json(space)
    if type(found).__name__ == "Box":
        return f"Box{found.shape} {found.dtype}"
    return str(found)
