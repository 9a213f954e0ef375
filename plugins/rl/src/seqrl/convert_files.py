"""Published checkpoints into our format, and our Decision Transformers into transformers' layout.

    import_checkpoint("decision-transformer-gym-hopper-medium", "models/hopper", data="hopper_medium-v2.hdf5")
    export_checkpoint("runs/hopper", "published")       # DecisionTransformerModel.from_pretrained("published")

Nothing in a file of weights is executed: tensors and tables are all that is read of it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrl import convert
from seqrl.configs.models import DecisionTransformerConfig
from seqrl.models.decision_transformer import DecisionTransformer
from seqrl.scores import bare_name
from seqsuite.errors import UserError
from seqsuite.models.base import Model
from seqsuite.models.create import load_model
from seqsuite.models.files import load_weights
from seqsuite.models.published import fetch_published, find_weights, is_hub_id, own_folder, read_json, read_weights
from seqsuite.models.transfer import Transfer, free_folder, write_published

_SCALES = {"reacher": 10.0}
"""What published gym policies divide returns by where it is not 1000."""
_LAYOUT_OPTIONS = ("n_head", "context", "activation", "action_tanh")
_FAMILIES = {
    "kzl": "Decision Transformer (kzl, gym)",
    "kzl-atari": "Decision Transformer (kzl, Atari)",
    "hf": "Decision Transformer (transformers)",
    "jannerm": "Trajectory Transformer (jannerm)",
}


def load_published(source: str | Path, *, layout: str = "auto", **choices: Any) -> DecisionTransformer:
    """Load a published Decision Transformer, in evaluation mode.

    Args:
        source: A folder with config.json and weights, a file of weights, or a hub id.
        layout: "kzl", "kzl-atari" or "hf"; "auto" tells by the names of the tensors.
        choices: Fields of the config that the files do not tell, see `seqrl.convert.config_from_published`.

    Raises:
        UserError: It is missing, damaged, or no such model; names missing or left over are told.
    """
    path = _weights_of(source)
    try:
        state = read_weights(path)
        found: Any = convert.detect_layout(state) if layout == "auto" else layout
        if found not in convert.LAYOUTS:
            raise UserError(f"is no Decision Transformer of the layouts {', '.join(convert.LAYOUTS)}")
        beside = path.parent / "config.json"
        raw = read_json(beside) if found == "hf" and beside.is_file() else {}
        config = convert.config_from_published(state, found, raw, **choices)
        model, tensors = DecisionTransformer(config), convert.from_published(state, config, found)
    except UserError as error:
        told = str(error)
        raise UserError(told if told.startswith(str(path)) else f"{path}: {told}") from error
    load_weights(model, tensors, path)
    return model.eval()


def import_checkpoint(
    source: str | Path,
    out: str | Path,
    *,
    layout: str = "auto",
    state_mean: Sequence[float] = (),
    state_std: Sequence[float] = (),
    data: str = "",
    env_id: str = "",
    return_scale: float | None = None,
    observation_dim: int | None = None,
    discretizer: str = "",
    overwrite: bool = False,
    **choices: Any,
) -> Transfer:
    """Bring a published checkpoint into our format, with what an agent must know of its environment.

    Args:
        source: A folder with config.json and weights, a file of weights, or a hub id.
        out: The folder to write.
        layout: "kzl", "kzl-atari", "hf" or "jannerm"; "auto" tells by the names of the tensors.
        state_mean: Mean of each number of an observation in the data of the training.
        state_std: Deviation of each.
        data: A data set: mean, deviation, environment, spaces and reference scores are taken from it.
        env_id: The environment that the policy plays; its spaces are taken.
        return_scale: What returns were divided by; None: as published.
        observation_dim: jannerm: numbers of an observation, where neither data nor environment tells them.
        discretizer: jannerm: the file of the discretiser.
        overwrite: Write into a folder that holds something.
        choices: `n_head`, `context`, `activation` and `action_tanh`, where the files do not tell them; None: as
            published.

    Raises:
        UserError: It cannot be read, is a model of ours already, does not fit its environment, or the folder cannot be
            written.
    """
    folder = free_folder(out, overwrite)
    if own_folder(Path(os.path.expanduser(source))) is not None:
        raise UserError(f"{source}: is a model of SeqSuite already and needs no import")
    path = _weights_of(source)
    if layout == "auto":
        try:
            layout = convert.detect_layout(read_weights(path))
        except UserError as error:
            told = str(error)
            raise UserError(told if told.startswith(str(path)) else f"{path}: {told}") from error
    facts, notes = _environment_facts(data, env_id)
    chosen = {name: value for name, value in choices.items() if value is not None}
    model: Model
    if layout == "jannerm":
        model = _trajectory_transformer(path, facts, observation_dim, discretizer, chosen)
    else:
        numbers = _numbers(facts, layout, state_mean, state_std, return_scale, notes)
        model = load_published(path, layout=layout, **chosen | numbers)
        _check_spaces(model.config, path)
    model.save_pretrained(folder)
    flags = {name: getattr(model.config, name) for name in ("d_model", "n_layer", "n_head", "env_id", "return_scale")}
    return Transfer(str(source), str(folder), _FAMILIES[layout], model.num_parameters(), flags, tuple(notes))


def export_checkpoint(source: str | Path, out: str | Path, *, overwrite: bool = False) -> Transfer:
    """Write a Decision Transformer as transformers' DecisionTransformerModel: config.json and model.safetensors.

    Args:
        source: A run folder or a model folder.
        out: The folder to write.
        overwrite: Write into a folder that holds something.

    Raises:
        UserError: There is no such model, transformers has none like it, or the folder cannot be written.
    """
    folder = free_folder(out, overwrite)
    own = own_folder(Path(os.path.expanduser(source)))
    if own is None:
        raise UserError(f"{source}: holds no model of SeqSuite; give a run folder or a model folder")
    model = load_model(own)
    if not isinstance(model, DecisionTransformer):
        raise UserError(f"{source}: holds a {type(model).__name__}; transformers has Decision Transformers only")
    try:
        raw, state = convert.to_huggingface(model.state_dict(), model.config)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    write_published(folder, raw, state)
    kept = ("env_id", "return_scale", "state_mean", "state_std")
    told = ", ".join(f"{name}={getattr(model.config, name)}" for name in kept[:2])
    notes = (f"the layout has no place for {', '.join(kept)} and spaces; they stay in {own} ({told})",)
    flags = {"d_model": model.config.d_model, "n_layer": model.config.n_layer, "n_head": model.config.n_head}
    return Transfer(str(source), str(folder), _FAMILIES["hf"], model.num_parameters(), flags, notes)


def _weights_of(source: str | Path) -> Path:
    """Return the file of weights of a folder, a file or a hub id."""
    if is_hub_id(source):
        return find_weights(fetch_published(str(source)))
    return find_weights(Path(os.path.expanduser(source)))


def _environment_facts(data: str, env_id: str) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a policy's config that data and environment tell, and what is missing."""
    from seqrl.scores import reference_for
    from seqrl.spaces import space_to_json

    facts: dict[str, Any] = {}
    spaces = reference = None
    if data:
        from seqrl.data.opening import open_episodes

        episodes = open_episodes(data)
        spaces, env_id = (episodes.observation_space, episodes.action_space), env_id or episodes.env_id
        reference, facts["episodes"] = episodes.reference, episodes
        if env_id == episodes.env_id:
            from seqrl.training.building import environment_options

            facts["env_options"] = environment_options(episodes)
    elif env_id:
        from seqrl.environments import make_environment

        environment = make_environment(env_id)
        spaces = environment.observation_space, environment.action_space
        environment.close()
    if spaces is None:
        note = "spaces are not known: give --env_id or --data, or give an agent observation_space= and action_space="
        return facts, [note]
    reference = reference or (reference_for(env_id) if env_id else None)
    facts |= {"env_id": env_id, "reference": {} if reference is None else reference.to_dict()}
    names = ("observation_space", "action_space")
    return facts | {name: space_to_json(space) for name, space in zip(names, spaces, strict=True)}, []


def _numbers(
    facts: dict[str, Any],
    layout: str,
    mean: Sequence[float],
    std: Sequence[float],
    return_scale: float | None,
    notes: list[str],
) -> dict[str, Any]:
    """Return the facts with statistics of states and the scale of returns; what was assumed is noted."""
    episodes = facts.pop("episodes", None)
    if layout != "kzl-atari":
        if episodes is not None:
            from seqrl.data.windows_steps import state_statistics

            mean, std = (part.tolist() for part in state_statistics(episodes))
        if not mean:
            notes.append("mean and deviation of states are not known: give --data, or --state_mean and --state_std")
    elif mean:
        raise UserError("--state_mean: pixels are divided by 255 and have no statistics")
    if return_scale is None:
        name = bare_name(str(facts.get("env_id", "")))
        return_scale = 1.0 if layout == "kzl-atari" else _SCALES.get(name, 1000.0)
        notes.append(f"returns are divided by {return_scale:g}, as published; --return_scale says otherwise")
    return facts | {"state_mean": tuple(mean), "state_std": tuple(std), "return_scale": return_scale}


def _check_spaces(config: DecisionTransformerConfig, path: Path) -> None:
    """Raise unless the environment's spaces are those of the network."""
    from seqrl.spaces import action_kind, action_width, is_pixels, observation_width, space_from_json

    if not config.observation_space:
        return
    observations, actions = space_from_json(config.observation_space), space_from_json(config.action_space)
    shape = tuple(observations.shape or ()) if is_pixels(observations) else (observation_width(observations),)
    if shape != config.observation_shape:
        raise UserError(f"{path}: takes observations of shape {config.observation_shape}, {config.env_id or '--data'} "
                        f"has {shape}")  # fmt: skip
    kind = "discrete" if config.discrete else "continuous"
    if (action_kind(actions), action_width(actions)) != (kind, config.action_dim):
        raise UserError(f"{path}: gives {config.action_dim} {kind} actions, {config.env_id or '--data'} has {actions}")


def _trajectory_transformer(
    path: Path, facts: dict[str, Any], observation_dim: int | None, discretizer: str, chosen: dict[str, Any]
) -> Model:
    """Load a Trajectory Transformer of jannerm's code."""
    from seqrl.convert_trajectory import import_jannerm
    from seqrl.spaces import observation_width, space_from_json

    facts.pop("episodes", None)
    for name in (set(_LAYOUT_OPTIONS) - {"n_head"}) & set(chosen):
        raise UserError(f"--{name}: is no option of a Trajectory Transformer")
    if observation_dim is None:
        if "observation_space" not in facts:
            raise UserError(f"{path}: does not tell how many numbers an observation has: give --observation_dim, "
                            "--env_id or --data")  # fmt: skip
        observation_dim = observation_width(space_from_json(facts["observation_space"]))
    return import_jannerm(path, observation_dim=observation_dim, discretizer=discretizer or None, **facts | chosen)
