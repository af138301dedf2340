"""The decoder of configs/bench/step in PyTorch: GPT-2's or Llama's parts, experts on some layers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from experts import Experts
from shapes import Shape


def norm(s: Shape) -> nn.Module:
    return nn.RMSNorm(s.hidden, eps=1e-5) if s.rms_norm else nn.LayerNorm(s.hidden, bias=s.bias)


def angles(s: Shape) -> tuple[Tensor, Tensor]:
    """Cosines and sines [S, head_dim]; halves of a head turn together."""
    inverse = 10000.0 ** (-torch.arange(0, s.head_dim, 2) / s.head_dim)
    turn = torch.arange(s.length)[:, None] * inverse
    turn = torch.cat([turn, turn], -1)
    return turn.cos(), turn.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [B, heads, S, head_dim]."""
    low, high = x.chunk(2, -1)
    return (x * cos + torch.cat([-high, low], -1) * sin).to(x.dtype)


class Attention(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.s = s
        self.qkv = nn.Linear(s.hidden, (s.heads + 2 * s.kv_heads) * s.head_dim, bias=s.bias)
        self.out = nn.Linear(s.hidden, s.hidden, bias=s.bias)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        s = self.s
        heads = self.qkv(x).view(x.shape[0], x.shape[1], -1, s.head_dim).transpose(1, 2)
        q, k, v = heads.split([s.heads, s.kv_heads, s.kv_heads], 1)
        if s.rope:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        grouped = s.kv_heads != s.heads
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        return self.out(y.transpose(1, 2).reshape(x.shape))


class FeedForward(nn.Module):
    def __init__(self, s: Shape):
        super().__init__()
        self.gated = s.gated
        self.up = nn.Linear(s.hidden, s.ffn_hidden * (2 if s.gated else 1), bias=s.bias)
        self.down = nn.Linear(s.ffn_hidden, s.hidden, bias=s.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x)
        if not self.gated:
            return self.down(F.gelu(h, approximate="tanh"))
        gate, up = h.chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Block(nn.Module):
    def __init__(self, s: Shape, moe: bool, by_loop: bool):
        super().__init__()
        self.attention_norm, self.attention = norm(s), Attention(s)
        self.ffn_norm, self.moe = norm(s), moe
        self.ffn = Experts(s, by_loop) if moe else FeedForward(s)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x), cos, sin)
        h = self.ffn_norm(x)
        return x + (self.ffn(h.flatten(0, 1)).view(x.shape) if self.moe else self.ffn(h))


class Head(nn.Module):
    """Final norm, logits and the mean loss; the logits' f32 copy is the compiler's to avoid."""

    def __init__(self, s: Shape):
        super().__init__()
        self.norm = norm(s)
        self.logits = nn.Linear(s.hidden, s.vocab, bias=False)

    def forward(self, x: Tensor, target: Tensor) -> Tensor:
        logits = self.logits(self.norm(x)).float()
        return F.cross_entropy(logits.flatten(0, 1), target.flatten())


class Decoder(nn.Module):
    def __init__(self, s: Shape, by_loop: bool = False):
        super().__init__()
        self.token = nn.Embedding(s.vocab, s.hidden)
        self.position = None if s.rope else nn.Embedding(s.length, s.hidden)
        self.blocks = nn.ModuleList(Block(s, n in s.moe_layers, by_loop) for n in range(s.layers))
        self.head = Head(s)
        if s.tied:
            self.head.logits.weight = self.token.weight
        cos, sin = angles(s)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.initialise()

    @torch.no_grad()
    def initialise(self) -> None:
        for name, p in self.named_parameters():
            if p.dim() > 1:
                p.normal_(0, 0.02)
            else:
                p.fill_(1.0 if name.endswith("norm.weight") else 0.0)

    def forward(self, token: Tensor, target: Tensor) -> Tensor:
        """The mean loss; both [B, S]."""
        x = self.token(token)
        if self.position is not None:
            x = x + self.position.weight
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.head(x, target)

    def compile_parts(self) -> None:
        """Layers of one kind share one compilation: a start in seconds instead of minutes."""
        for block in self.blocks:
            block.compile()
        self.head.compile()
