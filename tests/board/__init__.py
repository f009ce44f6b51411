"""An emulated aarch64 Debian 12 board on loopback, made of Debian's packages: a real sshd, a real arm64 userland."""
