"""Named model sizes, from the plugin tables (torch-free)."""

from __future__ import annotations

from typing import Any

from seqsuite import plugins
from seqsuite.errors import UserError
from seqsuite.mixers.options import convert, replace_config
from seqsuite.models.configs import ModelConfig


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a wildcard: ``list_models("caduceus_ps*")``.

    Args:
        pattern: The wildcard, as in file names.

    Returns:
        The names, sorted.
    """
    return sorted(plugins.names("models", pattern))


def model_config(name: str, **overrides: Any) -> ModelConfig:
    """Return the config of a named size, with some of its fields replaced.

    Args:
        name: A name of `list_models()`.
        overrides: Fields of the config; a mapping for a nested config replaces only what it names. Another `mixer`
            starts from its own defaults: the size's `mixer_options` are those of the size's mixer.

    Raises:
        UnknownNameError: No such model, or no such field; near names are suggested.
        UserError: A value of the wrong type.
    """
    config = plugins.lookup("models", convert("create_model", "name", name, str))()
    if overrides.get("mixer", getattr(config, "mixer", None)) != getattr(config, "mixer", None):
        overrides = {"mixer_options": {}} | overrides
    return replace_config(config, overrides, owner=f"model {name!r}")


def config_class(target: str) -> type[ModelConfig]:
    """Return the config class whose model is `target` (``"module:attribute"``), if a plugin lists it.

    Only classes that an installed plugin announces are ever imported for a file.

    Raises:
        UserError: No installed plugin lists such a model.
    """
    for plugin in plugins.discover().values():
        for name in plugin.models:
            # A plugin that fails to import concerns this file only if it is the one that is asked for.
            try:
                config = plugins.lookup("models", name)()
            except UserError:
                continue
            if config.model == target:
                return type(config)
    package = target.split(".")[0].split(":")[0]
    raise UserError(f"no installed plugin has the model {target!r}; install {package!r} (see: seqsuite plugins)")
