"""What the figures must reach: the one home of these limits."""

from __future__ import annotations

from evaluation.bars import Bar

BARS = (
    Bar("orchestration_overhead", 0.08, upper=True),
    Bar("speedup_vs_diffusers", 3.0),
    Bar("throughput_8_over_1", 0.95, share_of="engine_batch_gain_8"),
    Bar("throughput_8_over_1", 1.15),
    Bar("join_steps", 2.0, upper=True),
    Bar("short_among_long_steps", 6.0, upper=True),
    Bar("short_finished_first", True),
    Bar("executions_after_cancel", 1, upper=True),
    Bar("batched_max_diff", 1 / 255, upper=True),
    Bar("gateway_added_ms_p50", 5.0, upper=True),
    Bar("search_20k_ms_p95", 30.0, upper=True),
    Bar("memory_growth", 3_000, upper=True),
    Bar("overload.ratio", 1.5, upper=True),
    Bar("overload.refused", 1),
    Bar("overload.refused_with_retry_info", 1.0, share_of="overload.refused"),
    Bar("overload.other_failures", 0, upper=True),
    Bar("overload.largest_queue", 1.0, share_of="overload.queue_bound", upper=True),
    Bar("overload.recovered", True),
)
WITHOUT_BARS = (
    "engine_batch_gain_8",
    "encode_ms_p50",
    "few_steps_speedup",
    "few_steps_throughput_8_over_1",
)
"""Figures that are shown beside them."""
