#!/usr/bin/env python3
"""Linear layer and cross entropy, forward and backward: eager and compiled."""

import argparse

import torch
import torch.nn.functional as F

import report


def loss(x: torch.Tensor, weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy((x @ weight.T).float(), target)


def bench(out: report.Report, args: argparse.Namespace, function, name: str) -> None:
    torch.manual_seed(1)
    n, d, v = args.rows, args.hidden, args.vocab
    make = lambda *sizes: torch.randn(*sizes, device="cuda", dtype=torch.bfloat16)
    weight = (0.02 * make(v, d)).requires_grad_()
    inputs = [(make(n, d).requires_grad_(), torch.randint(v, (n,), device="cuda")) for _ in range(3)]

    def call(i: int) -> None:
        x, target = inputs[i % 3]
        torch.autograd.grad(function(x, weight, target), [x, weight])

    held = torch.cuda.memory_allocated() / report.GIB
    times = report.time_calls(call, "cuda", 5, args.iterations)
    detail = f"{name}; {times['peak_gib'] - held:.2f} GiB beside the operands, gradients included"
    out.add("loss", f"N={n} D={d} V={v}", times, 6.0 * n * d * v, n, detail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    report.add_arguments(parser, 25)
    parser.add_argument("--rows", type=int, default=32768)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--vocab", type=int, default=50304)
    args = parser.parse_args()
    out = report.Report(args, "cuda")
    bench(out, args, torch.compile(loss), "compiled")
    bench(out, args, loss, "eager")


if __name__ == "__main__":
    main()
