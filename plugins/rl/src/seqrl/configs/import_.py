"""Options of `seqrl import` (torch-free); the docstring is the help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from seqsuite.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """Options of `seqrl import`.

    Args:
        source: A folder of transformers' DecisionTransformerModel, a file of weights (.pt, .bin, .safetensors), or a
            hub id (owner/name); nothing in it is executed.
        out: The folder to write.
        format: Whose layout it is: kzl and kzl-atari of the Decision Transformer's first code, hf of transformers,
            jannerm of the Trajectory Transformer's code; auto tells by the names of the tensors.
        n_head: Heads of the attention, which kzl's files do not tell; left out: 1, or 8 of kzl-atari, as published.
        context: Steps of a window, which gym's files do not tell; left out: 20, as published.
        activation: Of the MLPs, which kzl's files do not tell; left out: relu, or gelu of kzl-atari.
        action_tanh: Whether actions go through a tanh, which kzl's files do not tell; left out: they do.
        state_mean: Mean of each number of an observation in the data of the training, as in 1.3,-0.1,...; published
            checkpoints do not hold it.
        state_std: Deviation of each.
        data: The data of the training, or a set of the same kind: mean, deviation, environment, spaces and reference
            scores are taken from it.
        env_id: The environment that the policy plays, as gymnasium names it; its spaces are taken.
        return_scale: What returns were divided by in training; left out: 1000, or 10 of reacher and 1 of kzl-atari.
        observation_dim: jannerm: numbers of an observation, where neither --data nor --env_id tells them.
        discretizer: jannerm: the file of the discretiser's thresholds (.npz, .npy, .safetensors or .pt); without one
            the model cannot plan.
        overwrite: Write into a folder that holds something.
        json: Print JSON instead of a table.
    """

    source: str = field(kw_only=False)
    out: str = field(kw_only=False)
    format: Literal["auto", "kzl", "kzl-atari", "hf", "jannerm"] = "auto"
    n_head: int | None = None
    context: int | None = None
    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] | None = None
    action_tanh: bool | None = None
    state_mean: tuple[float, ...] = ()
    state_std: tuple[float, ...] = ()
    data: str = ""
    env_id: str = ""
    return_scale: float | None = None
    observation_dim: int | None = None
    discretizer: str = ""
    overwrite: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if len(self.state_mean) != len(self.state_std):
            raise UserError(f"--state_mean has {len(self.state_mean)} numbers, --state_std {len(self.state_std)}")
        if self.data and self.state_mean:
            raise UserError("--data gives the mean and deviation of states: leave --state_mean and --state_std out")
        for name in ("n_head", "context", "return_scale", "observation_dim"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"--{name} is {value}; it must be above 0")
