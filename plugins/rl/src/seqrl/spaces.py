"""Spaces of observations and actions: as text, as arrays a model takes, and back.

    text = space_to_json(env.observation_space)          # what a checkpoint carries
    states = encode_observations(space, observations)    # (..., width) float32
    env.step(decode_actions(env.action_space, action))

Observations follow `gymnasium.spaces.flatten`, over any leading axes at once: Box flattened, Discrete and
MultiDiscrete one-hot, MultiBinary as it is, Dict and Tuple the parts one after the other.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from seqsuite.errors import UserError

if TYPE_CHECKING:
    from gymnasium import Space


def space_to_json(space: Space[Any]) -> str:
    """Write a space as one JSON text.

    Minari's form, with one number for the bounds of a Box that are the same everywhere (pixels).

    Args:
        space: Box, Discrete, MultiDiscrete, MultiBinary, Text, and Dict and Tuple of those.

    Raises:
        UserError: A space that has no such form.
    """
    from minari.serialization import serialize_space

    try:
        return json.dumps(_shorten(serialize_space(space, to_string=False)))
    except (NotImplementedError, TypeError) as error:
        raise UserError(f"the space {space} cannot be stored; Box, Discrete, Multi*, Text, Dict, Tuple can") from error


def space_from_json(text: str) -> Space[Any]:
    """Read a space back, from `space_to_json` or from Minari's metadata.

    Raises:
        UserError: The text is no space.
    """
    from minari.serialization import deserialize_space

    try:
        return deserialize_space(_widen(json.loads(text)))
    except (ValueError, KeyError, TypeError, AssertionError, AttributeError, NotImplementedError) as error:
        raise UserError(f"this is no space: {text[:60]!r}") from error


def _shorten(written: Any) -> Any:
    """Replace equal bounds by one number, at any depth."""
    if isinstance(written, dict):
        written = {name: _shorten(value) for name, value in written.items()}
        if written.get("type") == "Box":
            for name in ("low", "high"):
                bounds = np.asarray(written[name])
                if bounds.size and (bounds == bounds.flat[0]).all():
                    written[name] = bounds.flat[0].item()
    elif isinstance(written, list) and written and isinstance(written[0], dict):
        return [_shorten(part) for part in written]
    return written


def _widen(written: Any) -> Any:
    """The inverse of `_shorten`."""
    if isinstance(written, dict):
        written = {name: _widen(value) for name, value in written.items()}
        if written.get("type") == "Box":
            for name in ("low", "high"):
                written[name] = np.broadcast_to(np.asarray(written[name]), written["shape"]).tolist()
    elif isinstance(written, list) and written and isinstance(written[0], dict):
        return [_widen(part) for part in written]
    return written


def is_pixels(space: Space[Any]) -> bool:
    """Whether observations are images: a Box of three axes of uint8."""
    from gymnasium.spaces import Box

    return isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3


def is_nested(space: Space[Any]) -> bool:
    """Whether an element of the space is a dict or a tuple rather than one array."""
    from gymnasium.spaces import Dict, Tuple

    return isinstance(space, Dict | Tuple)


def observation_width(space: Space[Any]) -> int:
    """Return how many numbers an encoded observation has.

    Raises:
        UserError: A space that cannot be encoded: pixels (they stay images), Text, Graph, Sequence.
    """
    if is_pixels(space):
        raise UserError(f"observations of shape {space.shape} are images: they are not flattened")
    return flat_width(space)


def encode_observations(space: Space[Any], array: Any) -> NDArray[np.float32]:
    """Encode observations for a model.

    Args:
        space: The observation space.
        array: Observations with any leading axes: an array `(..., *S)`, or a dict or tuple of such arrays for a
            Dict or Tuple. An array (..., width) of such a space is taken as flattened already.

    Returns:
        (..., width) float32.

    Raises:
        UserError: Pixels, or a space or shape that cannot be encoded.
    """
    observation_width(space)
    return flatten_elements(space, array).astype(np.float32, copy=False)


def flat_width(space: Space[Any]) -> int:
    """Return the length of a flattened element.

    Raises:
        UserError: Its elements have no fixed size.
    """
    from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

    if isinstance(space, Box | MultiBinary):
        return math.prod(space.shape)
    if isinstance(space, Discrete):
        return int(space.n)
    if isinstance(space, MultiDiscrete):
        return int(space.nvec.sum())
    if isinstance(space, Dict):
        return sum(flat_width(part) for part in space.spaces.values())
    if isinstance(space, Tuple):
        return sum(flat_width(part) for part in space.spaces)
    raise UserError(f"the space {space} has no fixed number of values; use Box, Discrete, Multi*, Dict or Tuple")


def flatten_elements(space: Space[Any], array: Any) -> NDArray[Any]:
    """Flatten elements as `gymnasium.spaces.flatten` does, over any leading axes, in a type that holds them exactly.

    Args:
        space: Any space with a fixed number of values.
        array: `(..., *S)`, or a dict or tuple of such arrays, or (..., width) of a Dict or Tuple.

    Returns:
        (..., width).

    Raises:
        UserError: The shape does not fit the space.
    """
    from gymnasium.spaces import Dict, Discrete, MultiDiscrete, Tuple

    width = flat_width(space)
    if is_nested(space) and isinstance(array, np.ndarray):
        if array.shape[-1:] != (width,):
            raise UserError(f"flattened elements of {space} have {width} values; these have shape {array.shape}")
        return array
    if isinstance(space, Dict):
        parts = [flatten_elements(part, array[name]) for name, part in space.spaces.items()]
        return np.concatenate(parts, axis=-1)
    if isinstance(space, Tuple):
        parts = [flatten_elements(part, value) for part, value in zip(space.spaces, array, strict=True)]
        return np.concatenate(parts, axis=-1)
    values = np.asarray(array)
    lead = _leading_axes(space, values)
    if isinstance(space, Discrete):
        return _one_hot(values - space.start, int(space.n))
    if isinstance(space, MultiDiscrete):
        columns = (values - space.start).reshape(*lead, -1)
        sizes = space.nvec.reshape(-1)
        return np.concatenate([_one_hot(columns[..., i], int(size)) for i, size in enumerate(sizes)], axis=-1)
    return values.reshape(*lead, width)


def unflatten_elements(space: Space[Any], flat: NDArray[Any]) -> Any:
    """The inverse of `flatten_elements`: arrays, or dicts and tuples of arrays, with the types of the space.

    Args:
        space: The space.
        flat: (..., width).
    """
    from gymnasium.spaces import Dict, Discrete, MultiDiscrete, Tuple

    if isinstance(space, Dict | Tuple):
        parts: list[Any] = list(space.spaces.values()) if isinstance(space, Dict) else list(space.spaces)
        ends = np.cumsum([flat_width(part) for part in parts])[:-1]
        values = [unflatten_elements(part, piece) for part, piece in zip(parts, np.split(flat, ends, -1), strict=True)]
        return dict(zip(space.spaces, values, strict=True)) if isinstance(space, Dict) else tuple(values)
    if isinstance(space, Discrete):
        return flat.argmax(-1).astype(space.dtype) + space.start
    if isinstance(space, MultiDiscrete):
        pieces = np.split(flat, np.cumsum(space.nvec.reshape(-1))[:-1], -1)
        chosen = np.stack([piece.argmax(-1) for piece in pieces], -1).reshape(*flat.shape[:-1], *(space.shape or ()))
        return (chosen + space.start).astype(space.dtype)
    return flat.reshape(*flat.shape[:-1], *(space.shape or ())).astype(space.dtype, copy=False)


def action_kind(space: Space[Any]) -> Literal["continuous", "discrete"]:
    """Say how a model answers: with numbers (Box) or with one choice (Discrete).

    Raises:
        UserError: Another space.
    """
    from gymnasium.spaces import Box, Discrete

    if isinstance(space, Discrete):
        return "discrete"
    if isinstance(space, Box) and np.issubdtype(space.dtype, np.floating):
        return "continuous"
    raise UserError(f"actions must be a Box of floats or Discrete for the models here; the data's are {space}")


def action_width(space: Space[Any]) -> int:
    """Return the number of action values (Box) or of choices (Discrete)."""
    return flat_width(space) if action_kind(space) == "continuous" else int(space.n)  # type: ignore[attr-defined]


def encode_actions(space: Space[Any], array: Any) -> NDArray[Any]:
    """Encode actions for a model.

    Args:
        space: Box or Discrete.
        array: `(..., *A)` of a Box, (...) of a Discrete.

    Returns:
        (..., width) float32, or (...) int64 choices from 0.
    """
    values = np.asarray(array)
    if action_kind(space) == "discrete":
        return values.astype(np.int64) - int(space.start)  # type: ignore[attr-defined]
    return values.reshape(*_leading_axes(space, values), flat_width(space)).astype(np.float32, copy=False)


def decode_actions(space: Space[Any], array: Any, *, clip: bool = False) -> NDArray[Any]:
    """Turn a model's actions into what the environment takes.

    Args:
        space: Box or Discrete.
        array: (..., width) floats, or (...) choices from 0.
        clip: Clip to the bounds of the Box.

    Returns:
        `(..., *A)` in the type of the space, or (...) integers from its `start`.
    """
    values = np.asarray(array)
    if action_kind(space) == "discrete":
        return (values + space.start).astype(space.dtype)  # type: ignore[attr-defined]
    values = values.reshape(*values.shape[:-1], *(space.shape or ()))
    if clip:
        values = np.clip(values, space.low, space.high)  # type: ignore[attr-defined]
    return values.astype(space.dtype, copy=False)


def _leading_axes(space: Space[Any], values: NDArray[Any]) -> tuple[int, ...]:
    """Return the axes before an element's own."""
    shape = space.shape or ()
    lead = values.ndim - len(shape)
    if lead < 0 or values.shape[lead:] != shape:
        raise UserError(f"an element of {space} has shape {shape}; these have shape {values.shape}")
    return values.shape[:lead]


def _one_hot(indices: NDArray[Any], size: int) -> NDArray[np.int64]:
    if indices.dtype.kind not in "iub":
        raise UserError(f"a value of a space of {size} choices must be a whole number, not {indices.dtype}")
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise UserError(f"a value of a space of {size} choices is {indices.min()} .. {indices.max()} from its start")
    return np.eye(size, dtype=np.int64)[indices]
