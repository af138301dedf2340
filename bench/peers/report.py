"""Times calls as `moiety bench` does and prints the same table and JSON rows."""

import argparse
import json
import pathlib
import statistics
import time
from typing import Callable

import torch

GIB = 1 << 30


def add_arguments(parser: argparse.ArgumentParser, iterations: int) -> None:
    parser.add_argument("--iterations", type=int, default=iterations, help="timed calls")
    parser.add_argument("--json", type=pathlib.Path, help="file for the rows as JSON")
    parser.add_argument("--no-ceilings", action="store_true", help="do not time the dense product")


def _on_gpu(call: Callable[[int], object], first: int, iterations: int) -> list[float]:
    events = [torch.cuda.Event(enable_timing=True) for _ in range(iterations + 1)]
    events[0].record()
    for i in range(iterations):
        call(first + i)
        events[i + 1].record()
    events[-1].synchronize()
    return [events[i].elapsed_time(events[i + 1]) for i in range(iterations)]


def _on_host(call: Callable[[int], object], first: int, iterations: int) -> list[float]:
    times = []
    for i in range(iterations):
        begin = time.perf_counter()
        call(first + i)
        times.append(1e3 * (time.perf_counter() - begin))
    return times


def time_calls(call: Callable[[int], object], device: str, warm_up: int, iterations: int) -> dict:
    """Milliseconds of call(i), each from the end of the one before, and the peak of memory."""
    for i in range(warm_up):
        call(i)
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    ms = (_on_gpu if device == "cuda" else _on_host)(call, warm_up, iterations)
    peak = torch.cuda.max_memory_allocated() / GIB if device == "cuda" else 0.0
    return {"ms": statistics.median(ms), "ms_least": min(ms), "ms_most": max(ms), "peak_gib": peak}


def ceilings(device: str) -> tuple[float, float]:
    """Dense product in TFLOP/s: of 25 after a warm-up, and of the last of three seconds."""
    n = 8192 if device == "cuda" else 2048
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    a, b, c = ([torch.randn(n, n, device=device, dtype=dtype) for _ in range(3)] for _ in range(3))

    def product(i: int) -> None:
        torch.mm(a[i % 3], b[i % 3], out=c[i % 3])

    flops = 2.0 * n**3 / 1e9  # TFLOP/s of one millisecond
    burst = flops / time_calls(product, device, 3, 25)["ms"]
    second = max(3, int(1e3 * burst / flops))
    return burst, flops / time_calls(product, device, 2 * second, second)["ms"]


class Report:
    def __init__(self, args: argparse.Namespace, device: str):
        self.json = args.json
        name = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
        self.device = f"{name}, torch {torch.__version__}"
        self.burst, self.sustained = (0.0, 0.0) if args.no_ceilings else ceilings(device)
        self.rows: list[dict] = []
        print(f"{self.device}\ndense product: burst {self.burst:.4g} TFLOP/s, ", end="")
        print(f"sustained {self.sustained:.4g}\n")
        print(f"{'':<10}{'shape':<28}{'ms':>9}{'least':>9}{'most':>9}{'TFLOP/s':>9}{'burst':>8}", end="")
        print(f"{'sustained':>10}{'ktok/s':>9}{'GiB':>8}", flush=True)

    def add(self, what: str, shape: str, times: dict, flops: float, tokens: float, detail: str) -> None:
        """flops and tokens: of one call; 0 = not counted."""
        rate = flops / times["ms"] / 1e9
        row = {"what": what, "shape": shape, "ms": times["ms"], "ms_least": times["ms_least"]}
        row |= {"ms_most": times["ms_most"], "tflops": rate, "ktokens_per_second": tokens / times["ms"]}
        row |= {"peak_gib": times["peak_gib"], "detail": detail}
        self.rows.append(row)
        of_burst, of_sustained = (100 * rate / c if c else 0 for c in (self.burst, self.sustained))
        print(f"{what:<10}{shape:<28}{row['ms']:>9.3f}{row['ms_least']:>9.3f}{row['ms_most']:>9.3f}", end="")
        print(f"{rate:>9.4g}{of_burst:>7.1f}%{of_sustained:>9.1f}%{row['ktokens_per_second']:>9.4g}", end="")
        print(f"{row['peak_gib']:>8.2f}\n{'':<10}{detail}", flush=True)
        if self.json:
            whole = {"device": self.device, "burst_tflops": self.burst, "sustained_tflops": self.sustained}
            self.json.write_text(json.dumps(whole | {"rows": self.rows}, indent=2) + "\n")
