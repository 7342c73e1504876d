"""The report: what was found, for people. The same as data is check_gpu.py's JSON."""

from __future__ import annotations


def predicted_cell(row: dict) -> str:
    """The measured share of the peak beside the one that the model allows."""
    model = row.get("predicted")
    if not model:
        return ""
    return f"{model['measured_share']:.1%} of at most {model['share_of_peak']:.1%} ({model['bound']})"


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + " ..."


def short(target: str) -> str:
    """A CPU's target names a hundred features."""
    return target.split(",")[0]


def machine_lines(report: dict) -> list[str]:
    machine = report["machine"]
    lines = [f"{machine['date']}, {machine['system']}, Python {machine['python']}, {machine['runtime']}", ""]
    lines += ["| device | what | driver |", "|---|---|---|"]
    lines += [f"| {d['name']} | {d['description']} | {d['driver']} |" for d in machine["devices"]]
    lines += [f"| {a['name']} | none: {a['reason']} | |" for a in machine["absent"]]
    return lines


def step_lines(report: dict) -> list[str]:
    state = {"complete": "Everything was done", "running": "Not ended yet, or ended from outside"}.get(
        report["state"], f"Not everything was done: {report['state']}"
    )
    steps = ", ".join(f"{step['name']} {step['seconds']:.0f} s" for step in report["steps"])
    lines = ["", f"{state}. {steps}." if steps else f"{state}."]
    return [*lines, "", f"Left out, as asked: {'; '.join(report['left_out'])}."] if report["left_out"] else lines


def result_lines(report: dict) -> list[str]:
    kernels = report["kernels"]
    wrong = [r for r in kernels if r["failures"]]
    skipped = [r for r in kernels if r["skipped"]]
    later = [r for r in kernels if not r["complete"] and not r["failures"] and not r["skipped"]]
    right = [r for r in kernels if r["complete"] and not r["failures"] and not r["skipped"]]
    counts = f"{len(right)} kernels right, {len(wrong)} wrong, {len(skipped)} not for this machine"
    if not kernels:
        return []
    lines = ["", "## Results against the float64 reference", ""]
    lines += [counts + (f", {len(later)} not reached." if later else ".")]
    sizes = report["compared"]
    lines += ["", f"Each kernel on {len(sizes)} sizes of random operands: {', '.join(sizes)}."]
    ran: dict[str, list[str]] = {}
    for result in right:
        ran.setdefault(f"{short(result['target'])} on {result['device']}", []).append(result["pack"])
    for what, packs in ran.items():
        lines += ["", f"Right as {what} ({len(packs)}): {', '.join(packs)}."]
    for result in wrong:
        lines += ["", f"**{result['pack']}** ({result.get('kernel', '?')}) on {result.get('device', '?')}:", ""]
        lines += [f"- {failure}" for failure in result["failures"]]
    if skipped:
        reasons: dict[str, list[str]] = {}
        for result in skipped:
            reasons.setdefault(shorten(result["skipped"], 600), []).append(result["pack"])
        lines += ["", "Not for this machine:", ""]
        lines += [f"- {', '.join(packs)}: {reason}" for reason, packs in reasons.items()]
    if later:
        lines += ["", "Not reached: " + ", ".join(r["pack"] for r in later) + "."]
    return lines


def instruction_lines(instructions: dict) -> list[str]:
    if instructions["status"] is None:
        return ["", "The emulator's instruction tests were not run: " + instructions["output"][0] + "."]
    verdict = {0: "all right", 1: "some wrong", 2: "none run"}.get(instructions["status"], "not all reached")
    lines = ["", "## The emulator's instruction tests on this chip", "", f"{verdict}:", "", "```text"]
    bad = [line for line in instructions["output"][:-1] if not line.startswith("ok ")]
    return [*lines, *bad, *instructions["output"][-1:], "```"]


def time_lines(report: dict) -> list[str]:
    rows = report["times"]
    if not rows:
        return []
    names = sorted({name for row in rows for name in row["peers"]})
    lines = ["", "## Times", ""]
    lines += [
        "Medians of single runs, by the device's events, caches warm; each result was compared with the reference "
    ]
    lines[-1] += (
        "before. FLOPs as the literature counts them, half under a causal mask; decoding counts the bytes of K and V."
    )
    if names:
        lines[-1] += " In brackets: flashc's rate over the other's."
    products = {row["predicted"]["product"] for row in rows if "predicted" in row}
    if products:
        lines += [
            "",
            f"Shares are of the peak of {', '.join(sorted(products))}; the second one is what the kernel's code ",
        ]
        lines[-1] += "allows, by its instructions and the units' rates."
    lines += ["", "| kernel | sizes | ms | flashc | share of peak | " + "".join(f"{name} | " for name in names)]
    lines += ["|---|---|---|---|---|" + "---|" * len(names)]
    for row in rows:
        cells = [f"{row['kernel']} ({short(row['target'])})", row["sizes"]]
        cells += [f"{row['ms']:.3f}", f"{row['rate']:.1f} {row['unit']}"] if "ms" in row else ["", row["error"]]
        cells.append(predicted_cell(row))
        for name in names:
            value = row["peers"].get(name, "")
            cells.append(f"{value:.1f} ({row['rate'] / value:.2f}x)" if isinstance(value, float) else value)
        lines.append("| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |")
    return lines


def to_markdown(report: dict) -> str:
    lines = ["# flashc on this machine's GPU", "", *machine_lines(report), *step_lines(report)]
    lines += result_lines(report)
    if report["fallbacks"]:
        lines += ["", "## Slower than it could be", ""] + [f"- {text}" for text in report["fallbacks"]]
    lines += instruction_lines(report["instructions"])
    lines += time_lines(report)
    if report["peers"]["versions"] or report["peers"]["missing"]:
        missing = [f"{name} ({reason})" for name, reason in sorted(report["peers"]["missing"].items())]
        lines += ["", f"Peers: {report['peers']['versions'] or 'none'}." + (" Missing: " if missing else "")]
        lines[-1] += "; ".join(missing)
    return "\n".join(lines) + "\n"
