"""Making gymnasium's environments, with one line where it cannot be done.

Vectors reset nothing by themselves: a row that ended stays so until `reset` with a `reset_mask` begins its
next episode with a seed of its own. The observation that comes with an end is then always the last one of
that episode, and what an episode holds does not depend on its neighbours.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqsuite.errors import UnknownNameError, UserError, unknown_name

if TYPE_CHECKING:
    import gymnasium
    from gymnasium.vector import AutoresetMode, VectorEnv

_EXTRAS = {
    "gymnasium.envs.mujoco": "seqrl[mujoco]",
    "gymnasium.envs.box2d": "gymnasium[box2d]",
    "gymnasium.envs.phys2d": "gymnasium[jax]",
    "gymnasium.envs.tabular": "gymnasium[jax]",
}
_NAMESPACES = {"ALE": "ale-py", "phys2d": "gymnasium[jax]", "tabular": "gymnasium[jax]", "mo-gymnasium": "mo-gymnasium"}


def make_environment(env_id: str, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make one environment.

    Args:
        env_id: As gymnasium names it (`Hopper-v5`, `seqrl/TMaze-v0`), or `module:id` where importing the module
            registers it.
        options: Arguments of `gymnasium.make`: `max_episode_steps`, `render_mode`, and those of the environment.

    Raises:
        UserError: There is no such environment, it needs a package that is not installed, or it does not take
            these options.
    """
    import gymnasium
    from gymnasium import error

    import seqrl.environments  # noqa: F401  (registers ours)

    try:
        return gymnasium.make(env_id, **options)
    except error.DependencyNotInstalled as problem:
        raise _missing(env_id, str(problem)) from problem
    except error.DeprecatedEnv as problem:
        raise UserError(f"{env_id}: {problem}") from problem
    except (error.UnregisteredEnv, error.Error) as problem:
        if env_id in gymnasium.registry:
            raise UserError(f"cannot make {env_id}: {problem}") from problem
        raise _unknown(env_id) from problem
    except ImportError as problem:
        raise _missing(env_id, str(problem)) from problem
    except TypeError as problem:
        if "unexpected keyword argument" not in str(problem):
            raise
        raise _option(env_id, options, problem) from problem
    except (KeyError, ValueError, AssertionError) as problem:
        if not options:
            raise
        shown = ", ".join(f"{name}={value!r}" for name, value in options.items())
        raise UserError(f"{env_id} does not take {shown}: {type(problem).__name__}: {problem}") from problem


def make_vector(
    env_id: str,
    num: int,
    *,
    options: Mapping[str, Any] | None = None,
    autoreset: AutoresetMode | str = "Disabled",
    processes: bool = False,
    flatten: bool = False,
) -> VectorEnv[Any, Any, Any]:
    """Make several environments that step together.

    Args:
        env_id: As in `make_environment`.
        num: How many.
        options: Arguments of each.
        autoreset: Of gymnasium.vector: `Disabled` (the default, see above), `NextStep` or `SameStep`.
        processes: One process an environment instead of a loop: for slow environments on a machine of many cores.
        flatten: Turn observations that are dictionaries or tuples into one vector.

    Raises:
        UserError: As `make_environment`, or `num` is below 1.
    """
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

    if num < 1:
        raise UserError(f"{num} environments; at least 1 is needed")
    make = functools.partial(make_one, env_id, dict(options or {}), flatten)
    make().close()  # in this process first, so that what the user can mend is told in one line
    vector = AsyncVectorEnv if processes else SyncVectorEnv
    return vector([make] * num, autoreset_mode=AutoresetMode(autoreset))


def is_composite(space: gymnasium.Space[Any]) -> bool:
    """Tell whether the values of a space are dictionaries or tuples rather than one array."""
    from gymnasium import spaces

    return isinstance(space, (spaces.Dict, spaces.Tuple))


def make_one(env_id: str, options: Mapping[str, Any], flatten: bool) -> gymnasium.Env[Any, Any]:
    """Make one environment of a vector; see `make_vector` for the arguments."""
    from gymnasium.wrappers import FlattenObservation

    environment = make_environment(env_id, **options)
    return FlattenObservation(environment) if flatten and is_composite(environment.observation_space) else environment


def _unknown(env_id: str) -> UserError:
    import gymnasium

    namespace = env_id.partition("/")[0] if "/" in env_id else ""
    package = _NAMESPACES.get(namespace)
    if package and not any(name.startswith(f"{namespace}/") for name in gymnasium.registry):
        return UserError(f"environment {env_id!r} needs a package that is not installed: pip install '{package}'")
    bare = env_id.lower().partition("-v")[0].replace("-", "")
    alike = [name for name in gymnasium.registry if bare and bare in name.lower().replace("-", "")]
    told = unknown_name("environment", env_id, gymnasium.registry)
    if alike and "Did you mean" not in str(told):
        told = UnknownNameError(f"Unknown environment {env_id!r}. Did you mean {' or '.join(map(repr, alike[:3]))}?")
    return told


def _missing(env_id: str, why: str) -> UserError:
    import gymnasium

    spec = gymnasium.registry.get(env_id)
    point = spec.entry_point if spec is not None else None
    module = point.rpartition(":")[0] if isinstance(point, str) else ""
    if "moved to the gymnasium-robotics" in why:
        name = env_id.rpartition("-")[0]
        newer = [other for other in gymnasium.registry if other.rpartition("-")[0] == name and other != env_id]
        return UserError(f"{env_id} needs mujoco-py, which is no more: use {max(newer, default='a newer version')}")
    for prefix, extra in _EXTRAS.items():
        if module.startswith(prefix):
            return UserError(f"environment {env_id!r} needs a package that is not installed: pip install '{extra}'")
    return UserError(f"environment {env_id!r} cannot be made: {why}")


def _option(env_id: str, options: Mapping[str, Any], problem: TypeError) -> UserError:
    import gymnasium

    known: list[str] = []
    with contextlib.suppress(Exception):
        point: Any = gymnasium.spec(env_id).entry_point
        made = gymnasium.envs.registration.load_env_creator(point) if isinstance(point, str) else point
        known = [name for name in inspect.signature(made).parameters if name != "kwargs"]
    for name in options:
        if f"'{name}'" in str(problem):
            return unknown_name(f"option of {env_id}", name, known)
    return UserError(f"{env_id}: {problem}")
