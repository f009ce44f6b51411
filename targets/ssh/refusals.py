"""Why a connection could not be opened, in words that say what to do."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from smolship.errors import InputError
from smolship.targets.lines import printable
from smolship.targets.ssh.access import Access, Destination
from smolship.targets.ssh.host_keys import KnownHosts


class Unreachable(InputError):
    """Nobody answers where the device should be, or the connection broke before it was open: that may pass."""


@contextmanager
def configured(destination: Destination) -> Iterator[None]:
    """What is wrong with the configuration or the keys on this side is an `InputError` outside."""
    import asyncssh

    try:
        yield
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError, OSError, ValueError) as error:
        raise InputError(
            f"the SSH configuration for {destination} cannot be used ({error}): try `{destination.command}`, "
            "which reads the same file, and correct what it names"
        ) from error


@contextmanager
def connected(destination: Destination, access: Access, known: KnownHosts) -> Iterator[None]:
    """What stops a connection from being opened is an `InputError` outside, `Unreachable` if it may pass."""
    import asyncssh

    try:
        yield
    except asyncssh.HostKeyNotVerifiable as error:
        raise known.refusal(destination, error.reason) from error
    except asyncssh.PermissionDenied as error:
        raise InputError(
            f"{destination} refuses every key that was offered ({printable(error.reason)}): put your public key there "
            f"(`ssh-copy-id {destination.arguments}`), load its private key (`ssh-add`), "
            "or name the right user in front of the @"
        ) from error
    except (asyncssh.KeyExchangeFailed, asyncssh.ProtocolError, asyncssh.ProtocolNotSupported) as error:
        raise InputError(
            f"{destination} and this machine have no SSH in common ({printable(error.reason)}): "
            "update the SSH server there, or see that it is one"
        ) from error
    except TimeoutError as error:
        raise _unreachable(destination, f"no answer within {access.connect_timeout:g} s") from error
    except socket.gaierror as error:
        raise _unreachable(destination, str(error.strerror)) from error
    except (OSError, asyncssh.Error) as error:
        known_number = isinstance(error, OSError) and error.errno
        raise _unreachable(destination, os.strerror(known_number) if known_number else str(error)) from error


def _unreachable(destination: Destination, reason: str) -> Unreachable:
    return Unreachable(
        f"cannot reach {destination} ({printable(reason)}): see that the device is switched on and in this network, "
        f"that its SSH server runs, and that the name and the port are right; `{destination.command}` tries the same"
    )
