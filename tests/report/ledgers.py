"""A ledger as a run leaves it, small, with every verdict in it."""

from __future__ import annotations

from typing import Any


def interval(estimate: float, width: float = 0.02) -> dict[str, float]:
    return {"estimate": estimate, "low": estimate * (1 - width), "high": estimate * (1 + width)}


def rewrite(rule: str, site: str, verdict: str, reason: str, **more: Any) -> dict[str, Any]:
    blank: dict[str, Any] = {
        "fidelity": "exact",
        "needs": [],
        "group": None,
        "latency_ratio": None,
        "error": None,
        "float32_error_ratio": None,
        "size_bytes": None,
    }
    return {"id": f"{rule}@{site}", "pass": rule, "site": site, "verdict": verdict, "reason": reason, **blank, **more}


def variant(name: str, engine: str, ms: float | None, ratio: float | None, note: str | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "engine": engine,
        "latency_ms": interval(ms) if ms else None,
        "p99_ms": ms and ms * 1.2,
        "ratio": interval(ratio) if ratio else None,
        "note": note,
    }


def figures(engine: str, ms: float, size: int) -> dict[str, Any]:
    return {
        "engine": engine,
        "engine_options": {"threads": 2, "precision": "f32"},
        "latency_ms": interval(ms),
        "p99_ms": ms * 1.2,
        "size_bytes": size,
        "peak_bytes": 4_816_896,
        "quality": None,
    }


def judged(**changes: Any) -> dict[str, Any]:
    """The quality of a classifier that lost 0.4 points."""
    part = {
        "original": 0.76,
        "candidate": 0.756,
        "drop": {"estimate": 0.004, "low": -0.002, "high": 0.012},
        "upper": 0.01,
        "limit": 0.005,
        "samples": 1000,
        "differing": 12,
        "method": "score",
        "samples_needed": 36000,
    }
    data = {"path": "eval.npz", "digest": "0" * 16}
    asked = {"metric": "top1", "budget": "0.5pt", "by": "estimate", "confidence": 0.95, "data": data}
    return {**asked, "gate": {**part, "samples": 999}, "report": part, **changes}


def ledger(**changes: Any) -> dict[str, Any]:
    """RepVGG-like figures: branches merged, the rest left to the engine."""
    merged = [
        rewrite(
            "merge-branches",
            f"stages_{index}_add",
            "applied",
            "measured faster",
            group="merge-branches",
            latency_ratio=interval(0.89),
            error=3.1e-16,
            float32_error_ratio=1.1,
            size_bytes=-120_000,
        )
        for index in range(6)
    ]
    found: dict[str, Any] = {
        "version": 2,
        "fxopt": "0.1.0",
        "created": "2026-11-24T10:40:00+00:00",
        "command": "fxopt optimize repvgg_a0.pt2 --threads 2 -o out",
        "model": {"source": "exported program repvgg_a0.pt2", "digest": "5f1d0c9a", "nodes": 143},
        "machine": {
            "cpu": "Example CPU @ 2.7 GHz",
            "isa": ["avx2", "avx512f"],
            "cores": 2,
            "memory_bytes": 8 * 10**9,
            "versions": {"python": "3.11.9", "torch": "2.13.0", "openvino": "2026.4.1"},
        },
        "target": "cpu",
        "threads": 2,
        "seed": 0,
        "baseline": figures("openvino", 14.2, 33_400_000),
        "result": {
            **figures("openvino", 12.5, 33_300_000),
            "speedup": interval(1.136),
            "ratio": interval(0.88),
            "verdict": "1.14x faster than the best engine (openvino) on the unmodified model",
        },
        "variants": [
            variant("PyTorch eager", "eager", 41.0, 2.9),
            variant("onnxruntime", "onnxruntime", 16.8, 1.18),
            variant("openvino", "openvino", 14.2, None),
            variant("inductor", "inductor", None, None, "needs a C++ compiler"),
            variant("fxopt", "openvino", 12.5, 0.88),
        ],
        "noise": {"floor": interval(1.001, 0.004), "rounds": 80, "confidence": 0.995},
        "checks": {
            "float64_error": 4.4e-16,
            "float32_error": 2.1e-6,
            "float32_error_original": 1.9e-6,
            "artifact_error": 3.0e-6,
        },
        "rewrites": [
            *merged,
            rewrite(
                "fold-affine",
                "head_mul",
                "applied",
                "measured faster",
                group="fold-affine",
                latency_ratio=interval(0.985),
                error=1e-16,
                size_bytes=0,
            ),
            rewrite("fold-batch-norm", "stem_bn", "refused", "the engine fuses this itself", error=2e-16),
            rewrite("compose-linear", "fc1", "reverted", "slower in the composite plan", latency_ratio=interval(1.03)),
            *[rewrite("fold-padding", f"pad_{index}", "declined", "the value is <not> zero") for index in range(40)],
        ],
        "layers": {
            "before": [{"name": f"conv{index}", "kind": "brgemm_avx512_f32", "ms": 0.5} for index in range(22)]
            + [{"name": f"add{index}", "kind": "eltwise", "ms": 0.08} for index in range(12)],
            "after": [{"name": f"conv{index}", "kind": "brgemm_avx512_f32", "ms": 0.52} for index in range(22)],
        },
        "engines": {
            "onnxruntime": "available",
            "openvino": "available",
            "inductor": "needs a C++ compiler: install g++",
        },
        "faults": [],
        "notes": ["no installed pass asked for calibration data"],
        "seconds": 81.4,
        "phases": {"search for rewrites": 1.6, "confirm what ships on fresh measurements": 40.2},
    }
    return found | changes
