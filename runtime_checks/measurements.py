"""`Measurements`: everything that was measured of one artefact in one run of the probe; `measurements.json`."""

from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from smolship.artefact import MEASUREMENTS_FILE, TensorRecord, write_atomically
from smolship.errors import InputError
from smolship.record import Record
from smolship.targets import Facts, State

HERE = "this host"
REFUSED = "refused"
"""the stage of an artefact that was never started on a device, because it cannot run there"""


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""what took time; a rate divides by it"""
Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""of bytes or tokens; a device tells them, and tells what it likes"""
Load = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Subject(Record):
    """What was measured, as its manifest describes it."""

    name: str
    """the checkpoint's"""
    format: str
    backend: str | None = None
    """what the graph was lowered to, if that is nothing that runs on any machine"""
    recipe: str
    context: int
    parameters: int
    size: int
    """bytes of everything that ships"""
    model_size: int
    """bytes of the model's own files"""
    bits_per_weight: float
    model_sha256: str
    """of the model file"""
    instruct: bool
    already_quantised: bool
    stored_as: str
    """how the checkpoint stored its matrices"""
    predicted_divergence: float | None = None
    """nats, of a file whose grids were chosen to fit: what the choice foresaw"""
    made_by: str = "smolship"
    """what wrote the file; the recipe of one made elsewhere is its own name"""
    notes: tuple[str, ...] = ()
    """of a file made elsewhere: what was chosen for it and what is not known of it, a sentence each"""

    @property
    def title(self) -> str:
        """What it is called where all are of one checkpoint."""
        return f"{self.recipe} {self._label}"

    @property
    def name_of_file(self) -> str:
        """The name of the folder that `build` writes it to, and of its case in a CI's report."""
        return f"{self.name}-{self.recipe}-{self._label}"

    @property
    def _label(self) -> str:
        return self.format if self.backend is None else f"{self.format}-{self.backend}"


class Host(Record):
    """The machine that the probe ran on."""

    cpu: str
    features: tuple[str, ...]
    cores: int
    usable_cores: int
    threads: int
    memory_total: int | None
    memory_available: int | None
    machine: str
    system: str
    libc: str
    python: str
    numpy: str
    load_average: tuple[Load, Load, Load]
    """over 1, 5 and 15 minutes, before"""
    load_average_after: tuple[Load, Load, Load] | None = None


class Resident(Record):
    """Resident memory at one moment, in bytes."""

    peak: Count
    rss: Count
    anon: Count
    file: Count
    shared: Count = 0


class PeakMemory(Record):
    """The most memory the probe held until its speeds were measured, in bytes, before any logits were collected."""

    peak: Count
    """VmHWM: the kernel's own"""
    sampled_rss: Count
    """the largest of the samples taken every 10 ms"""
    anon: Count
    """the anonymous part of that sample"""
    file: Count
    """its file-backed part"""
    shared: Count
    most_anon: Count
    """the most anonymous memory in any sample"""
    samples: Count


class Speed(Record):
    """Repeats of one timed piece of work."""

    tokens: Count
    seconds: tuple[Seconds, ...] = Field(min_length=1)
    warmup_seconds: Seconds | None = None
    """the first time, apart"""

    @property
    def median_seconds(self) -> float:
        """The median repeat."""
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Tokens a second of the median repeat."""
        return self.tokens / self.median_seconds

    @property
    def rates(self) -> tuple[float, float]:
        """Tokens a second of the slowest and the fastest repeat."""
        return self.tokens / max(self.seconds), self.tokens / min(self.seconds)


class Sustained(Record):
    """Decoding without a pause, as long as it was asked for."""

    tokens: Count
    seconds: Seconds
    """of decoding; the prompt's time apart"""
    rates: tuple[Seconds, ...] = ()
    """tokens a second in one slice after the other"""

    @property
    def rate(self) -> float:
        """Tokens a second over all of it."""
        return self.tokens / self.seconds


class TopK(Record):
    """Two runs compared by the k tokens that the reference finds most likely, all others as one."""

    positions: int
    k: int
    kl_mean: float
    """nats: `kl_topk`, a lower bound of the KL divergence"""
    kl_max: float
    top1: float
    """share of positions whose most likely token, of all, is the same"""
    top1_or_near: float
    """the same, with positions at which the first run finds both tokens nearly as likely (`Runtime.near_tie`)"""


class OnDevice(Record):
    """The device that was measured, and how it was doing."""

    name: str
    """as it was named: its host, or what devices.toml calls it"""
    target: str
    """the name of the target that it is"""
    facts: Facts
    before: State | None = None
    """`None` if nothing was begun"""
    after: State | None = None
    """`None` if it could not be asked any more"""
    disturbances: tuple[str, ...] = ()
    """why its speeds are not to be trusted"""


class Fidelity(Record):
    """How far the file's next-token distributions are from the reference's."""

    positions: int
    windows: int
    kl_mean: float
    """nats, reference against file"""
    kl_p99: float
    kl_max: float
    top1: float
    """share of positions whose most likely token is the reference's"""
    perplexity: float
    reference_perplexity: float

    @property
    def perplexity_ratio(self) -> float:
        """The file's perplexity on the text over the reference's."""
        return self.perplexity / self.reference_perplexity


class TaskScore(Record):
    """Multiple-choice questions of one file, answered by the artefact and by the reference."""

    name: str
    """of the file"""
    sha256: str
    """of its contents"""
    rows: int = Field(gt=0)
    accuracy: float
    """share of rows whose likeliest choice is the right one"""
    reference_accuracy: float
    error: float
    """standard error of the difference, row by row"""

    @property
    def delta(self) -> float:
        """The artefact's accuracy less the reference's."""
        return self.accuracy - self.reference_accuracy


class Agreement(Record):
    """How many texts the runtime's tokenizer gives the reference tokenizer's ids, and from them the text again."""

    compared: int
    identical: int
    first_difference: str | None = None
    """the first text that differs; if it is only decoding that does, with what it makes of the text"""


class Answer(Record):
    """What the runtime said to a prompt with an expected answer."""

    name: str
    prompt: str
    expected: str
    text: str
    right: bool
    stopped: bool
    """whether it ended by itself, at the end token"""
    should_stop: bool


class TextUsed(Record):
    """The text behind the fidelity figures."""

    name: str
    sha256: str
    windows: int
    length: int
    """tokens of a window"""


class Failure(Record):
    """How the probe ended, if not well: a result like any other."""

    stage: str
    """what was under way: `imports`, `load` or a step; `REFUSED` if nothing was begun"""
    message: str
    signal: str | None = None
    errors: str = ""
    """the last lines of its standard error"""


class Measurements(Record):
    """The contents of `measurements.json`; what could not be measured is `None`."""

    measurements_version: Literal[2] = 2
    measured_at: datetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    subject: Subject
    coverage: tuple[TensorRecord, ...] = ()
    """every tensor's grid, as the manifest has it"""
    reference: str
    """what the fidelity is against, in words"""
    host: Host | None = None
    runtime: dict[str, str] = Field(default_factory=dict)
    after_imports: Resident | None = None
    after_load: Resident | None = None
    load_seconds: float | None = None
    memory: PeakMemory | None = None
    prefill: dict[int, Speed] = Field(default_factory=dict)
    first_token: Speed | None = None
    decode: Speed | None = None
    tokenizer: Agreement | None = None
    chat_template: Agreement | None = None
    answers: tuple[Answer, ...] = ()
    text: TextUsed | None = None
    fidelity: Fidelity | None = None
    tasks: tuple[TaskScore, ...] = ()
    sustained: Sustained | None = None
    device: OnDevice | None = None
    """where it was measured, if not on this host"""
    topk: TopK | None = None
    """the reference against this run"""
    host_topk: TopK | None = None
    """the reference against this host's run of the same file, taken the same way"""
    from_host: TopK | None = None
    """this host's run against this run"""
    host_noise: TopK | None = None
    """this host's run against the same taken another way (token by token, or each prompt from scratch): with quantised
    activations a difference in the last bit grows to the size of their roundings, on one machine as between two"""
    unsupported: dict[str, str] = Field(default_factory=dict)
    """steps that the runtime there cannot take, and why"""
    not_run: str = ""
    """why nothing was run at all, in a sentence: the file is for a backend that this host does not have"""
    failure: Failure | None = None

    @property
    def place(self) -> str:
        """Where it was measured, in words."""
        return self.device.name if self.device else HERE

    def write(self, folder: Path) -> None:
        """Put them beside the artefact in `folder`, replacing older ones in one step."""
        write_atomically(folder / MEASUREMENTS_FILE, (self.model_dump_json(indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> "Measurements":
        """Those that lie in an artefact's folder; `InputError` if there are none or they are of another version."""
        path = folder / MEASUREMENTS_FILE
        if not path.is_file():
            raise InputError(f"{folder} has no {MEASUREMENTS_FILE}: measure it with `smolship check`")
        return cls.read_file(path)

    @classmethod
    def read_file(cls, path: Path) -> "Measurements":
        """Those in a file; `InputError` if they are of another version."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors()[0]["loc"])
            raise InputError(
                f"{path} is not what this version writes (at {where}): run `smolship check` again"
            ) from error
