"""The verbs that reach a device over SSH: parse, call a workflow, print."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from smolship import options
from smolship.errors import InputError
from smolship.fleet_table import showing_fleet
from smolship.terminal import output, showing_progress

if TYPE_CHECKING:
    from smolship.targets import Access
    from smolship.workflows.places import Place

device_app = typer.Typer(
    help="What smolship keeps on a device over SSH.", no_args_is_help=True, pretty_exceptions_enable=False
)
Host = Annotated[str, typer.Argument(metavar="HOST", help="user@host, user@host:port or a Host of ~/.ssh/config.")]


def smoke(
    artefacts: options.Artefacts,
    *,
    host: options.DeviceHost = None,
    target: options.DeviceTarget = None,
    device: options.DeviceNames = None,
    group: options.DeviceGroup = None,
    devices: options.DevicesFile = None,
    ssh_config: options.SshConfig = None,
    brief: options.Brief = False,
    tokens: options.Tokens = None,
    sustained: options.Sustained = 60.0,
    use_installed: options.UseInstalled = False,
    allow_unmeasured: options.AllowUnmeasured = False,
    checkpoint: options.MadeFrom = None,
    revision: options.Revision = None,
    base: options.Base = None,
    threads: options.DeviceThreads = 0,
    repeats: options.Repeats = 5,
    timeout: options.Timeout = None,
    text: options.Text = "prose",
    report: options.DeviceReports = None,
    junit: options.JUnit = None,
    as_json: options.Json = False,
) -> None:
    """Run artefacts on devices over SSH: the probe that runs here, with nothing installed there beforehand.

    Held against the fp32 reference, this host's run of the same file, and the budgets of what the device is.
    """
    from smolship import views
    from smolship.artefact import Artefact
    from smolship.runtime_checks.check_artefact import Settings
    from smolship.workflows.check import open_source
    from smolship.workflows.smoke import Smoke, smoke, workload_for, worst_exit
    from smolship.workflows.smoke_reports import write_reports

    places = _places(host, target, device or [], group, devices, ssh_config)
    opened = [Artefact.open(folder) for folder in artefacts]
    settings = Settings(threads, 1 if brief else repeats, timeout)
    with showing_fleet([place.name for place in places]) as fleet:
        source = open_source(opened, checkpoint, revision, fleet.here, base=base)
        order = Smoke.of(opened, source, settings, workload_for(brief=brief, sustained=sustained), text, tokens)
        order = replace(order, use_installed=use_installed, allow_unmeasured=allow_unmeasured)
        here = Settings(options.DEFAULT_THREADS, timeout=timeout)
        results = smoke(opened, source, places, order, here=here, progress_of=fleet.of, progress=fleet.here)
    written = write_reports(results, opened, report, junit)
    views.smoked(results, written).show(output(), as_json=as_json)
    if len(results) == 1 and results[0].error:
        raise results[0].error
    if code := worst_exit(results):
        raise typer.Exit(code)


@device_app.command()
def show(host: Host, *, ssh_config: options.SshConfig = None, as_json: options.Json = False) -> None:
    """Say what a device is, how it is doing, what can run there, and what smolship keeps there."""
    from smolship import views
    from smolship.targets import Ssh
    from smolship.workflows.device import look

    with showing_progress() as progress, Ssh(host, ".", access=_access(ssh_config), progress=progress) as transport:
        seen = look(host, transport)
    views.device(seen).show(output(), as_json=as_json)


@device_app.command()
def clean(host: Host, *, ssh_config: options.SshConfig = None) -> None:
    """Remove all that smolship keeps on a device: programs, artefacts and jobs below ~/.cache/smolship/device."""
    from smolship.targets import Ssh
    from smolship.terminal import megabytes
    from smolship.workflows.device import clean as run

    with showing_progress() as progress, Ssh(host, ".", access=_access(ssh_config), progress=progress) as transport:
        freed = run(host, transport)
    output().print(f"{host}: {megabytes(freed)} removed", markup=False)


def _places(
    host: str | None,
    target: str | None,
    names: Sequence[str],
    group: str | None,
    devices: Path | None,
    ssh_config: Path | None,
) -> "list[Place]":
    """The devices that the options name: one by its host, or those of the file."""
    from smolship.targets import load_devices, load_target, target_names
    from smolship.workflows.places import over_ssh

    access = _access(ssh_config)
    if host is not None:
        if names or group or devices:
            raise InputError("--host names one device, --device and --group those of devices.toml: give one of them")
        if target is None:
            known = ", ".join(target_names())
            raise InputError(f"say with --target what {host} is: {known}, or a .toml file of your own")
        return [over_ssh(host, host, load_target(target), access)]
    if target is not None:
        raise InputError("--target goes with --host: devices.toml says what each of its devices is")
    if not names and group is None:
        raise InputError("name a device: --host pi@raspberrypi.local --target raspberry-pi-5, or --device or --group")
    chosen = load_devices(devices).chosen(names, group)
    return [over_ssh(one.name, one.host, one.load_target(), access) for one in chosen]


def _access(ssh_config: Path | None) -> "Access":
    from smolship.targets import Access

    if ssh_config is not None and not ssh_config.is_file():
        raise InputError(f"no SSH configuration {ssh_config}: give an existing file with --ssh-config")
    return Access(config=ssh_config)
