"""Debian 12's packages, for an architecture that need not be this machine's, chosen by apt's own resolver.

Nothing of this machine's apt or dpkg is altered: lists, archives and the (empty) status of what is installed lie in a
folder given. Where packages come from is what this machine's own sources say.
"""

from collections.abc import Sequence
from pathlib import Path

from unavailable import Unavailable, run

from board.cache import kept

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
MACHINE_EMULATOR = "qemu-system-arm"
KERNEL = (
    "linux-image-cloud-arm64",
    "tiny-initramfs",  # not used: what a kernel's package wants is an initramfs of some kind, and this is the smallest
    "busybox-static",
)
"""what a machine of its own boots, with the tree"""

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


def programs(names: Sequence[str]) -> Path:
    """The folder with the files of these packages for this machine, as they would lie below `/`; it is kept.

    What they depend on is not with them: it is this machine's own. `Unavailable` as `download` has it.
    """

    def make(root: Path, work: Path) -> None:
        architecture = run(["dpkg", "--print-architecture"]).decode().strip()
        unpack(download(names, architecture, work / architecture, alone=True), root)

    return kept(names[0], [__file__], make)


def download(names: Sequence[str], architecture: str, folder: Path, *, alone: bool = False) -> list[Path]:
    """Download the packages, `alone` or with all that they depend on, into `folder`; their .deb files, sorted.

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
    archives = folder / "cache" / "archives"
    if alone:
        run([*apt, "download", *names], folder=archives)
    else:
        run([*apt, "--yes", "--download-only", "install", *names])
    return sorted(archives.glob("*.deb"))


def unpack(archives: Sequence[Path], root: Path, *members: str) -> None:
    """All files or those named, no package's scripts; what a package has in /bin goes through a link of that name."""
    root.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        contents = run(["dpkg-deb", "--fsys-tarfile", archive])
        run(["tar", "--extract", "--keep-directory-symlink", "--directory", root, *members], contents)


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
