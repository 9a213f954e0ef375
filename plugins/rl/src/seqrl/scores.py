"""Normalised scores: 0 is a random policy's return, 1 an expert's; papers multiply by 100.

    normalized_score(2950.0, d4rl_reference("hopper-medium-v2"))     # 0.913
    comparable("Hopper-v5", reference)                               # (False, why)

The references are those of D4RL (Fu et al. 2020), facts of its public table: one pair an environment, the same
for every quality level; for the locomotion environments the same for v0, v1 and v2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seqsuite.errors import UserError, unknown_name

_LEVELS = ("random", "medium", "expert", "medium-replay", "full-replay", "medium-expert")
_ANTMAZE = ("umaze", "umaze-diverse", "medium-play", "medium-diverse", "large-play", "large-diverse")

# Environment -> (minimum, maximum, {version: levels}).
_Family = tuple[float, float, dict[str, tuple[str, ...]]]
_FAMILIES: dict[str, _Family] = {
    "hopper": (-20.272305, 3234.3, {"v0": (*_LEVELS[:4], _LEVELS[5]), "v1": _LEVELS, "v2": _LEVELS}),
    "halfcheetah": (-280.178953, 12135.0, {"v0": (*_LEVELS[:4], _LEVELS[5]), "v1": _LEVELS, "v2": _LEVELS}),
    "walker2d": (1.629008, 4592.3, {"v0": (*_LEVELS[:4], _LEVELS[5]), "v1": _LEVELS, "v2": _LEVELS}),
    "ant": (-325.6, 3879.7, {"v0": (*_LEVELS[:4], _LEVELS[5]), "v1": _LEVELS, "v2": _LEVELS}),
    "antmaze": (0.0, 1.0, {"v0": _ANTMAZE, "v2": _ANTMAZE}),
    "kitchen": (0.0, 4.0, {"v0": ("complete", "partial", "mixed")}),
    "pen": (96.262799, 3076.8331017826877, dict.fromkeys(("v0", "v1"), ("human", "cloned", "expert"))),
    "hammer": (-274.856578, 12794.134825156867, dict.fromkeys(("v0", "v1"), ("human", "cloned", "expert"))),
    "door": (-56.512833, 2880.5693087298737, dict.fromkeys(("v0", "v1"), ("human", "cloned", "expert"))),
    "relocate": (-6.425911, 4233.877797728884, dict.fromkeys(("v0", "v1"), ("human", "cloned", "expert"))),
    "maze2d-open": (0.01, 20.66, {"v0": ("",)}),
    "maze2d-umaze": (23.85, 161.86, {"v1": ("",)}),
    "maze2d-medium": (13.13, 277.39, {"v1": ("",)}),
    "maze2d-large": (6.7, 273.99, {"v1": ("",)}),
    "maze2d-open-dense": (11.17817, 27.166538620695782, {"v0": ("",)}),
    "maze2d-umaze-dense": (68.537689, 193.66285642381482, {"v1": ("",)}),
    "maze2d-medium-dense": (44.264742, 297.4552547777125, {"v1": ("",)}),
    "maze2d-large-dense": (30.569041, 303.4857382709002, {"v1": ("",)}),
    "minigrid-fourrooms": (0.01442, 2.89685, {"v0": ("", "random")}),
    "flow-ring": (-165.22, 24.42, {"v0": ("random", "controller")}),
    "flow-merge": (118.67993, 330.03179, {"v0": ("random", "controller")}),
    "carla-lane": (-0.8503839912088142, 1023.5784385429523, {"v0": ("",)}),
    "carla-town": (-114.81579500772153, 2440.1772022247314, {"v0": ("",)}),
}


def _datasets() -> dict[str, str]:
    """Return every data set's name -> its environment."""
    found: dict[str, str] = {}
    for family, (_, _, versions) in _FAMILIES.items():
        for version, levels in versions.items():
            found |= {"-".join(filter(None, (family, level, version))): family for level in levels}
    return found


D4RL_DATASETS: dict[str, str] = _datasets()
"""Data sets with reference scores -> the environment of each."""

_GYMNASIUM = {"Hopper": "hopper", "HalfCheetah": "halfcheetah", "Walker2d": "walker2d", "Ant": "ant"}


@dataclass(frozen=True)
class Reference:
    """The returns that count as 0 and 1.

    Args:
        minimum: Of a random policy.
        maximum: Of an expert.
        source: Where the two come from, in words.
    """

    minimum: float
    maximum: float
    source: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.minimum, self.maximum]).all() and self.minimum < self.maximum):
            raise UserError(
                f"reference scores {self.minimum:g} and {self.maximum:g}: the first, of a random policy, must be "
                "the lower one"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the three fields, as a checkpoint keeps them."""
        return {"minimum": self.minimum, "maximum": self.maximum, "source": self.source}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Reference | None:
        """Read them back; None of an empty dict."""
        return cls(float(fields["minimum"]), float(fields["maximum"]), str(fields["source"])) if fields else None


def bare_name(name: str) -> str:
    """Return the bare beginning of a name in small letters: `mujoco/Hopper-v5` and hopper-medium-v2 are hopper.

    Args:
        name: Of an environment or a data set.
    """
    return name.rpartition("/")[2].partition("-")[0].lower()


def d4rl_reference(name: str) -> Reference:
    """Return the references of one of D4RL's data sets.

    Args:
        name: As D4RL writes it, "hopper-medium-v2".

    Raises:
        UserError: The name is not in the table; near names are suggested.
    """
    if name not in D4RL_DATASETS:
        raise unknown_name("D4RL data set", name, D4RL_DATASETS)
    family = D4RL_DATASETS[name]
    return Reference(*_FAMILIES[family][:2], source=f"D4RL {family}")


def reference_for(name: str) -> Reference | None:
    """Return references that may serve an environment or a data set; None where there are none.

    Args:
        name: A D4RL data set ("hopper-medium-v2", also as files are called, "hopper_medium-v2"), or an
            environment of gymnasium ("Hopper-v5"; see `comparable`).
    """
    if name.replace("_", "-") in D4RL_DATASETS:
        return d4rl_reference(name.replace("_", "-"))
    family = _GYMNASIUM.get(re.sub(r"-v\d+$", "", name.rpartition("/")[2]))
    return None if family is None else Reference(*_FAMILIES[family][:2], source=f"D4RL {family}")


def normalized_score(returns: float | NDArray[Any], reference: Reference) -> Any:
    """Return (returns - minimum) / (maximum - minimum): a fraction, which papers multiply by 100.

    Args:
        returns: One undiscounted return, or an array of them.
        reference: Which returns count as 0 and 1.

    Returns:
        A float, or float64 of the same shape.
    """
    fraction = (np.asarray(returns, dtype=np.float64) - reference.minimum) / (reference.maximum - reference.minimum)
    return float(fraction) if fraction.ndim == 0 else fraction


def comparable(env_id: str, reference: Reference | None) -> tuple[bool, str]:
    """Say whether a normalised score measured in an environment may stand beside published ones.

    Args:
        env_id: Where the return was measured: an environment of gymnasium, or the name of a D4RL data set.
        reference: What it is normalised by.

    Returns:
        Whether, and why (not), in one line.
    """
    if reference is None:
        return False, "no reference scores are known"
    if not reference.source.startswith("D4RL "):
        return True, f"references of this data set itself ({reference.source}); D4RL's tables use others"
    family = reference.source.removeprefix("D4RL ")
    own = D4RL_DATASETS.get(env_id)
    if own is not None:
        return own == family, f"D4RL's own {own}" if own == family else f"the references are of {family}, not {own}"
    base, _, version = env_id.rpartition("/")[2].rpartition("-v")
    if _GYMNASIUM.get(base) != family:
        return False, f"the references are of D4RL's {family}; {env_id or 'the environment'} is another environment"
    if version in ("2", "3"):
        return True, f"D4RL's references are of {base} with the physics of v2 and v3"
    return False, (
        f"D4RL's references are of {base}-v2; {env_id} has other simulator bindings, observations or rewards"
    )
