"""What flashc is meant to reach: shares of the measured limit, and nobody ahead of it."""

from __future__ import annotations

from typing import Any

from .cases import Case

#: By the limit's name, head dim, length and mask.
SHARES: dict[tuple[str, int, int, str], float] = {
    ("f32_gflops", 64, 4096, "full"): 0.87,
    ("f32_gflops", 128, 4096, "full"): 0.90,
    ("f32_gflops", 64, 4096, "causal"): 0.82,
    ("f32_gflops", 128, 4096, "causal"): 0.86,
    ("f32_gflops", 64, 1024, "full"): 0.84,
    ("f32_gflops", 128, 1024, "full"): 0.84,
    ("f32_gflops", 64, 1024, "causal"): 0.74,
    ("f32_gflops", 128, 1024, "causal"): 0.74,
    ("vdpbf16ps_gflops", 64, 4096, "full"): 0.79,
    ("vdpbf16ps_gflops", 128, 4096, "full"): 0.86,
    ("vdpbf16ps_gflops", 64, 4096, "causal"): 0.74,
    ("vdpbf16ps_gflops", 128, 4096, "causal"): 0.80,
    ("vdpbf16ps_gflops", 64, 1024, "full"): 0.74,
    ("vdpbf16ps_gflops", 128, 1024, "full"): 0.80,
    ("vdpbf16ps_gflops", 64, 1024, "causal"): 0.65,
    ("vdpbf16ps_gflops", 128, 1024, "causal"): 0.72,
}
#: GFLOP/s on two cores by head dim: softmax and not the product bounds what runs on AMX, so that a share of it says little.
AMX_GFLOPS = {64: 2200.0, 128: 4000.0}
F64_SHARE, DECODE_SHARE, BATCH_SHARE = 0.75, 0.90, 0.60
#: Keys from which decoding is bound by memory on every machine: hundreds of megabytes of them.
LONG_CACHE = 32768


def share_asked(case: Case, limit: tuple[str, float] | None, threads: int) -> float | None:
    """The share of its limit that a case is meant to reach; None where nothing but the peers is the measure."""
    if limit is None:
        return None
    name, value = limit
    if case.kind == "decode":
        return DECODE_SHARE if case.keys >= LONG_CACHE else None
    if case.batch >= 64:
        return BATCH_SHARE if case.dtype in ("f32", "bf16") else None
    if (case.batch, case.heads, case.key_heads) != (1, 8, 8):
        return None
    if name == "f64_gflops":
        return F64_SHARE if case.mask == "full" and case.queries >= 1024 else None
    if case.dtype == "f16":
        return None
    if name == "amx_bf16_gflops":
        rate = AMX_GFLOPS.get(case.head_dim) if case.mask == "full" and case.queries >= 4096 else None
        return rate * threads / 2 / value if rate else None
    return SHARES.get((name, case.head_dim, case.queries, case.mask))


def missed(row: dict[str, Any]) -> list[str]:
    """In which ways a case falls short, each with its numbers; empty where it does not."""
    found = []
    ours = row["results"].get("flashc", {})
    if "warm" not in ours:
        return [f"flashc: {ours.get('error') or ours.get('unsupported') or 'not measured'}"]
    asked, share = row.get("target"), ours["warm"].get("share")
    if asked and share is not None and share < asked:
        found.append(f"{share:.0%} of the limit, {asked:.0%} asked")
    best = row.get("best_peer", {}).get("warm")
    if best and best["ratio"] < 1:
        found.append(f"{best['ratio']:.2f} of {best['name']}")
    beside = row.get("yardstick", {})
    if beside.get("ratio", 1) < 1:
        found.append(f"{beside['ratio']:.2f} of the yardstick")
    return found


def shortfall(row: dict[str, Any]) -> float:
    """How far the case is from what is asked, as the smallest of its ratios: lower is worse."""
    ours = row["results"].get("flashc", {}).get("warm")
    if not ours:
        return 0.0
    ratios = [best["ratio"] for best in [row.get("best_peer", {}).get("warm")] if best]
    if row.get("target") and "share" in ours:
        ratios.append(ours["share"] / row["target"])
    if "ratio" in row.get("yardstick", {}):
        ratios.append(row["yardstick"]["ratio"])
    return min(ratios, default=1.0)
