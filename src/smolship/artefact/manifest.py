"""`Manifest`: the contents of `manifest.json`, which says what an artefact is and how it was made."""

from typing import Literal

from smolship.record import Record

MANIFEST_FILE = "manifest.json"


class BaseRecord(Record):
    """The model that a LoRA adapter was merged into."""

    kind: str
    location: str
    revision: str | None
    sha256: str


class AdapterRecord(Record):
    """A LoRA adapter by itself, where a source is one: its name, place and revision are the source's."""

    sha256: str
    """of its config and weights; the source's is of these and the base's together"""
    base: BaseRecord

    @property
    def merged_into(self) -> str:
        """The base as people name it."""
        return self.base.location + (f" at {self.base.revision}" if self.base.revision else "")


class SourceRecord(Record):
    """The checkpoint an artefact was made from."""

    name: str
    kind: str
    location: str
    revision: str | None
    sha256: str
    stored_as: str
    already_quantised: bool
    """if true, figures of low-bit files made from it flatter: its weights already lie on a low-bit grid"""
    instruct: bool
    licence: str | None = None
    """as the checkpoint itself names it; `None` if it does not"""
    definition: str | None = None
    """the sha256 of all that the checkpoint says beside its weights: numbers, token ids, tokenizer, chat template"""
    end_tokens: tuple[str, ...] = ()
    """every token that ends an answer"""
    notes: tuple[str, ...] = ()
    """what was forgiven, and how facts were taken that two places state differently"""
    adapter: AdapterRecord | None = None
    """of a LoRA adapter that was merged into its base; how the weights were stored is then the base's"""


class BackendRecord(Record):
    """What the graph of a file was lowered to that only other devices have: nothing of it is ever measured here."""

    name: str
    title: str

    @property
    def not_run(self) -> str:
        """That, in a sentence."""
        return f"{self.title} is not run here, for only the devices that the file is meant for have it"


class FileRecord(Record):
    """One file of an artefact."""

    path: str
    bytes: int
    sha256: str


class TensorRecord(Record):
    """One line of the coverage table."""

    tensor: str
    shape: tuple[int, ...]
    grid: str
    bits_per_weight: float
    relative_error: float | None
    """of the weights; `None` in a file made elsewhere, whose weights nobody compared"""
    output_error: float | None = None
    """calibrated: of the matrix's output on the calibration text, tokens weighted by their curvature"""


class DivergenceRecord(Record):
    """The weights at one stage against the checkpoint, both in float32, on a text that calibration did not see."""

    text: str
    tokens: int
    kl: float
    top1: float
    perplexity: float
    reference_perplexity: float


class StageRecord(Record):
    """One step from the checkpoint to the codes, and how far the model was from it then."""

    name: str
    divergences: tuple[DivergenceRecord, ...]


class Manifest(Record):
    """The contents of `manifest.json`; its JSON Schema is `manifest.schema.json` in this package."""

    manifest_version: Literal[1] = 1
    source: SourceRecord
    format: str
    backend: BackendRecord | None = None
    """`None` for files that the format's own runtime runs on any machine"""
    recipe: str
    rounding: str
    calibration: str | None = None
    """the text that calibrated rounding looked at"""
    stages: tuple[StageRecord, ...] = ()
    context: int
    """tokens of prompt and answer together that the files are made for"""
    model_file: str
    bits_per_weight: float
    predicted_divergence: float | None = None
    """of a file whose grids were chosen to fit: mean KL divergence in nats, foreseen on calibration text"""
    code: str | None = None
    """the sha256 of smolship's own modules that decide the bytes"""
    versions: dict[str, str]
    """of smolship and of the libraries that took part in writing the files"""
    files: tuple[FileRecord, ...]
    coverage: tuple[TensorRecord, ...]

    @property
    def label(self) -> str:
        """The format, and the backend if there is one: what tells an artefact from others of its recipe."""
        return self.format if self.backend is None else f"{self.format}-{self.backend.name}"

    @property
    def bytes(self) -> int:
        """Size on disk of everything that ships, the manifest apart."""
        return sum(file.bytes for file in self.files)

    @property
    def model_files(self) -> tuple[FileRecord, ...]:
        """The model's own files: the model file and what external data lies beside it."""
        return tuple(file for file in self.files if file.path.startswith(self.model_file))

    @property
    def model_bytes(self) -> int:
        """Size of the model's own files."""
        return sum(file.bytes for file in self.model_files)
