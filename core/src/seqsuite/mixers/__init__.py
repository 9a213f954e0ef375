"""Sequence mixers: parameters around the operators, (B, L, D) to (B, L, D), one mixer a file.

    mixer = seqsuite.create_mixer("mamba", 64, d_state=16)
    y = mixer(x)                                   # whole
    y, state = mixer.prefill(x[:, :100])           # in chunks, the state carried
    y_t, state = mixer.step(x[:, 100], state)      # one step

Every mixer keeps one law, checked by `seqsuite.testing.mixers`: the three views give the same numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seqsuite.lazy import lazy_names

if TYPE_CHECKING:
    from seqsuite.mixers.attention import Attention, AttentionState
    from seqsuite.mixers.base import Mixer, ProjectedMixer, State, run_reversed
    from seqsuite.mixers.bidirectional import Bidirectional
    from seqsuite.mixers.bidirectional_mamba import BidirectionalMamba
    from seqsuite.mixers.create import create_mixer, list_mixers
    from seqsuite.mixers.deltanet import DeltaNet, DeltaNetState, DeltaProduct, GatedDeltaNet
    from seqsuite.mixers.gateloop import GateLoop
    from seqsuite.mixers.gla import GLA, GLAState
    from seqsuite.mixers.hgrn import HGRN
    from seqsuite.mixers.hyena import Hyena, HyenaFilter
    from seqsuite.mixers.lion import LION
    from seqsuite.mixers.long_conv import LongConv
    from seqsuite.mixers.mamba import Mamba, MambaState
    from seqsuite.mixers.mamba2 import Mamba2, Mamba2State
    from seqsuite.mixers.mlstm import MLSTM, MLSTMState
    from seqsuite.mixers.multires_conv import MultiresConv
    from seqsuite.mixers.retnet import RetNet, RetNetState
    from seqsuite.mixers.rnn import GRU, LSTM, RNNState
    from seqsuite.mixers.rwkv7 import RWKV7, RWKV7State
    from seqsuite.mixers.s4 import S4
    from seqsuite.mixers.s4d import S4D
    from seqsuite.mixers.s5 import S5, S5State, s5_from_published
    from seqsuite.mixers.sgconv import SGConv
    from seqsuite.mixers.slstm import SLSTM, SLSTMState
    from seqsuite.mixers.tcn import TCN, TCNState

__all__ = [
    "GLA",
    "GRU",
    "HGRN",
    "LION",
    "LSTM",
    "MLSTM",
    "RWKV7",
    "S4",
    "S4D",
    "S5",
    "SLSTM",
    "TCN",
    "Attention",
    "AttentionState",
    "Bidirectional",
    "BidirectionalMamba",
    "DeltaNet",
    "DeltaNetState",
    "DeltaProduct",
    "GLAState",
    "GateLoop",
    "GatedDeltaNet",
    "Hyena",
    "HyenaFilter",
    "LongConv",
    "MLSTMState",
    "Mamba",
    "Mamba2",
    "Mamba2State",
    "MambaState",
    "Mixer",
    "MultiresConv",
    "ProjectedMixer",
    "RNNState",
    "RWKV7State",
    "RetNet",
    "RetNetState",
    "S5State",
    "SGConv",
    "SLSTMState",
    "State",
    "TCNState",
    "create_mixer",
    "list_mixers",
    "run_reversed",
    "s5_from_published",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "hyena": ["Hyena", "HyenaFilter"],
        "mamba": ["Mamba", "MambaState"],
        "base": ["Mixer", "ProjectedMixer", "State", "run_reversed"],
        "create": ["create_mixer", "list_mixers"],
        "long_conv": ["LongConv"],
        "sgconv": ["SGConv"],
        "multires_conv": ["MultiresConv"],
        "bidirectional_mamba": ["BidirectionalMamba"],
        "bidirectional": ["Bidirectional"],
        "rnn": ["GRU", "LSTM", "RNNState"],
        "slstm": ["SLSTM", "SLSTMState"],
        "tcn": ["TCN", "TCNState"],
        "attention": ["Attention", "AttentionState"],
        "deltanet": ["DeltaNet", "DeltaNetState", "DeltaProduct", "GatedDeltaNet"],
        "rwkv7": ["RWKV7", "RWKV7State"],
        "mamba2": ["Mamba2", "Mamba2State"],
        "retnet": ["RetNet", "RetNetState"],
        "gla": ["GLA", "GLAState"],
        "lion": ["LION"],
        "mlstm": ["MLSTM", "MLSTMState"],
        "s4": ["S4"],
        "s4d": ["S4D"],
        "s5": ["S5", "S5State", "s5_from_published"],
        "gateloop": ["GateLoop"],
        "hgrn": ["HGRN"],
    },
)
