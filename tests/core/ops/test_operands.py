"""What every operator says of an operand that it cannot take: its name, what it got and what it must be, in a line."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

from seqsuite import ops
from seqsuite.ops import Seq, explain_backend

B, L, H, D = 2, 5, 2, 4


def operands() -> dict[str, tuple[dict[str, torch.Tensor], dict[str, Any]]]:
    """Every operator's operands by name, the optional ones too, and its options."""

    def real(*shape: int) -> torch.Tensor:
        return torch.rand(*shape)

    def pairs(*shape: int) -> torch.Tensor:
        return torch.complex(-torch.rand(*shape), torch.rand(*shape))

    heads = {name: real(B, L, H, D) for name in "qkv"}
    state = {"initial_state": real(B, H, D, D)}
    scan = {name: real(B, L, D) for name in ("u", "delta", "z")} | {"A": -real(D, 3), "D": real(D)}
    scan |= {"B": real(B, L, 3), "C": real(B, L, 3), "delta_bias": real(D), "initial_state": real(B, D, 3)}
    conv = {"x": real(B, L, D), "weight": real(D, 3), "bias": real(D), "initial_state": real(B, D, 3)}
    layers = {"weight1": real(2, 1, D, 3), "bias1": real(2, 1, 3), "weight2": real(2, 1, 3, D), "bias2": real(2, 1, D)}
    system = {"dt": real(D), "A": pairs(D, 3), "B": pairs(D, 3), "C": pairs(1, D, 3), "P": pairs(1, D, 3)}
    cells = {"weight": real(1, 3, D, D), "bias": real(3, D), "initial_state": real(B, 1, D)}
    return {
        "selective_scan": (scan, {}),
        "causal_conv1d": (conv, {}),
        "linear_scan": ({"a": real(B, L, D), "b": real(B, L, D), "initial_state": real(B, D)}, {}),
        "ssd": (heads | state | {"g": -real(B, L, H)}, {}),
        "delta_rule": (heads | state | {"beta": real(B, L, H), "g": -real(B, L, H)}, {}),
        "rnn_scan": ({"x": real(B, L, 3, D)} | cells, {"cell": "gru"}),
        "long_conv": ({name: real(B, L, D) for name in ("u", "gate")} | {"k": real(7, D), "D": real(D)}, {}),
        "attention": (heads | {"slopes": real(H)}, {"causal": True}),
        "einfft": ({"x": real(B, L, D)} | layers, {}),
        "ssm_kernel": (system, {"length": 6}),
        "vandermonde": ({"c": pairs(2, D, 3), "log_a": pairs(D, 3)}, {"length": 6}),
        "power_sums": ({"u": real(2, D, L), "log_a": pairs(D, 3)}, {}),
        "cauchy": ({"v": pairs(2, D, 3), "z": pairs(5), "w": pairs(D, 3)}, {}),
    }


EVERY = [(operator, name) for operator, (tensors, _) in operands().items() for name in tensors]
ALONG = [operator for operator, (tensors, _) in operands().items() if operator in (
    "selective_scan", "causal_conv1d", "linear_scan", "ssd", "delta_rule", "rnn_scan", "long_conv", "attention"
)]  # fmt: skip


def call(operator: str, **change: Any) -> Any:
    tensors, options = operands()[operator]
    return getattr(ops, operator)(**{**tensors, **options, **change})


@pytest.mark.parametrize("operator", list(operands()))
def test_the_operands_here_are_taken(operator: str) -> None:
    assert call(operator).isfinite().all()


@pytest.mark.parametrize(("operator", "name"), EVERY)
def test_whatever_is_wrong_with_an_operand_its_name_comes_first(operator: str, name: str) -> None:
    tensor = operands()[operator][0][name]
    wrong = {
        TypeError: [tensor.to(torch.int64) if not tensor.is_complex() else tensor.real.long(), tensor.numpy()],
        ValueError: [tensor[..., None, None]],
    }
    for kind, values in wrong.items():
        for value in values:
            with pytest.raises(kind) as caught:
                call(operator, **{name: value})
            message = str(caught.value)
            assert "\n" not in message
            assert re.search(rf"\b{name}\b", message), message
            if kind is TypeError:
                assert message.startswith(f"{name} must be "), message


@pytest.mark.parametrize(("operator", "name"), EVERY)
def test_an_operand_on_another_device_is_named(operator: str, name: str) -> None:
    """The first one says where: with it elsewhere, the second is the one that is named."""
    tensors, _ = operands()[operator]
    with pytest.raises(ValueError, match=r"^\w+ must be on (meta|cpu) like \w+, got (meta|cpu)$") as caught:
        call(operator, **{name: tensors[name].to("meta")})
    assert name in str(caught.value).replace(",", "").split()


@pytest.mark.parametrize("operator", ALONG)
def test_a_mask_is_no_seq_and_a_seq_belongs_to_its_batch(operator: str) -> None:
    with pytest.raises(TypeError, match=r"^seq must be a Seq \(Seq.from_mask makes one of a mask\), not Tensor$"):
        call(operator, seq=torch.ones(B, L).bool())
    with pytest.raises(ValueError, match=rf"^seq.valid is \(2, 4\), the input is \({B}, {L}\)$"):
        call(operator, seq=Seq.from_lengths([1, 2], 4))
    with pytest.raises(ValueError, match=r"^seq.valid is on meta, the input on cpu; use seq.to\('cpu'\)$"):
        call(operator, seq=Seq.from_lengths([1, 2], L).to("meta"))


@pytest.mark.parametrize("operator", ["ssd", "delta_rule"])
@pytest.mark.parametrize("size", [16.0, "16", 0, 24, 512])
def test_a_chunk_size_must_be_a_power_of_two(operator: str, size: Any) -> None:
    with pytest.raises(ValueError, match=r"^chunk_size must be a power of two from 1 to (128|256), got "):
        call(operator, chunk_size=size)


def test_attention_takes_operands_of_different_precision_as_the_other_operators_do() -> None:
    tensors = {name: x.double() for name, x in operands()["attention"][0].items()}
    exact = ops.attention(**tensors)
    mixed = ops.attention(**tensors | {name: tensors[name].float() for name in "kv"})
    assert mixed.dtype == torch.float64
    torch.testing.assert_close(mixed, exact, rtol=1e-5, atol=1e-6)


def test_the_explained_choice_is_that_of_the_call() -> None:
    """Operands may be given by name, and the one that decides need not be the first."""
    tensors, _ = operands()["ssd"]
    by_name, in_order = explain_backend("ssd", **tensors), explain_backend("ssd", *(tensors[n] for n in "qkvg"))
    assert by_name == in_order
    elsewhere = {name: x.to("meta") for name, x in tensors.items()}
    assert "the tensors are on meta" in str(explain_backend("ssd", **elsewhere))
    with pytest.raises(TypeError, match=r"^ssd: missing a required argument: 'g'$"):
        explain_backend("ssd", tensors["q"], tensors["k"], tensors["v"])
    with pytest.raises(TypeError, match=r"^ssd: got an unexpected keyword argument 'revers'$"):
        explain_backend("ssd", **tensors, revers=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "euler"}, "^method must be 'zoh', 'bilinear' or 'dss', got 'euler'$"),
        ({"method": "zoh"}, "^method must be 'bilinear' with P, got 'zoh'$"),
        ({"method": "dss", "P": None}, "^l_max must be given with method 'dss'$"),
        ({"dt": torch.ones(4)}, r"^dt must be \(4, 1\) or \(4, 3\), got \(4,\)$"),
        ({"B": torch.ones(4, 2)}, r"^B must be \(4, 3\), got \(4, 2\)$"),
        ({"P": torch.ones(1, 4, 2)}, r"^P must be \(1, 4, 3\), got \(1, 4, 2\)$"),
    ],
)
def test_what_does_not_fit_a_discretisation_is_named(change: dict[str, Any], message: str) -> None:
    system = operands()["ssm_kernel"][0]
    given: dict[str, Any] = {"dt": system["dt"][:, None], "A": system["A"], "B": system["B"], "P": system["P"]}
    with pytest.raises(ValueError, match=message):
        ops.discretize(**given | change)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Seq.from_lengths([1.5], 4), r"^lengths must be \(B,\) integers"),
        (lambda: Seq.from_lengths([1], 4, side="up"), "^side must be 'right' or 'left', got 'up'$"),  # type: ignore[arg-type]
        (lambda: Seq.from_cu_seqlens([0, 2, 4], 4), "^cu_seqlens must hold the boundaries of each row"),  # type: ignore[list-item]
        (lambda: Seq.from_cu_seqlens([[]], 4), "^cu_seqlens must hold the boundaries of each row"),
        (lambda: Seq.from_cu_seqlens([[0, 2.5]], 4), "^cu_seqlens must hold the boundaries of each row"),  # type: ignore[list-item]
        (
            lambda: Seq.from_resets(torch.ones(2, 4), valid=torch.ones(2, 3)),
            r"^valid must be \(2, 4\) like resets, got \(2, 3\)$",
        ),
    ],
)
def test_what_makes_no_seq_is_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mask_may_be_a_list() -> None:
    made, expected = Seq.from_mask([[1, 1, 0], [1, 0, 0]]), Seq.from_lengths([2, 1], 3)  # type: ignore[arg-type]
    assert torch.equal(made.valid, expected.valid)  # type: ignore[arg-type]
    assert made.side == "right"
