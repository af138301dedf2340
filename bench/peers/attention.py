#!/usr/bin/env python3
"""Causal scaled dot product attention, forward and backward, by cuDNN and by torch's flash kernels."""

import argparse

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

import report

SIZES = [(16, 16, 16, 2048, 64), (8, 16, 4, 2048, 64), (8, 16, 4, 2048, 128), (4, 32, 8, 4096, 128)]
BACKENDS = {"cudnn": SDPBackend.CUDNN_ATTENTION, "flash": SDPBackend.FLASH_ATTENTION}


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    grouped = q.shape[1] != k.shape[1]
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)


def bench(out: report.Report, sizes: tuple, backend: str, iterations: int) -> None:
    b, heads, kv, s, d = sizes
    # Token-major in memory, as a projection writes them.
    make = lambda h: torch.randn(b, s, h, d, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
    inputs = [[make(h).requires_grad_() for h in (heads, kv, kv)] + [make(heads)] for _ in range(3)]

    def call(i: int) -> None:
        *operands, dout = inputs[i % 3]
        torch.autograd.grad(attend(*operands), operands, dout)

    with sdpa_kernel(BACKENDS[backend]):
        times = report.time_calls(call, "cuda", 5, iterations)
    forward = 4.0 * b * heads * d * s * (s + 1) / 2
    shape = f"B{b} H{heads} kv{kv} S{s} D{d}"
    out.add("attention", shape, times, 3.5 * forward, b * s, f"{backend}; 3.5 x the causal forward")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    report.add_arguments(parser, 25)
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=list(BACKENDS))
    args = parser.parse_args()
    torch.manual_seed(1)
    out = report.Report(args, "cuda")
    for sizes in SIZES:
        for backend in args.backends:
            bench(out, sizes, backend, args.iterations)


if __name__ == "__main__":
    main()
