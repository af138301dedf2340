"""Sizes of configs/bench/{layer,step}/NAME.yaml, which `moiety bench` reads too."""

import argparse
import dataclasses
import difflib
import pathlib
import sys

import yaml

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs" / "bench"


@dataclasses.dataclass(frozen=True)
class Shape:
    name: str
    layers: int
    hidden: int  # D
    heads: int
    kv_heads: int
    ffn_hidden: int
    vocab: int
    length: int  # S, tokens of a sequence
    rope: bool
    rms_norm: bool
    gated: bool  # SwiGLU in the dense feed-forward layers
    tied: bool
    bias: bool
    moe_layers: tuple[int, ...]
    experts: int  # E
    expert_hidden: int  # H
    expert_gated: bool
    k: int
    normalise: bool  # the weights of a token's choices sum to 1
    sequences: int  # of one micro-batch
    micro_batches: int

    @property
    def head_dim(self) -> int:
        return self.hidden // self.heads

    @property
    def tokens(self) -> int:
        """Of one micro-batch."""
        return self.sequences * self.length

    def expert_flops(self) -> float:
        """Forward, of one choice."""
        return 2.0 * self.hidden * self.expert_hidden * (3 if self.expert_gated else 2)

    def router_flops(self) -> float:
        """Forward, of one token in one MoE layer."""
        return 2.0 * self.hidden * self.experts

    def attention_flops(self) -> float:
        """Forward, of one token in one layer: scores and weighted values over (S + 1) / 2 keys."""
        return 2.0 * self.hidden * (self.length + 1)

    def step_flops(self) -> float:
        """Forward and backward of one token, no choice dropped."""
        d, kv = self.hidden, self.kv_heads * self.head_dim
        layer = 2.0 * d * (d + 2 * kv) + 2.0 * d * d + self.attention_flops()
        dense = 2.0 * d * self.ffn_hidden * (3 if self.gated else 2)
        moe = self.router_flops() + self.k * self.expert_flops()
        of_moe = len(self.moe_layers)
        forward = self.layers * layer + (self.layers - of_moe) * dense + of_moe * moe
        return 3 * (forward + 2.0 * d * self.vocab)


def names(kind: str) -> list[str]:
    return sorted(file.stem for file in (CONFIGS / kind).glob("*.yaml"))


def load(kind: str, name: str) -> Shape:
    if name not in names(kind):
        near = difflib.get_close_matches(name, names(kind), 1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        sys.exit(f"'{name}' is none of: {', '.join(names(kind))}{hint}")
    return _shape(name, _read(CONFIGS / kind / f"{name}.yaml"))


def add_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names(kind)))
    parser.add_argument("--all", action="store_true", help=f"every file of configs/bench/{kind}")


def chosen(parser: argparse.ArgumentParser, args: argparse.Namespace, kind: str) -> list[Shape]:
    found = [load(kind, name) for name in (names(kind) if args.all else args.names)]
    if not found:
        parser.error(f"expected --all or one of: {', '.join(names(kind))}")
    return found


def _read(file: pathlib.Path) -> dict:
    """The file over its `base`: maps merge, and a component of another type loses its params."""
    document = yaml.safe_load(file.read_text())
    base = document.pop("base", None)
    return document if base is None else _merged(_read(file.parent / base), document)


def _merged(under: dict, over: dict) -> dict:
    if over.get("type", under.get("type")) != under.get("type"):
        return over
    out = dict(under)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(under.get(key), dict)
        out[key] = _merged(under[key], value) if both else value
    return out


def _shape(name: str, document: dict) -> Shape:
    model, moe = document["model"], document.get("moe", {})
    layers, hidden = model["layers"], model["hidden"]
    ffn_hidden = model.get("ffn_hidden", 4 * hidden)
    every = moe.get("expert_interval", 2)
    moe_layers = moe.get("layers", range(every - 1, layers, every)) if "num_experts" in moe else ()
    gate = moe.get("gate", {}).get("params", {})
    heads = model.get("heads", 4)
    return Shape(
        name=name,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=model.get("kv_heads", heads),
        ffn_hidden=ffn_hidden,
        vocab=model.get("vocab_size", 256),
        length=model.get("sequence_length", 256),
        rope=model.get("positions", "learned") == "rope",
        rms_norm=model.get("norm", "layernorm") == "rmsnorm",
        gated=model.get("activation", "gelu") == "swiglu",
        tied=model.get("tie_embeddings", True),
        bias=model.get("bias", True),
        moe_layers=tuple(moe_layers),
        experts=moe.get("num_experts", 1),
        expert_hidden=moe.get("hidden", ffn_hidden),
        expert_gated=moe.get("expert", {}).get("type") == "swiglu",
        k=gate.get("k", 2),
        normalise=gate.get("norm_topk_prob", True),
        sequences=document["train_micro_batch_size_per_gpu"],
        micro_batches=document.get("gradient_accumulation_steps", 1),
    )
