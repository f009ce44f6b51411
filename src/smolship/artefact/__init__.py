"""Artefacts: folders that can be shipped, what their manifests say, and how they are written."""

from smolship.artefact.artefact import Artefact, Foreign
from smolship.artefact.files import CARD_FILE, CARD_LINE, MEASUREMENTS_FILE, is_card, list_files, sha256_of
from smolship.artefact.manifest import (
    MANIFEST_FILE,
    AdapterRecord,
    BackendRecord,
    BaseRecord,
    DivergenceRecord,
    FileRecord,
    Manifest,
    SourceRecord,
    StageRecord,
    TensorRecord,
)
from smolship.artefact.source import source_of
from smolship.artefact.writing import refuse_foreign, replacing, staged, write_all, write_atomically

__all__ = [
    "CARD_FILE",
    "CARD_LINE",
    "MANIFEST_FILE",
    "MEASUREMENTS_FILE",
    "AdapterRecord",
    "Artefact",
    "BackendRecord",
    "BaseRecord",
    "DivergenceRecord",
    "FileRecord",
    "Foreign",
    "Manifest",
    "SourceRecord",
    "StageRecord",
    "TensorRecord",
    "is_card",
    "list_files",
    "refuse_foreign",
    "replacing",
    "sha256_of",
    "source_of",
    "staged",
    "write_all",
    "write_atomically",
]
