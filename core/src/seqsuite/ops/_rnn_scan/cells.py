"""The three cells step by step on buffers, for the portable path: forward, and backward by coefficients.

Layouts: gates (H, T, B, slots, P), a state (H, T, B, P); T steps of a chunk in the run's order. Forward, a cell
turns the gates' sums of one step into the next state. Backward, the gates of a whole chunk are known at
once (their sums are one matrix product), so all that does not depend on the running gradient, the
coefficients, is computed for the chunk together; a step then costs a few multiplications.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Steps = list[Tensor]


class Cell:
    """A cell bound to the buffers of a chunk.

    Attributes:
        gates: G, the gates in x.
        slots: Buffers of a step: G, and for the GRU one more, as x and h meet behind the matrix.
        states: S, the parts of the state, h first.
        order: The gate of x that lies in each of the first G slots.
        source: The slot that takes x's part of each gate; differs from `order` for the GRU's last.
        beta: What remains of dh when the recurrent matrix's part is added: 1 if the cell left one there.
    """

    gates = 4
    slots = 4
    states = 2
    order: tuple[int, ...] = (0, 1, 2, 3)
    source: tuple[int, ...] = (0, 1, 2, 3)
    beta = 0

    def __init__(self, pre: Tensor) -> None:
        """Bind to gates (H, T, B, slots, P)."""
        self.pre = pre
        self.parts = pre.unbind(3)
        self.steps: list[Steps] = [list(part.unbind(1)) for part in self.parts]

    def bind(self, first: int, last: int) -> Steps:
        """Return views of the slots first .. last - 1 of every step, (H, B, slots, P)."""
        return list(self.pre[:, :, :, first:last].unbind(1))

    def spare(self, count: int) -> Tensor:
        """Return `count` buffers like a part of the state over the chunk."""
        return self.pre.new_empty(count, *self.parts[0].shape)

    def forward(self, t: int, before: Steps, after: Steps) -> None:
        """Fill the states after step t of the chunk, (H, B, P) each, from those before and the gates' sums."""
        raise NotImplementedError

    def prepare(self, before: Tensor, after: Tensor) -> None:
        """Turn the gates' sums of the chunk into coefficients; `before`, `after` are the states (S, H, T, B, P)."""
        raise NotImplementedError

    def backward(self, t: int, grad: Steps) -> None:
        """Turn the coefficients of step t into the sums' gradients.

        The states' gradients turn, in place, into those before the step, less what the recurrent matrix adds.
        """
        raise NotImplementedError


class LSTM(Cell):
    """h = sigma(o) tanh(c), c = sigma(f) c + sigma(i) tanh(g); slots g, i, f, o."""

    order = (2, 0, 1, 3)
    source = (1, 2, 0, 3)

    def __init__(self, pre: Tensor) -> None:
        super().__init__(pre)
        self.sigmoids, self.by_c = self.bind(1, 4), self.bind(0, 3)
        self.squashed = torch.empty_like(self.steps[0][0])

    def forward(self, t: int, before: Steps, after: Steps) -> None:
        """See `Cell.forward`."""
        g, i, f, o = (steps[t] for steps in self.steps)
        self.sigmoids[t].sigmoid_()
        g.tanh_()
        torch.mul(f, before[1], out=after[1]).addcmul_(i, g)
        torch.mul(o, torch.tanh(after[1], out=self.squashed), out=after[0])

    def prepare(self, before: Tensor, after: Tensor) -> None:
        """See `Cell.prepare`."""
        g, i, f, o = self.parts
        less = self.pre[:, :, :, 1:].neg().sigmoid_()  # 1 - sigma, also where sigma rounds to 1
        self.pre[:, :, :, 1:].sigmoid_()
        g.tanh_()
        kept, to_c, squashed = self.spare(3)
        kept.copy_(f)
        torch.tanh(after[1], out=squashed)
        torch.mul(o, 1 - squashed.square(), out=to_c)
        self.pre[:, :, :, 2:].mul_(less[:, :, :, 1:])
        o.mul_(squashed)
        f.mul_(before[1])
        slope = i * less[:, :, :, 0] * g
        g.square_().neg_().add_(1).mul_(i)
        i.copy_(slope)
        self.kept, self.to_c = (list(m.unbind(1)) for m in (kept, to_c))

    def backward(self, t: int, grad: Steps) -> None:
        """See `Cell.backward`."""
        dh, dc = grad
        dc.addcmul_(dh, self.to_c[t])
        self.by_c[t].mul_(dc.unsqueeze(2))
        self.steps[3][t].mul_(dh)
        dc.mul_(self.kept[t])


class GRU(Cell):
    """h = (1 - z) n + z h, n = tanh(x_n + r (R_n h + b_n)); slots r, z, the recurrent part of n, its input's part."""

    gates = 3
    slots = 4
    states = 1
    order = (0, 1, 2)
    source = (0, 1, 3)
    beta = 1

    def __init__(self, pre: Tensor) -> None:
        super().__init__(pre)
        self.sigmoids, self.all = self.bind(0, 2), self.bind(0, 4)

    def forward(self, t: int, before: Steps, after: Steps) -> None:
        """See `Cell.forward`."""
        r, z, turned, n = (steps[t] for steps in self.steps)
        self.sigmoids[t].sigmoid_()
        n.addcmul_(r, turned).tanh_()
        torch.lerp(n, before[0], z, out=after[0])

    def prepare(self, before: Tensor, after: Tensor) -> None:
        """See `Cell.prepare`."""
        r, z, turned, n = self.parts
        less = self.pre[:, :, :, :2].neg().sigmoid_()  # 1 - sigma, also where sigma rounds to 1
        self.pre[:, :, :, :2].sigmoid_()
        n.addcmul_(r, turned).tanh_()
        (kept,) = self.spare(1)
        kept.copy_(z)
        z.mul_(less[:, :, :, 1]).mul_(before[0] - n)
        n.square_().neg_().add_(1).mul_(less[:, :, :, 1])
        turned.mul_(r * less[:, :, :, 0]).mul_(n)  # the reset gate's coefficient, in the wrong slot
        swapped = r * n
        r.copy_(turned)
        turned.copy_(swapped)
        self.kept = list(kept.unbind(1))

    def backward(self, t: int, grad: Steps) -> None:
        """See `Cell.backward`."""
        self.all[t].mul_(grad[0].unsqueeze(2))
        grad[0].mul_(self.kept[t])


class SLSTM(Cell):
    """h = sigma(o) c / n with exponential gates relative to m; m is -inf where nothing has been seen."""

    states = 4

    def forward(self, t: int, before: Steps, after: Steps) -> None:
        """See `Cell.forward`."""
        i, f, z, o = (steps[t] for steps in self.steps)
        _, c, n, m = after
        kept = F.logsigmoid(f).add_(before[3])
        torch.maximum(kept, i, out=m)
        forget, take = kept.sub_(m).exp_(), i.sub_(m).exp_()
        torch.mul(forget, before[1], out=c).addcmul_(take, z.tanh_())
        torch.addcmul(take, forget, before[2], out=n)
        torch.div(c, n, out=after[0]).mul_(o.sigmoid_())

    def prepare(self, before: Tensor, after: Tensor) -> None:
        """See `Cell.prepare`."""
        i, f, z, o = self.parts
        h, _, n, m = after
        spare = self.spare(8)
        forget, take, c_to_kept, n_to_kept, c_to_take, h_to_c, h_to_n, old = spare
        torch.add(F.logsigmoid(f), before[3], out=forget)
        old.copy_(forget >= i)
        forget.sub_(m).exp_()
        torch.sub(i, m, out=take).exp_()
        torch.mul(before[1], forget, out=c_to_kept)
        torch.mul(before[2], forget, out=n_to_kept)
        f.neg_().sigmoid_()
        torch.mul(z.tanh_(), take, out=c_to_take)
        z.square_().neg_().add_(1).mul_(take)
        torch.div(o.sigmoid(), n, out=h_to_c)
        torch.div(h, n, out=h_to_n).neg_()
        o.neg_().sigmoid_().mul_(h)
        self.coefficients = [list(part.unbind(1)) for part in spare.unbind(0)]

    def backward(self, t: int, grad: Steps) -> None:
        """See `Cell.backward`; the stabiliser's gradient is that of a maximum."""
        i, f, z, o = (steps[t] for steps in self.steps)
        dh, dc, dn, dm = grad
        forget, take, c_to_kept, n_to_kept, c_to_take, h_to_c, h_to_n, old = (c[t] for c in self.coefficients)
        dc.addcmul_(dh, h_to_c)
        dn.addcmul_(dh, h_to_n)
        d_kept = torch.mul(dc, c_to_kept).addcmul_(dn, n_to_kept)
        torch.mul(dc, c_to_take, out=i).addcmul_(dn, take)
        dm.sub_(d_kept).sub_(i)
        to_old = dm * old
        d_kept.add_(to_old)
        i.add_(dm).sub_(to_old)
        f.mul_(d_kept)
        z.mul_(dc)
        o.mul_(dh)
        dc.mul_(forget)
        dn.mul_(forget)
        dm.copy_(d_kept)


CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "gru": GRU, "slstm": SLSTM}
