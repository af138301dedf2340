"""Fused AdamW with clipping for bf16 weights: f32 masters, or all in bf16; f32 accumulation."""

import torch

# Parameters whose gradients are converted at once: bounds the memory of the copies.
BUCKET = 1 << 28


class AdamW:
    """With `masters` the state and the weights it keeps are f32 and the model's are their copies;
    with `accumulate` the gradients of several backward passes are summed in f32."""

    def __init__(self, parameters, lr: float, masters: bool, accumulate: bool,
                 weight_decay: float = 0.1):  # fmt: skip
        self.weights = list(parameters)
        self.lr, self.masters, self.weight_decay = lr, masters, weight_decay
        make = lambda w: w.detach().float() if masters else w.detach()
        self.state = [make(w) for w in self.weights]
        self.mean = [torch.zeros_like(w) for w in self.state]
        self.square = [torch.zeros_like(w) for w in self.state]
        self.sums = [torch.zeros_like(w, dtype=torch.float32) for w in self.weights] if accumulate else []
        device = self.weights[0].device
        self.steps = [torch.zeros((), device=device) for _ in self.weights]
        self.buckets = self._split()
        for w, total in zip(self.weights, self.sums):
            w.register_post_accumulate_grad_hook(lambda w, total=total: self._add(w, total))

    @staticmethod
    def _add(w: torch.Tensor, total: torch.Tensor) -> None:
        total.add_(w.grad)
        w.grad = None

    def _split(self) -> list[range]:
        buckets, first, size = [], 0, 0
        for i, w in enumerate(self.weights):
            if size and size + w.numel() > BUCKET:
                buckets.append(range(first, i))
                first, size = i, 0
            size += w.numel()
        return buckets + [range(first, len(self.weights))]

    @torch.no_grad()
    def step(self, scale: float, clip: float = 1.0) -> None:
        """`scale`: divides the gradients, such as the number of micro-batches."""
        grads = self.sums or [w.grad for w in self.weights]
        norm = torch.nn.utils.get_total_norm(grads).float() / scale
        divisor = scale * torch.clamp(norm / clip, min=1.0)
        torch._foreach_add_(self.steps, 1)
        for bucket in self.buckets:
            at = slice(bucket.start, bucket.stop)
            self._update(at, [g.to(self.state[0].dtype) for g in grads[at]], divisor)
        if self.sums:
            torch._foreach_zero_(self.sums)
        for w in self.weights:
            w.grad = None

    def _update(self, at: slice, grads: list[torch.Tensor], divisor: torch.Tensor) -> None:
        torch._fused_adamw_(
            self.state[at], grads, self.mean[at], self.square[at], [], self.steps[at],
            lr=self.lr, beta1=0.9, beta2=0.95, weight_decay=self.weight_decay, eps=1e-8,
            amsgrad=False, maximize=False, grad_scale=divisor, found_inf=torch.zeros_like(divisor))  # fmt: skip
        if self.masters:
            torch._foreach_copy_(self.weights[at], self.state[at])
