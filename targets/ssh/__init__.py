"""A device over SSH: files there and back, and commands of which nothing is left."""

from smolship.targets.ssh.access import Access
from smolship.targets.ssh.refusals import Unreachable
from smolship.targets.ssh.transport import Ssh

__all__ = ["Access", "Ssh", "Unreachable"]
