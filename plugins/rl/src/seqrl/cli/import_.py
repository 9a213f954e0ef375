"""`seqrl import`."""

from __future__ import annotations

from seqrl.configs.import_ import ImportConfig


def import_checkpoint(config: ImportConfig) -> int:
    """Bring a published Decision Transformer or Trajectory Transformer into SeqSuite's format."""
    from seqrl.convert_files import import_checkpoint
    from seqsuite.models.transfer import print_transfer

    result = import_checkpoint(
        config.source,
        config.out,
        layout=config.format,
        n_head=config.n_head,
        context=config.context,
        activation=config.activation,
        action_tanh=config.action_tanh,
        state_mean=config.state_mean,
        state_std=config.state_std,
        data=config.data,
        env_id=config.env_id,
        return_scale=config.return_scale,
        observation_dim=config.observation_dim,
        discretizer=config.discretizer,
        overwrite=config.overwrite,
    )
    print_transfer(result, program="seqrl", json=config.json)
    return 0
