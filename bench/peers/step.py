#!/usr/bin/env python3
"""Whole training steps: forward, backward, clipping, fused AdamW; random tokens, real routing."""

import argparse
import contextlib

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import report
import shapes
from model import Decoder
from optimizer import AdamW


class Trainer:
    def __init__(self, s: shapes.Shape, args: argparse.Namespace):
        self.s, self.device = s, args.device
        torch.manual_seed(1)
        with torch.device(args.device):
            model = Decoder(s, by_loop=args.experts == "loop")
        f32 = args.device == "cpu"
        if not f32:
            buffers = {name: b for name, b in model.named_buffers()}
            model.to(torch.bfloat16)
            model.cos, model.sin = buffers["cos"], buffers["sin"]  # angles stay f32
        accumulate = s.micro_batches > 1 and args.accumulate == "f32"
        masters = args.weights == "masters" and not f32
        # A tiny rate: with random tokens a larger one lets the routing collapse.
        self.optimizer = AdamW(model.parameters(), 1e-6, masters, accumulate)
        self.model = model
        if args.compile == "parts":
            model.compile_parts()
        elif args.compile == "whole":
            model.compile()

    def step(self, _: int) -> None:
        s = self.s
        for _ in range(s.micro_batches):
            ids = torch.randint(s.vocab, (s.sequences, s.length + 1), device=self.device)
            self.loss = self.model(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
            self.loss.backward()
        self.optimizer.step(float(s.micro_batches))


def attention_backend(device: str):
    return sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if device == "cuda" else contextlib.nullcontext()


def bench(out: report.Report, s: shapes.Shape, args: argparse.Namespace) -> None:
    with attention_backend(args.device):
        trainer = Trainer(s, args)
        times = report.time_calls(trainer.step, args.device, args.warm_up, args.iterations)
    tokens = s.tokens * s.micro_batches
    weights = "f32" if args.device == "cpu" else args.weights
    summed = f", {s.micro_batches} micro-batches summed in {args.accumulate}" if s.micro_batches > 1 else ""
    detail = f"weights {weights}, experts {args.experts}, compile {args.compile}{summed}, "
    detail += f"loss {trainer.loss.item():.3f}, {sum(p.numel() for p in trainer.model.parameters()) / 1e6:.0f} M"
    out.add("step", s.name, times, s.step_flops() * tokens, tokens, detail)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    shapes.add_arguments(parser, "step")
    report.add_arguments(parser, 10)
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"], help="cpu computes in f32")
    parser.add_argument("--weights", default="masters", choices=["masters", "bf16"],
                        help="f32 masters with f32 Adam, or both in bf16")  # fmt: skip
    parser.add_argument("--accumulate", default="f32", choices=["f32", "bf16"])
    parser.add_argument("--experts", choices=["grouped", "loop"], help="default: grouped, on the CPU loop")
    parser.add_argument("--compile", default="parts", choices=["parts", "whole", "no"],
                        help="parts: one layer of each kind and the head")  # fmt: skip
    parser.add_argument("--warm-up", type=int, default=4)
    args = parser.parse_args()
    args.experts = args.experts or ("loop" if args.device == "cpu" else "grouped")
    if (args.device, args.experts) == ("cpu", "grouped") and args.compile != "no":
        parser.error("torch compiles grouped products of bf16 alone: with --device cpu and "
                     "--experts grouped expected --compile no")  # fmt: skip
    out = report.Report(args, args.device)
    for s in shapes.chosen(parser, args, "step"):
        bench(out, s, args)
        torch._dynamo.reset()
        if args.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
