"""`seqaudio train`."""

from __future__ import annotations

from seqaudio.configs.train import AudioTrainConfig


def train(config: AudioTrainConfig) -> int:
    """Train a model on sound and measure it beside simple codes."""
    from seqaudio.training import train as run
    from seqsuite.cli.output import print_json, print_rows

    result = run(config)
    if result is None:
        return 0
    if config.json:
        print_json(result.to_dict())
        return 0
    rows = result.table()
    print(f"\n{result.title}\n")
    print_rows(rows)
    for line in result.notes:
        print(line)
    print(f"{result.samples_per_second:,.0f} samples a second in training; {result.seconds:.0f} seconds in all.")
    print(f"\nreport: {result.folder / 'report.html'} (open it in a browser)")
    print(f"model:  {result.folder / 'model'}")
    print("\nTry next:")
    print(f"  seqaudio evaluate {result.folder} your_recordings")
    print(f"  python -c \"import seqaudio; print(seqaudio.load('{result.folder}'))\"")
    return 0
