#!/usr/bin/env python3
"""The first steps of a run, again in PyTorch from the same weights and batches; compares the losses.

Products in bf16 round otherwise here and there, and a rounding that turns a router's choice grows: two
runs of moiety whose sums alone have another order (run.deterministic) differ by 2e-3 in the first 20
steps and 3e-2 in the first 100. The tolerances are of that size.

    moiety_initial_state configs/bench/curve/NAME.yaml state.safetensors 100
    moiety train configs/bench/curve/NAME.yaml --run-dir run
    python3 bench/peers/curve.py NAME state.safetensors run/metrics.jsonl
"""

import argparse
import json
import math
import mmap
import pathlib
import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import shapes
from experts import activate
from model import Decoder
from optimizer import AdamW
from step import attention_backend


class State:
    """The tensors of a safetensors file of f32, read where they lie."""

    def __init__(self, path: str):
        with open(path, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        size = int.from_bytes(self.bytes[:8], "little")
        self.begin = 8 + size
        self.header = json.loads(self.bytes[8 : self.begin])
        self.header.pop("__metadata__", None)

    def __getitem__(self, name: str) -> Tensor:
        entry = self.header[name]
        at, count = self.begin + entry["data_offsets"][0], math.prod(entry["shape"])
        return torch.frombuffer(self.bytes, dtype=torch.float32, count=count, offset=at).view(entry["shape"])


class Norm(nn.LayerNorm):
    """Computes in f32 and rounds to the activations' type, as moiety does."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            y = F.layer_norm(x.float(), self.normalized_shape, self.weight, self.bias, self.eps)
        return y.to(x.dtype)


class RoutedExperts(nn.Module):
    """Top-1 experts, router in f32, by a loop: the plain form. Keeps its balancing loss."""

    def __init__(self, s: shapes.Shape):
        super().__init__()
        self.s = s
        self.router = nn.Parameter(torch.empty(s.hidden, s.experts))
        self.up = nn.Parameter(torch.empty(s.experts, s.hidden, s.expert_hidden))
        self.down = nn.Parameter(torch.empty(s.experts, s.expert_hidden, s.hidden))
        self.balance = None

    def forward(self, x: Tensor) -> Tensor:
        s = self.s
        with torch.autocast(x.device.type, enabled=False):
            probability = (x.float() @ self.router).softmax(-1)
        weight, expert = probability.max(-1)
        share = torch.bincount(expert, minlength=s.experts) / expert.numel()
        self.balance = s.experts * (share * probability.mean(0)).sum()
        by_expert, order = expert.sort(stable=True)
        rows, counts = x[order], torch.bincount(by_expert, minlength=s.experts).tolist()
        parts = [activate(r @ self.up[e], False) @ self.down[e]
                 for e, r in enumerate(rows.split(counts)) if counts[e]]  # fmt: skip
        y = torch.empty_like(x)
        y[order] = torch.cat(parts)
        return (y.float() * weight[:, None]).to(x.dtype)


def torch_names(s: shapes.Shape) -> dict[str, tuple[str, bool]]:
    """Ours to (theirs, transposed)."""
    names = {"embedding.token": ("token.weight", False), "embedding.position": ("position.weight", False)}
    for part in ("weight", "bias"):
        names[f"final_norm.{part}"] = (f"head.norm.{part}", False)
    for i in range(s.layers):
        ours, theirs = f"layers.{i}", f"blocks.{i}"
        for part in ("weight", "bias"):
            for n in ("attention_norm", "ffn_norm"):
                names[f"{ours}.{n}.{part}"] = (f"{theirs}.{n}.{part}", False)
            for n in ("attention.qkv", "attention.out"):
                names[f"{ours}.{n}.{part}"] = (f"{theirs}.{n}.{part}", part == "weight")
        if i in s.moe_layers:
            names[f"{ours}.moe.router.weight"] = (f"{theirs}.ffn.router", False)
            names[f"{ours}.moe.experts.w_in"] = (f"{theirs}.ffn.up", False)
            names[f"{ours}.moe.experts.w_out"] = (f"{theirs}.ffn.down", False)
        else:
            for n, m in (("in", "up"), ("out", "down")):
                names[f"{ours}.ffn.w_{n}"] = (f"{theirs}.ffn.{m}.weight", True)
                names[f"{ours}.ffn.b_{n}"] = (f"{theirs}.ffn.{m}.bias", False)
    return names


def load(model: nn.Module, s: shapes.Shape, state: State) -> None:
    parameters, names, left = dict(model.named_parameters()), torch_names(s), set(state.header)
    for ours, (theirs, transposed) in names.items():
        if ours not in left:
            continue
        value, p = state[ours], parameters.pop(theirs)
        value = value.squeeze(0) if value.dim() > p.dim() else value
        p.data.copy_(value.T if transposed else value)
        left.discard(ours)
    left = {name for name in left if not name.startswith("batch.")}
    if left or parameters:
        sys.exit(f"not in both: {sorted(left)}, {sorted(parameters)}")


def narrow(model: nn.Module) -> None:
    """bf16 where moiety has it: matrices, except the router's. Vectors and angles stay f32."""
    for name, p in model.named_parameters():
        if p.dim() > 1 and not name.endswith("router"):
            p.data = p.data.to(torch.bfloat16)


def run(args: argparse.Namespace, s: shapes.Shape) -> list[float]:
    device = args.device
    with torch.device(device):
        model = Decoder(s)
        for block in model.blocks:
            if block.moe:
                block.ffn = RoutedExperts(s)
    state = State(args.state)
    load(model, s, state)
    tokens, targets = (state[f"batch.{n}"].long() for n in ("tokens", "targets"))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.__class__ = Norm
    optimizer = AdamW(model.parameters(), 0, masters=True, accumulate=False, weight_decay=0.0)
    bf16 = device == "cuda"
    if bf16:
        narrow(model)
    rows = [json.loads(line) for line in pathlib.Path(args.metrics).read_text().splitlines()]
    losses = []
    for i in range(min(len(tokens), len(rows))):
        optimizer.lr = rows[i]["lr"]
        with attention_backend(device), torch.autocast(device, torch.bfloat16, enabled=bf16):
            loss = model(tokens[i].to(device), targets[i].to(device))
            balance = sum(b.ffn.balance for b in model.blocks if b.moe)
        (loss + args.balance * balance).backward()
        optimizer.step(1.0)
        losses.append(loss.item())
        ours = rows[i]["lm_loss"]
        if i < 3 or i % 10 == 9:
            print(f"step {i + 1:4}  {losses[-1]:.5f}  moiety {ours:.5f}  {losses[-1] / ours - 1:+.2e}")
    return [abs(a / r["lm_loss"] - 1) for a, r in zip(losses, rows)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name", help=", ".join(shapes.names("curve")))
    parser.add_argument("state")
    parser.add_argument("metrics")
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"])
    parser.add_argument("--balance", type=float, default=0.01, help="weight of the balancing loss")
    parser.add_argument("--early", type=float, default=2e-3, help="largest relative difference, 20 steps")
    parser.add_argument("--tolerance", type=float, default=5e-2, help="the same, all steps")
    args = parser.parse_args()
    differences = run(args, shapes.load("curve", args.name))
    good = True
    for steps, most in ((20, args.early), (len(differences), args.tolerance)):
        worst = max(differences[:steps])
        good &= worst <= most
        print(f"{steps} steps: largest relative difference {worst:.2e}, at most {most:.0e}")
    sys.exit(not good)


if __name__ == "__main__":
    main()
