"""The report's plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from versions import durable

BLUE, ORANGE, RED, GREY = "#3366aa", "#dd8833", "#bb4444", "#888888"
STYLE: dict[Any, Any] = {
    "figure.figsize": (8, 4.5),
    "figure.dpi": 120,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "font.size": 10,
}
MEBIBYTE = 2**20

Report = Mapping[str, Any]


def write(found: Report, folder: Path) -> list[Path]:
    """Draw what was measured into `folder`; the files."""
    written = []
    with plt.rc_context(STYLE):
        for name, (key, draw) in PLOTS.items():
            path = folder / name
            # One of a run before must not stand beside this run's report.
            path.unlink(missing_ok=True)
            if not found.get(key):
                continue
            figure, axes = plt.subplots(layout="constrained")
            draw(axes, found)
            with durable.replacing(path) as file:
                figure.savefig(file, format=path.suffix[1:])
            plt.close(figure)
            written.append(path)
    return written


def latency(axes: Axes, found: Report) -> None:
    """Percentiles of the latency over the offered load."""
    rows = found["open_loop"]
    shares = [100 * row["share_of_capacity"] for row in rows]
    for share, colour in ((50, BLUE), (95, ORANGE), (99, RED)):
        axes.plot(
            shares, [row[f"p{share}_s"] for row in rows], "o-", color=colour, label=f"p{share}"
        )
    axes.set(
        title="Latency over load: random arrivals, mixed steps and sizes",
        xlabel=f"offered load, % of capacity ({found['mixed_capacity_per_s']:.2f} renders/s)",
        ylabel="seconds to the picture",
        xticks=shares,
    )
    axes.set_ylim(bottom=0)
    axes.legend()


def throughput(axes: Axes, found: Report) -> None:
    """Renders a second over how many are in flight, and what the bare engines would allow."""
    rows = found["closed_loop"]
    levels = [row["in_flight"] for row in rows]
    rates = [row["renders_per_s"] for row in rows]
    gains = found["engine_batch_gains"]
    ideal = [rates[0] * gains[str(min(level, max(map(int, gains))))] for level in levels]
    axes.plot(levels, ideal, "--", color=GREY, label="one render times the engines' batch gain")
    axes.plot(levels, rates, "o-", color=BLUE, label="served")
    for level, rate, row in zip(levels, rates, rows, strict=True):
        axes.annotate(
            f"batch {row['mean_batch']:.1f}",
            (level, rate),
            xytext=(0, -16),
            textcoords="offset points",
            ha="center",
            color=BLUE,
        )
    axes.set_xscale("log", base=2)
    axes.set(
        title="Throughput over concurrency: closed loop",
        xlabel="renders in flight",
        ylabel="renders per second",
        xticks=levels,
        xticklabels=levels,
    )
    axes.set_xlim(levels[0] / 1.2, 1.2 * levels[-1])
    axes.set_ylim(0, 1.15 * max(*rates, *ideal))
    axes.legend(loc="lower right")


def timeline(axes: Axes, found: Report) -> None:
    """Each render a row, its steps as marks in the colour of the batch they were made in."""
    rows = found["timeline"]
    largest = max(size for row in rows for size in row["batch"])
    for number, row in enumerate(rows):
        axes.hlines(number, row["sent_s"], row["ended_s"], color=GREY, linewidth=1)
        marks = axes.scatter(
            row["steps_s"],
            [number] * len(row["steps_s"]),
            c=row["batch"],
            cmap="viridis_r",
            vmin=1,
            vmax=largest,
            marker="|",
            s=120,
            linewidths=2,
        )
    plt.colorbar(marks, ax=axes, label="renders in the UNet's batch")
    axes.set(
        title="Renders join and leave the batch at any step",
        xlabel="seconds",
        yticks=range(len(rows)),
        yticklabels=[f"{len(row['steps_s'])} steps" for row in rows],
    )
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")


def memory(axes: Axes, found: Report) -> None:
    """Memory by process over many renders."""
    renders, by_name = found["memory"]["renders"], found["memory"]["bytes"]
    names = sorted(by_name, key=lambda name: -by_name[name][-1])
    shown, rest = names[:7], names[7:]
    series = {name: by_name[name] for name in shown}
    series["others"] = [sum(column) for column in zip(*(by_name[n] for n in rest), strict=True)]
    layers = [[size / MEBIBYTE for size in sizes] for sizes in series.values() if sizes]
    labels = [name for name, sizes in series.items() if sizes]
    axes.stackplot(renders, layers, labels=labels, colors=mpl.color_sequences["tab20c"], alpha=0.9)
    axes.set(
        title=f"Memory over {renders[-1]:,} renders (at most {found['memory_growth']:,.0f} bytes "
        "a render and process)",
        xlabel="renders",
        ylabel="MiB, shared memory counted once",
    )
    axes.set_xlim(renders[0], renders[-1])
    handles, texts = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], texts[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))


PLOTS: dict[str, tuple[str, Callable[[Axes, Report], None]]] = {
    "latency.png": ("open_loop", latency),
    "throughput.png": ("closed_loop", throughput),
    "timeline.png": ("timeline", timeline),
    "memory.png": ("memory", memory),
}
