"""Debian 12's packages for an architecture that need not be this machine's, chosen by apt's own resolver.

Nothing of this machine's apt or dpkg is altered: lists, archives and the (empty) status of what is installed lie in a
folder given. Where packages come from is what this machine's own sources say.
"""

from collections.abc import Sequence
from pathlib import Path

from unavailable import Unavailable, run

RELEASE = "bookworm"  # Debian 12, which Raspberry Pi OS was for Pi 4 and Pi 5 when its Python was 3.11
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

BOARD = (
    "base-files", "base-passwd", "bash", "coreutils", "dash", "findutils", "grep", "gzip", "hostname", "libc-bin",
    "mawk", "procps", "sed", "tar", "util-linux",
    "usr-is-merged",  # instead of `usrmerge`, which would bring all of Perl
    "openssh-server",
    "python3",
    "libstdc++6",  # Raspberry Pi OS has it for apt; numpy's and ONNX Runtime's wheels expect it
)  # fmt: skip
"""what a minimal board with Python has; what these depend on comes with them"""
EMULATOR = "qemu-user-static"

CONFIGURATION = """\
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Dir::State "{folder}/state";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
"""
"""read after this machine's own, so that its proxies hold and the hooks of its packages do not"""


def download(names: Sequence[str], architecture: str, folder: Path) -> list[Path]:
    """Download the packages and all that they depend on into `folder`; their .deb files, sorted.

    `Unavailable` if apt is not here, knows no source of Debian 12, or cannot reach one.
    """
    sources = _sources()
    for part in ("state/lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "state" / "status").touch()
    (folder / "sources.list").write_text(sources)
    configuration = folder / "apt.conf"
    configuration.write_text(CONFIGURATION.format(architecture=architecture, folder=folder))
    apt = ("apt-get", "-qq", f"--config-file={configuration}")
    run([*apt, "update"])
    run([*apt, "--yes", "--download-only", "install", *names])
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _sources() -> str:
    """Lines of a sources.list: where this machine gets Debian 12 from."""
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = ["apt-get", "--no-release-info", "indextargets", "--format", fields, "Created-By: Packages"]
    told = [line.split() for line in run(asked).decode().splitlines()]
    wanted = {
        f"deb [signed-by={KEYRING}] {address} {release} {component}\n"
        for address, release, component in told
        if release.split("-")[0] == RELEASE and component == "main"
    }
    if not wanted:
        raise Unavailable(f"apt has no source of Debian 12 here: add one of {RELEASE} main to its sources")
    return "".join(sorted(wanted))
