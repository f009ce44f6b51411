"""Measurements written out as data: of a check on this host, and of a run on a device."""

from typing import Any

from smolship.artefact import TensorRecord
from smolship.runtime_checks.measurements import (
    Agreement,
    Answer,
    Fidelity,
    Host,
    Measurements,
    OnDevice,
    PeakMemory,
    Resident,
    Speed,
    Subject,
    Sustained,
    TextUsed,
    TopK,
)
from smolship.targets import Facts, State

LOAD = (0.5, 0.4, 0.3)
HOST = Host(
    cpu="Some CPU",
    features=("avx2",),
    cores=4,
    usable_cores=2,
    threads=2,
    memory_total=8 << 30,
    memory_available=4 << 30,
    machine="x86_64",
    system="Linux 6",
    libc="glibc 2.36",
    python="3.11",
    numpy="2",
    load_average=LOAD,
    load_average_after=LOAD,
)


def coverage(grid: str = "int8-b32", error: float = 0.005) -> tuple[TensorRecord, ...]:
    """Two layers of some matrices, and what is not of a layer."""
    shape = (576, 576)
    of_layers = [
        TensorRecord(
            tensor=f"model.layers.{layer}.{name}_proj.weight",
            shape=shape,
            grid=grid,
            bits_per_weight=8.5,
            relative_error=error * (1 + layer + place),
        )
        for layer in range(2)
        for place, name in enumerate(("self_attn.q", "self_attn.k", "mlp.down"))
    ]
    norm = TensorRecord(
        tensor="model.norm.weight", shape=(576,), grid="float32", bits_per_weight=32, relative_error=0.0
    )
    return (*of_layers, norm)


def measured(recipe: str = "q8", fmt: str = "gguf", *, top1: float = 0.96, quantised: bool = False) -> Measurements:
    """One artefact's measurements, written out as data."""
    subject = Subject(
        name="SmolLM2-135M-Instruct",
        format=fmt,
        recipe=recipe,
        context=2048,
        parameters=134_515_008,
        size=145_000_000,
        model_size=144_810_752,
        bits_per_weight=8.51,
        model_sha256="0" * 64,
        instruct=True,
        already_quantised=quantised,
        stored_as="Q4_1" if quantised else "bfloat16",
    )
    return Measurements(
        subject=subject,
        coverage=coverage(),
        reference="the same checkpoint in fp32",
        host=HOST,
        runtime={"llama.cpp": "1"},
        after_imports=Resident(peak=42_000_000, rss=42_000_000, anon=22_000_000, file=20_000_000),
        load_seconds=0.2,
        memory=PeakMemory(
            peak=271_000_000,
            sampled_rss=270_000_000,
            anon=105_000_000,
            file=165_000_000,
            shared=0,
            most_anon=105_000_000,
            samples=500,
        ),
        tokenizer=Agreement(compared=24, identical=24),
        chat_template=Agreement(compared=4, identical=4),
        prefill={64: Speed(tokens=64, seconds=(0.1,)), 512: Speed(tokens=512, seconds=(0.6, 0.5, 0.7))},
        first_token=Speed(tokens=64, seconds=(0.1,), warmup_seconds=0.4),
        decode=Speed(tokens=128, seconds=(1.0,)),
        answers=(
            Answer(
                name="capital-of-france",
                prompt="What is the capital of France?",
                expected="Paris",
                text="<script>alert('Paris')</script>",
                right=True,
                stopped=True,
                should_stop=True,
            ),
        ),
        text=TextUsed(name="smolship's evaluation text", sha256="1" * 64, windows=8, length=512),
        fidelity=Fidelity(
            positions=4096,
            windows=8,
            kl_mean=0.004,
            kl_p99=0.02,
            kl_max=0.08,
            top1=top1,
            perplexity=20.1,
            reference_perplexity=20,
        ),
    )


BOARD = Facts(
    machine="aarch64",
    bits=64,
    kernel="Linux 6.12",
    libc="glibc 2.36",
    python="3.11.2",
    model="Raspberry Pi 5 Model B Rev 1.0",
    features=("aes", "asimd", "asimddp", "asimdhp", "crc32", "fp", "fphp", "sha2"),
    cores=4,
    memory_total=8_200_000_000,
    memory_available=7_000_000_000,
    free=20_000_000_000,
)
"""a Raspberry Pi 5 as it tells of itself"""
DOING = State(governor="ondemand", frequency=2_400_000_000, temperature=48.3, load=0.1, busy=0.01, throttled=0)
"""one that does nothing else"""
CLOSE = TopK(positions=1024, k=64, kl_mean=0.003, kl_max=0.02, top1=0.96, top1_or_near=0.99)
SAME = TopK(positions=1024, k=64, kl_mean=0.0004, kl_max=0.001, top1=0.998, top1_or_near=1.0)


def on_device(fmt: str = "gguf", *, disturbances: tuple[str, ...] = (), **changes: Any) -> Measurements:
    """What a Raspberry Pi 5 measured of the same artefact, as a smoke test records it."""
    here = measured(fmt=fmt)
    board = OnDevice(
        name="pi", target="raspberry-pi-5", facts=BOARD, before=DOING, after=DOING, disturbances=disturbances
    )
    told = {
        "device": board,
        "fidelity": None,
        "topk": CLOSE,
        "host_topk": CLOSE,
        "from_host": SAME,
        "sustained": Sustained(tokens=1200, seconds=60, rates=(22.0, 20.0, 18.0)),
    }
    return here.model_copy(update=told | changes)
