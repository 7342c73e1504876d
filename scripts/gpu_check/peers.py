"""Other implementations of attention, timed on the same problems: PyTorch's by cuDNN and by FlashAttention, Triton's through
FlexAttention, and the FlashAttention packages, as far as they can be imported. Each that is not is named with the reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .watched import say

NAMES = ("cuDNN", "flash", "Triton (flex)", "flash-attn 2", "flash-attn 3")
DTYPES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:160]


class Problem:
    """Random operands of one problem on the device, in PyTorch's usual layout (batch, heads, length, dim)."""

    def __init__(self, torch: Any, job: dict, sizes: list) -> None:
        batch, heads, kv_heads, queries, keys = sizes
        like = {"device": job["peer_device"], "dtype": getattr(torch, DTYPES[job["dtype"]])}
        self.q = torch.randn(batch, heads, queries, job["head_dim"], **like)
        self.k = torch.randn(batch, kv_heads, keys, job["head_dim"], **like)
        self.v = torch.randn(batch, kv_heads, keys, job["value_head_dim"], **like)
        self.grouped = heads != kv_heads
        # The last query attends everything: a decoding step under bottom_right.
        self.causal = bool(job["mask"]) and queries > 1


def sdpa(torch: Any, problem: Problem, backend: str) -> Callable[[], Any]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    chosen = getattr(SDPBackend, backend)

    def run() -> None:
        with sdpa_kernel(chosen):
            torch.nn.functional.scaled_dot_product_attention(
                problem.q, problem.k, problem.v, is_causal=problem.causal, enable_gqa=problem.grouped
            )

    return run


def flex(torch: Any, problem: Problem) -> Callable[[], Any]:
    if problem.q.is_cuda:
        import triton  # noqa: F401
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    torch._dynamo.reset()
    compiled, block = torch.compile(flex_attention, dynamic=False), None
    queries, keys = problem.q.shape[2], problem.k.shape[2]
    if problem.causal:
        block = create_block_mask(lambda b, h, i, j: i >= j, None, None, queries, keys, device=problem.q.device)
    return lambda: compiled(problem.q, problem.k, problem.v, block_mask=block, enable_gqa=problem.grouped)


def packaged(problem: Problem, package: str) -> Callable[[], Any]:
    attend = __import__(package).flash_attn_func
    q, k, v = (x.transpose(1, 2).contiguous() for x in (problem.q, problem.k, problem.v))
    return lambda: attend(q, k, v, causal=problem.causal)


def device_beside(device: str) -> str:
    """What PyTorch calls the device that a kernel ran on; nothing where that is no GPU."""
    family, _, number = device.partition(":")
    return f"cuda:{number}" if family in ("cuda", "hip") else ""  # its builds for ROCm say cuda, too


def make(torch: Any, name: str, problem: Problem) -> Callable[[], Any]:
    if name == "cuDNN":
        return sdpa(torch, problem, "CUDNN_ATTENTION")
    if name == "flash":
        return sdpa(torch, problem, "FLASH_ATTENTION")
    if name == "Triton (flex)":
        return flex(torch, problem)
    return packaged(problem, "flash_attn" if name == "flash-attn 2" else "flash_attn_interface")


def measure(torch: Any, run: Callable[[], Any], seconds: float, on_gpu: bool) -> float:
    """The median of single runs, by the device's events where it has them."""
    for _ in range(3):
        run()
    times, end = [], time.monotonic() + seconds
    while len(times) < 10 or time.monotonic() < end:
        if on_gpu:
            begin, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            done.record()
            done.synchronize()
            times.append(begin.elapsed_time(done) * 1e-3)
        else:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def why_missing(torch: Any) -> dict[str, str]:
    """The peers that are not to be had, with the reason of each."""
    missing = {}
    for name, package in (
        ("Triton (flex)", "triton"),
        ("flash-attn 2", "flash_attn"),
        ("flash-attn 3", "flash_attn_interface"),
    ):
        if name == "Triton (flex)" and not torch.cuda.is_available():
            continue
        try:
            __import__(package)
        except Exception as error:  # a package for another CUDA raises what it likes
            missing[name] = first_line(error)
    return missing


def run(job: dict) -> None:
    """Times every peer on every problem of the job but those in `skip`."""
    try:
        import torch
    except Exception as error:
        say(missing={name: first_line(error) for name in NAMES})
        return
    on_gpu = job["peer_device"].startswith("cuda")
    if on_gpu and not torch.cuda.is_available():
        say(missing=dict.fromkeys(NAMES, f"PyTorch {torch.__version__} sees no GPU"))
        return
    if on_gpu:
        torch.cuda.set_device(job["peer_device"])
    missing = why_missing(torch)
    say(
        missing=missing,
        versions=f"PyTorch {torch.__version__} on {torch.cuda.get_device_name() if on_gpu else 'the CPU'}",
    )
    for index, sizes in job["cases"]:
        wanted = [name for name in job["names"] if name not in missing and [index, name] not in job["skip"]]
        problem = None
        for name in wanted:
            say(begin=[index, name])
            try:
                problem = problem or Problem(torch, job, sizes)
                say(peer=[index, name], seconds=measure(torch, make(torch, name, problem), job["seconds"], on_gpu))
            except Exception as error:  # whatever a compiler raises is a cell of the table, not the end of the check
                say(peer=[index, name], error=first_line(error))
