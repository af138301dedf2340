"""A dropless MoE layer in PyTorch: by grouped products without host synchronisation, or by a loop."""

import torch
import torch.nn.functional as F
from torch import Tensor

from shapes import Shape


class _Gather(torch.autograd.Function):
    """y[j] = x[order[j] // k]. Its backward gathers by the inverse and sums: no scatter, no atomics."""

    @staticmethod
    def forward(ctx, x: Tensor, order: Tensor, inverse: Tensor, k: int) -> Tensor:
        ctx.save_for_backward(inverse)
        ctx.k = k
        return x[order // k]

    @staticmethod
    def backward(ctx, dy: Tensor):
        (inverse,) = ctx.saved_tensors
        return dy[inverse].view(-1, ctx.k, dy.shape[-1]).sum(1), None, None, None


class _Combine(torch.autograd.Function):
    """out[t] = sum over a token's k choices of weight * y[inverse]. y [T k, D], weight [T, k]."""

    @staticmethod
    def forward(ctx, y: Tensor, weight: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(y, weight, order, inverse)
        rows = y[inverse].view(*weight.shape, y.shape[-1])
        return (rows.float() * weight[..., None]).sum(1).to(y.dtype)

    @staticmethod
    def backward(ctx, dout: Tensor):
        y, weight, order, inverse = ctx.saved_tensors
        k = weight.shape[1]
        scale = weight.flatten()[order][:, None]
        dy = (dout[order // k].float() * scale).to(y.dtype)
        rows = y[inverse].view(*weight.shape, y.shape[-1])
        dweight = (rows.float() * dout[:, None].float()).sum(-1)
        return dy, dweight, None, None


def route(x: Tensor, router: Tensor, k: int, normalise: bool) -> tuple[Tensor, Tensor]:
    """Weights f32 and experts [T, k] of tokens x [T, D]; router [D, E]."""
    probabilities = (x @ router).float().softmax(-1)
    weight, expert = probabilities.topk(k, -1)
    return (weight / weight.sum(-1, keepdim=True) if normalise else weight), expert


def activate(h: Tensor, gated: bool) -> Tensor:
    if not gated:
        return F.gelu(h, approximate="tanh")
    gate, up = h.chunk(2, -1)
    return F.silu(gate) * up


def grouped(x: Tensor, router: Tensor, up: Tensor, down: Tensor, s: Shape) -> Tensor:
    """x [T, D], up [E, D, H] (2 H where gated), down [E, H, D]."""
    weight, expert = route(x, router, s.k, s.normalise)
    by_expert, order = expert.flatten().sort(stable=True)
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel(), device=order.device)
    bounds = torch.arange(s.experts, device=x.device)
    ends = torch.searchsorted(by_expert, bounds, right=True, out_int32=True)
    rows = _Gather.apply(x, order, inverse, s.k)
    h = activate(torch._grouped_mm(rows, up, offs=ends), s.expert_gated)
    return _Combine.apply(torch._grouped_mm(h, down, offs=ends), weight, order, inverse)


def loop(x: Tensor, router: Tensor, up: Tensor, down: Tensor, s: Shape) -> Tensor:
    """One expert after the other; the host waits for each expert's tokens."""
    weight, expert = route(x, router, s.k, s.normalise)
    out = torch.zeros_like(x)
    for e in range(s.experts):
        token, choice = torch.where(expert == e)
        h = activate(x[token] @ up[e], s.expert_gated)
        y = (h @ down[e]) * weight[token, choice, None].to(x.dtype)
        out.index_add_(0, token, y)
    return out


class Experts(torch.nn.Module):
    def __init__(self, s: Shape, by_loop: bool = False):
        super().__init__()
        self.s, self.by_loop = s, by_loop
        width = s.expert_hidden * (2 if s.expert_gated else 1)
        parameter = lambda *sizes: torch.nn.Parameter(torch.empty(*sizes).normal_(0, 0.02))
        self.router = parameter(s.hidden, s.experts)
        self.up = parameter(s.experts, s.hidden, width)
        self.down = parameter(s.experts, s.expert_hidden, s.hidden)

    def forward(self, x: Tensor) -> Tensor:
        run = loop if self.by_loop else grouped
        return run(x, self.router, self.up, self.down, self.s)
