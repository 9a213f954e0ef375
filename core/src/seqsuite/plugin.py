"""The core's own table of names, listed like any plugin's (torch-free)."""

from __future__ import annotations

from seqsuite import __version__
from seqsuite.plugins import Plugin

_LANGUAGE_MODELS = ("mamba_lm_debug", "mamba_130m", "mamba_370m", "mamba_790m", "mamba_1_4b", "mamba_2_8b")
_BIDIRECTIONAL_MODELS = ("xlnet_lm_debug", "xlnet_base", "xlnet_large", "mixer_mlm_debug")

plugin = Plugin(
    name="seqsuite",
    version=__version__,
    summary="the core: operators, mixers and language models that belong to no one domain",
    models={name: f"seqsuite.models.configs:{name}" for name in (*_LANGUAGE_MODELS, *_BIDIRECTIONAL_MODELS)},
    mixers={
        "attention": "seqsuite.mixers.attention:Attention",
        "bidirectional_mamba": "seqsuite.mixers.bidirectional_mamba:BidirectionalMamba",
        "deltanet": "seqsuite.mixers.deltanet:DeltaNet",
        "deltaproduct": "seqsuite.mixers.deltanet:DeltaProduct",
        "gated_deltanet": "seqsuite.mixers.deltanet:GatedDeltaNet",
        "gateloop": "seqsuite.mixers.gateloop:GateLoop",
        "gla": "seqsuite.mixers.gla:GLA",
        "gru": "seqsuite.mixers.rnn:GRU",
        "hgrn": "seqsuite.mixers.hgrn:HGRN",
        "hyena": "seqsuite.mixers.hyena:Hyena",
        "lion": "seqsuite.mixers.lion:LION",
        "long_conv": "seqsuite.mixers.long_conv:LongConv",
        "lstm": "seqsuite.mixers.rnn:LSTM",
        "mamba": "seqsuite.mixers.mamba:Mamba",
        "mamba2": "seqsuite.mixers.mamba2:Mamba2",
        "mlstm": "seqsuite.mixers.mlstm:MLSTM",
        "multires_conv": "seqsuite.mixers.multires_conv:MultiresConv",
        "retnet": "seqsuite.mixers.retnet:RetNet",
        "rwkv7": "seqsuite.mixers.rwkv7:RWKV7",
        "s4": "seqsuite.mixers.s4:S4",
        "s4d": "seqsuite.mixers.s4d:S4D",
        "s5": "seqsuite.mixers.s5:S5",
        "sgconv": "seqsuite.mixers.sgconv:SGConv",
        "slstm": "seqsuite.mixers.slstm:SLSTM",
        "tcn": "seqsuite.mixers.tcn:TCN",
    },
    commands={
        "plugins": "seqsuite.cli.suite:plugins",
        "models": "seqsuite.cli.suite:models",
        "doctor": "seqsuite.cli.suite:doctor",
        "new-plugin": "seqsuite.cli.suite:new_plugin",
        "bench ops": "seqsuite.cli.bench_ops:ops",
        "bench tasks": "seqsuite.cli.bench_tasks:tasks",
    },
)
