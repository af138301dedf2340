#!/usr/bin/env python3
"""One MoE layer, forward and backward: grouped products (compiled) and a loop over experts (eager)."""

import argparse
import sys

import torch

import report
import shapes
from experts import Experts, grouped, loop

CHECKED = ["output", "dx", "router", "up", "down"]
TOLERANCE = 2e-2  # of bf16: norm of the difference over the norm


def gradients(function, x, dout, weights, s):
    """The output, dx and the gradients of the weights: written, not accumulated."""
    x = x.detach().requires_grad_()
    out = function(x, *weights, s)
    return [out.detach(), *torch.autograd.grad(out, [x, *weights], dout)]


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    return ((got.float() - expected).norm() / expected.norm()).item()


def clear_rows(x: torch.Tensor, router: torch.Tensor, k: int) -> torch.Tensor:
    """x with other rows in the place of those whose choice of experts hangs on rounding."""
    best = (x @ router).float().topk(min(k + 1, router.shape[1]), -1).values
    clear = best[:, -2] - best[:, -1] > 0.02
    rows = x[clear]
    return rows[torch.arange(x.shape[0], device=x.device) % rows.shape[0]]


@torch.no_grad()
def errors(got: list[torch.Tensor], expected: list[torch.Tensor]) -> list[float]:
    return [((g.float() - e).norm() / e.norm()).item() for g, e in zip(got, expected)]


def check(function, x, dout, weights, s: shapes.Shape) -> str:
    """`function` in bf16 against the loop in f32."""
    x = clear_rows(x, weights[0].detach(), s.k)
    got = gradients(function, x, dout, weights, s)
    exact = [w.detach().float().requires_grad_() for w in weights]
    found = dict(zip(CHECKED, errors(got, gradients(loop, x.float(), dout.float(), exact, s))))
    if s.k == 1 and s.normalise:
        del found["router"]  # the one weight is always 1: what is left of the gradient is rounding
    text = ", ".join(f"{name} {e:.1e}" for name, e in found.items())
    if not max(found.values()) < TOLERANCE:
        sys.exit(f"{s.name}: wrong, so it was not timed: {text}")
    return f"against f32: {text}"


def bench(out: report.Report, s: shapes.Shape, variant: str, iterations: int, device: str) -> None:
    torch.manual_seed(1)
    with torch.device(device):
        layer = Experts(s).to(torch.bfloat16)
    weights = [layer.router, layer.up, layer.down]
    make = lambda: torch.randn(s.tokens, s.hidden, device=device, dtype=torch.bfloat16)
    inputs = [(make(), make()) for _ in range(3)]
    function = loop if variant == "loop" else torch.compile(grouped, dynamic=False)
    detail = check(function, *inputs[0], weights, s)

    def call(i: int) -> None:
        gradients(function, *inputs[i % 3], weights, s)

    times = report.time_calls(call, device, 5, iterations)
    flops = 3 * s.tokens * (s.router_flops() + s.k * s.expert_flops())
    out.add("layer", f"{s.name} {variant}", times, flops, s.tokens, detail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shapes.add_arguments(parser, "layer")
    report.add_arguments(parser, 25)
    parser.add_argument("--variants", nargs="+", default=["grouped", "loop"], choices=["grouped", "loop"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    args = parser.parse_args()
    out = report.Report(args, args.device)
    for s in shapes.chosen(parser, args, "layer"):
        for variant in args.variants:
            bench(out, s, variant, args.iterations, args.device)


if __name__ == "__main__":
    main()
