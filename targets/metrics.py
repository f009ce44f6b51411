"""Everything a budget can limit, as a literal table."""

from dataclasses import dataclass
from typing import Literal

from smolship.errors import unknown_name
from smolship.targets.units import UNITS, Unit


@dataclass(frozen=True)
class Metric:
    """A figure that is measured of an artefact."""

    name: str
    title: str
    unit: Unit
    """the one it is shown in; a limit may use another of the same dimension"""
    better: Literal["lower", "higher"]
    of: Literal["file", "device"]
    """whether the same file gives the same figure anywhere, or only on the device it was measured on"""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("size", "size of all that ships", UNITS["MB"], "lower", "file"),
        Metric("model_size", "size of the model file", UNITS["MB"], "lower", "file"),
        Metric("top1", "top-1 agreement", UNITS["%"], "higher", "file"),
        Metric("kl_mean", "mean KL divergence", UNITS["nats"], "lower", "file"),
        Metric("kl_p99", "99th percentile KL divergence", UNITS["nats"], "lower", "file"),
        Metric("kl_max", "maximum KL divergence", UNITS["nats"], "lower", "file"),
        Metric("perplexity_ratio", "perplexity ratio", UNITS["x"], "lower", "file"),
        Metric("task_accuracy_delta", "task accuracy less the reference's", UNITS["pp"], "higher", "file"),
        Metric("kl_topk", "KL divergence over the top tokens", UNITS["nats"], "lower", "device"),
        Metric("kl_topk_host", "KL divergence from this host, top tokens", UNITS["nats"], "lower", "device"),
        Metric("top1_host", "top-1 agreement with this host, near ties apart", UNITS["%"], "higher", "device"),
        Metric("tokenizer", "tokenizer agreement", UNITS["%"], "higher", "file"),
        Metric("chat_template", "chat template agreement", UNITS["%"], "higher", "file"),
        Metric("answers", "expected answers", UNITS["%"], "higher", "file"),
        Metric("stops", "short answers that end", UNITS["%"], "higher", "file"),
        Metric("peak_memory", "peak memory", UNITS["MB"], "lower", "device"),
        Metric("anonymous_memory", "anonymous memory at the peak", UNITS["MB"], "lower", "device"),
        Metric("file_memory", "file-backed memory at the peak", UNITS["MB"], "lower", "device"),
        Metric("model_memory", "peak memory beyond the imports", UNITS["MB"], "lower", "device"),
        Metric("load_time", "load time", UNITS["s"], "lower", "device"),
        Metric("first_token", "time to first token", UNITS["s"], "lower", "device"),
        Metric("prefill_64", "prefill of 64 tokens", UNITS["tok/s"], "higher", "device"),
        Metric("prefill_512", "prefill of 512 tokens", UNITS["tok/s"], "higher", "device"),
        Metric("decode", "decode", UNITS["tok/s"], "higher", "device"),
        Metric("sustained", "decode without a pause", UNITS["tok/s"], "higher", "device"),
    )
}


def metric_named(name: str) -> Metric:
    """The metric of that name; `InputError` lists the known ones."""
    if name not in METRICS:
        raise unknown_name("metric", name, list(METRICS))
    return METRICS[name]
