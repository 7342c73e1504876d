"""The bench's arithmetic and its parsing; nothing here is a measurement."""

import doctest
import importlib
import json
import os
import signal
import time

import numpy as np
import pytest

import flashc
from flashc.bench import __main__ as program
from flashc.bench import cases, limits, measure, problem, report, targets, workers, yardstick

MODULES = ("cases", "figures", "limits", "problem", "report", "yardstick", "peers.flashc_kernel")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    failed, tried = doctest.testmod(importlib.import_module(f"flashc.bench.{name}"))
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("subset", cases.SUBSETS)
def test_names_tell_cases_apart(subset):
    chosen = cases.select(subset)
    assert len({case.name for case in chosen}) == len(chosen)
    assert all(cases.Case.from_json(json.loads(json.dumps(case.as_json()))) == case for case in chosen)


def test_subsets_hold_what_was_asked_for():
    assert len(cases.select("yardstick")) == 16
    sweep = cases.select("sweep")
    assert set(cases.select("main")) <= set(sweep)
    dense = [case for case in sweep if case.kind == "dense"]
    assert {case.head_dim for case in dense} == {64, 80, 96, 128, 256}
    assert {case.dtype for case in dense} == {"f32", "bf16", "f16", "f64"}
    assert {case.queries for case in sweep if case.kind == "decode"} == {1, 4}
    assert {case.keys for case in sweep if case.kind == "decode"} >= {1024, 131072}


@pytest.mark.parametrize("mask", ["full", "window"])
def test_pairs_are_those_of_the_mask(mask):
    for length in (1, 511, 512, 513, 700):
        case = cases.square("f32", 8, length, mask)
        i, j = np.mgrid[:length, :length]
        allowed = np.ones((length, length), bool) if mask == "full" else (j <= i) & (j > i - cases.WINDOW)
        assert case.pairs == allowed.sum()


def test_work_is_counted_as_the_literature_does():
    assert cases.square("f32", 64, 1024, "causal").flops == 2 * 8 * 1024**2 * 128 / 2
    decoding = cases.Case("bf16", 128, 1, 4096, heads=32)
    assert decoding.kind == "decode"
    assert decoding.work == 2 * 8 * 4096 * 128 * 2


def test_unknown_subset():
    with pytest.raises(ValueError, match="expected one of main, sweep, yardstick, got 'all'"):
        cases.select("all")


@pytest.mark.parametrize("mask", ["full", "causal", "window"])
@pytest.mark.parametrize("dtype", ["f64", "bf16"])
def test_expected_rows_agree_with_the_reference(mask, dtype):
    case = cases.Case(dtype, 16, 600, 600, mask, heads=4, key_heads=2)
    arrays = problem.inputs(case)
    values = [problem.to_f64(x) for x in arrays]
    causal = flashc.causal("top_left")
    masks = {"full": None, "causal": causal, "window": causal & flashc.window(cases.WINDOW - 1, 0)}
    expected, _ = flashc.reference(*values, mask=masks[mask])
    for batch, head, query in problem.sample(case):
        row = problem.expected_row(case, arrays, (batch, head, query))
        np.testing.assert_allclose(row, expected[batch, head, query], rtol=1e-12, atol=1e-14)


def test_a_nan_is_an_error():
    row = np.array([1.0, 2.0])
    assert problem.relative_error([row], [row]) == 0
    assert problem.relative_error([np.array([1.0, np.nan])], [row]) == float("inf")
    assert problem.relative_error([np.array([1.0])], [row]) == float("inf")


def test_the_worker_answers():
    worker = workers.WorkerProcess("flashc", workers.interpreter("flashc", None), 1, 1 << 16, cpu_time=False)
    try:
        case = cases.Case("f32", 8, 40, 40, "causal", heads=2, key_heads=1)
        answer = worker.ask(60, op="prepare", case=case.as_json())
        arrays = problem.inputs(case)
        expected = [problem.expected_row(case, arrays, at) for at in problem.sample(case)]
        assert problem.relative_error([np.array(row) for row in answer["rows"]], expected) < 1e-5
        assert answer["checksum"] == problem.checksum(arrays)
        for cold in (False, True):
            assert worker.ask(60, op="time", budget=0.0, cold=cold)["calls"] == 1
        assert "error" in worker.ask(60, op="prepare", case={**case.as_json(), "dtype": "f8"})
        assert worker.ask(60, op="drop") == {}
        worker.process.kill()
        with pytest.raises(workers.WorkerError, match="died"):
            worker.ask(60, op="drop")
    finally:
        worker.close()


def test_a_peer_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setitem(workers.PEERS, "nobody", workers.PEERS["flashc"].__class__("Nobody", "no_such_module", False))
    run = measure.Run(measure.Options(threads=1), ["nobody"], lambda text: None)
    assert run.start("nobody") is None
    assert "not installed" in run.absent["nobody"] or "KeyError" in run.absent["nobody"]
    run.close()


FIGURES = {"low": 90.0, "high": 110.0, "rounds": 7, "spread": 0.2}


def example_report():
    dense = cases.square("f32", 64, 1024)
    tiny = cases.square("f32", 64, 16, heads=1, key_heads=1)
    rows = [
        {
            "name": case.name,
            "kind": case.kind,
            "case": case.as_json(),
            "results": {
                "flashc": {"warm": {"median": ours, **FIGURES}, "isa_path": "AVX-512, FMA"},
                "torch": {"warm": {"median": 80.0, **FIGURES}},
                "jax": {"error": "wrong: error 1 of 1e-04 allowed"},
            },
        }
        for case, ours in ((dense, 100.0), (tiny, 40.0))
    ]
    for row in rows:
        measure.conclude(row, {"f32_gflops": 200.0}, threads=2)
    return {
        "machine": {"cpu": "CPU", "threads": 2, "cpus": 2, "isa": ["avx2"], "load": 0.0},
        "limits": {"isa": "avx2", "f32_gflops": 200.0},
        "cpu_time": True,
        "rounds": 7,
        "date": "2026-01-01",
        "command": "python -m flashc.bench",
        "peers": {"flashc": {"versions": {"flashc": "1"}}, "openvino": {"absent": "not installed"}},
        "idle_cpu_share": {"torch": 0.2},
        "cases": rows,
    }


def test_conclusions():
    dense, tiny = example_report()["cases"]
    assert dense["results"]["flashc"]["warm"]["share"] == 0.5
    assert dense["best_peer"]["warm"] == {"name": "torch", "median": 80.0, "ratio": 1.25}
    assert tiny["best_peer"]["warm"]["ratio"] == 2.0  # of microseconds fewer are better
    assert "limit" not in tiny


def test_markdown_goes_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    figures = example_report()
    report.write_markdown(page, figures)
    report.write_markdown(page, figures)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "\nold\n" not in text
    assert "| f32 B1 H8 D64 S1024 full | 100 ±20% GFLOP/s | 50% (84%) | 80.0 |" in text
    assert "CPU time over the threads (not wall time)" in text
    assert "OpenVINO: left out: not installed" in text
    assert "JAX: wrong" in text
    assert "PyTorch SDPA: used 20.0% of a core" in text
    page.write_text("no marks")
    with pytest.raises(ValueError, match="expected the marks"):
        report.write_markdown(page, figures)


def test_targets():
    asked = targets.share_asked
    assert asked(cases.square("f32", 128, 4096), ("f32_gflops", 500.0), 2) == 0.90
    assert asked(cases.square("bf16", 64, 1024, "causal"), ("vdpbf16ps_gflops", 1000.0), 2) == 0.65
    assert asked(cases.square("bf16", 128, 4096), ("amx_bf16_gflops", 8000.0), 2) == 0.5
    assert asked(cases.square("f16", 128, 4096), ("f32_gflops", 500.0), 2) is None
    assert asked(cases.Case("f16", 128, 1, 32768), ("read_gbs", 50.0), 2) == 0.90
    assert asked(cases.square("f32", 64, 197, batch=64, heads=12, key_heads=12), ("f32_gflops", 1.0), 2) == 0.60
    assert asked(cases.square("f32", 64, 16, heads=1, key_heads=1), None, 2) is None


def test_shortfalls_are_ranked():
    figures = example_report()
    figures["cases"][1]["results"]["flashc"]["warm"]["median"] = 100.0
    for row in figures["cases"]:
        measure.conclude(row, {"f32_gflops": 200.0}, threads=2)
    first, *lines = report.shortfalls(figures)
    assert first.startswith("0 of 2 cells")
    assert lines[0] == "f32 B1 H8 D64 S1024 full: 50% of the limit, 84% asked"
    assert lines[1] == "f32 B1 H1 D64 S16 full tiny: 0.80 of torch"
    del figures["cases"][1]["results"]["flashc"]["warm"]
    figures["cases"][1]["results"]["flashc"]["error"] = "wrong: far off"
    assert report.shortfalls(figures)[1] == "f32 B1 H1 D64 S16 full tiny: flashc: wrong: far off"


def test_runs_are_joined(tmp_path, capsys):
    first, second = example_report(), example_report()
    first["left_out"] = ["f32 B1 H8 D64 S1024 full", "f64 B1 H8 D64 S1024 full"]
    del first["cases"][0]
    second["cases"][1]["results"]["flashc"]["warm"]["median"] = 20.0
    measure.conclude(second["cases"][1], {}, threads=2)
    second |= {"date": "2026-01-02", "rounds": 4, "limits": {"f32_gflops": 190.0}}
    files = [tmp_path / "first.json", tmp_path / "second.json"]
    for file, figures in zip(files, (first, second), strict=True):
        file.write_text(json.dumps(figures))
    assert program.main(["--from", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert "medians of 7 or 4 alternating rounds" in printed
    assert "f32_gflops 200" in printed
    assert "f32_gflops 190" in printed
    assert "2026-01-02" in printed
    assert "not measured: 1 cases" in printed
    joined = report.join([first, second])
    assert [row["name"] for row in joined["cases"]] == ["f32 B1 H1 D64 S16 full tiny", "f32 B1 H8 D64 S1024 full"]
    assert joined["cases"][0]["best_peer"]["warm"]["ratio"] == 4.0
    second["machine"]["threads"] = 4
    files[1].write_text(json.dumps(second))
    assert program.main(["--from", *map(str, files)]) == 1
    assert capsys.readouterr().err == "--from: expected the same threads in every run, got 2 and 4\n"
    assert program.main(["--from", str(tmp_path / "none.json")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_the_report_is_printed(capsys):
    report.show(example_report())
    printed = capsys.readouterr().out
    assert "f32 B1 H8 D64 S1024 full" in printed
    assert "1.25 (torch)" in printed


def test_plots(tmp_path):
    pytest.importorskip("matplotlib")
    from flashc.bench import plots

    written = plots.plot(example_report(), tmp_path)
    assert [path.name for path in written] == ["bench-share.svg", "bench-ratio.svg"]
    first = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in plots.plot(example_report(), tmp_path)] == first


def test_limits():
    measured = {"f32_gflops": 100.0, "vdpbf16ps_gflops": 60.0, "dram_gbs": 20.0}
    assert limits.limit_of(cases.square("bf16", 64, 1024), measured) == ("f32_gflops", 100.0)
    assert limits.limit_of(cases.Case("f32", 64, 1, 1 << 20), measured) is None  # it takes turns instead
    assert limits.limit_of(cases.square("f64", 64, 1024), measured) is None


def test_reading_memory_takes_turns():
    case = cases.Case("bf16", 64, 1, 4096, heads=4, key_heads=1)
    options = measure.Options(threads=2, rounds=3, budget=0.01, flush_bytes=1 << 20)
    run = measure.Run(options, ["flashc"], pytest.fail)
    try:
        row = run.case(case)
    finally:
        run.close()
    for temperature in ("warm", "cold"):
        read = row["read_limit"][temperature]
        assert read["rounds"] == read["shares"]["flashc"]["rounds"] == 3
        assert read["median"] > 0
    measure.conclude(row, {}, threads=2)
    assert row["limit"] == {"of": "read_gbs", "value": row["read_limit"]["warm"]["median"]}
    ours = row["results"]["flashc"]["warm"]
    assert ours["share"] == row["read_limit"]["warm"]["shares"]["flashc"]["median"]
    figures = example_report()
    figures["cases"] = [row]
    assert f"{ours['share']:.0%} ±{ours['share_spread']:.0%} of " in report.markdown(figures)


def test_without_a_reader_there_is_no_share(monkeypatch):
    monkeypatch.setattr(limits, "program", lambda: None)
    said = []
    run = measure.Run(measure.Options(threads=1), [], said.append)
    assert run.reader(cases.Case("f32", 64, 1, 4096)) is None
    assert said == ["the limit of f32 B1 H8 D64 Sq1 Sk4096 full decode: no flashc-peak"]
    assert run.reader(cases.square("f32", 64, 4096)) is None


def test_yardstick_stands_beside():
    text = "float32 H8 D64 S1024 full: 80 GFLOP/s, largest error 1.0e-06\nsomething else\n"
    rows = example_report()["cases"]
    yardstick.add(rows, [text, text.replace("80", "90")])
    assert rows[0]["yardstick"]["median"] == 85.0
    assert "yardstick" not in rows[1]


def test_arguments(capsys):
    options = program.arguments(["--peers", "flashc, torch", "--threads", "3"])
    assert (options.peers, options.threads, options.subset) == (["flashc", "torch"], 3, "main")
    with pytest.raises(SystemExit):
        program.arguments(["--peers", "nobody"])
    assert "got 'nobody'" in capsys.readouterr().err
    assert program.main(["--list", "--cases", "f64 causal"]) == 0
    assert capsys.readouterr().out == "f64 B1 H8 D64 S1024 causal\n"
    assert program.main(["--cases", "D63"]) == 1


def test_an_interrupted_run_keeps_its_figures(monkeypatch, tmp_path, capsys):
    file = tmp_path / "figures" / "bench.json"
    rows = {row["name"]: row for row in example_report()["cases"]}
    first = next(iter(rows))
    saved = []

    def case(self, case):
        if case.name == first:
            return rows[first]
        saved.append(json.loads(file.read_text())["left_out"])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(measure.Run, "case", case)
    monkeypatch.setattr(limits, "measure", lambda threads, cpu_time: {"f32_gflops": 200.0})
    monkeypatch.setattr(program.compiling, "compile_times", lambda runs: {})
    try:
        assert program.main(["--cases", "f32 D64 S1024", "--json", str(file)]) == 0
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    figures = json.loads(file.read_text())
    assert [row["name"] for row in figures["cases"]] == [first]
    assert figures["left_out"] == saved[0] == ["f32 B1 H8 D64 S1024 causal"]
    assert list(file.parent.iterdir()) == [file]
    assert "interrupted" in capsys.readouterr().err
