"""`seqaudio generate`."""

from __future__ import annotations

import sys

from seqaudio.configs.generate import GenerateConfig


def generate(config: GenerateConfig) -> int:
    """Make new sound with a trained model, from nothing, from a prompt, or from a mel spectrogram."""
    from seqaudio.generation import generate_files
    from seqsuite.cli.frame import EXIT_INTERRUPTED
    from seqsuite.cli.output import print_json, print_table

    made = generate_files(config)
    for note in made.notes:
        print(note, file=sys.stderr)
    if config.json:
        print_json(made.to_dict() | {"out": config.out})
    else:
        rows = made.table()
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows])
        print(
            f"wrote {len(made)} clips to {config.out}: {made.samples_per_second:,.0f} samples a second, "
            f"{made.real_time_factor:.3g} times real time ({made.path})"
        )
    return EXIT_INTERRUPTED if made.interrupted else 0
