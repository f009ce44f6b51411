"""What a device is asked to run, for any POSIX shell with the usual small programs; Linux's /proc is read.

Each script is sent on the standard input of `exec sh`: the login shell, whatever it is, reads two words, nothing of
ours is limited in length, and no quoting but that of `sh` matters. A script stands in braces, so one that was cut short
by a lost link is an error of syntax and not half of a script.
"""

import posixpath
import shlex

SHELL = "exec sh"
BLOCK = 1 << 16
"""bytes; an upload goes on at a whole number of them"""
HEARTBEATS = 4
"""how many heartbeats may be missing until a device takes its link for lost"""

GREETING = r"""
stat=$(cat "/proc/$$/stat"); set -- ${stat##*) }; printf '\n%s %s %s\n' "$mark" "$$" "$3"
"""
"""says that the shell is there after whatever a login prints, its process id and its process group; a program of its
own reads them, because an emulated shell is shown made-up ones of itself"""

COMMAND = """
cd "$folder" || exit 127
exec "$@"
"""
"""becomes the command: so the server itself reports the signal that ends it"""

GUARD = """
members() {  # the processes of the group; a zombie is over and waits only to be asked how it ended
    for stat in /proc/[0-9]*/stat; do
        { IFS= read -r line <"$stat"; } 2>/dev/null || continue
        set -- "${line%% *}" ${line##*) }
        [ "$4" != "$group" ] || [ "$2" = Z ] || echo "$1"
    done
}
gone_within() {  # tenths of a second
    tenths=$1
    while [ -n "$(members)" ]; do
        [ "$tenths" -gt 0 ] || return 1
        tenths=$((tenths - 1))
        sleep 0.1 2>/dev/null || sleep 1
    done
}
{
    while sleep "$interval"; do echo tick; done </dev/null &
    while read -r beat; do echo beat; done
    echo end
} | {
    missed=0
    while [ "$missed" -lt "$heartbeats" ] && read -r event; do
        case $event in
            beat) missed=0 ;;
            tick) missed=$((missed + 1)) ;;
            end) break ;;
        esac
    done
    [ "$event" = end ] || echo silence
    kill -s TERM -- "-$group" 2>/dev/null  # BusyBox does it and complains of the --, without which dash refuses
    gone_within "$grace"
    kill -s KILL -- "-$group" 2>/dev/null
    if gone_within 50; then echo gone; else echo left $(members); fi
    kill -s KILL 0
}
"""
"""ends the process group `group` when its standard input ends or falls silent, says what became of it, and is gone"""

RECEIVE = """
mkdir -p "$parent" || exit 1
[ ! -d "$path" ] || { echo "$path is a folder" >&2; exit 1; }
if [ -f "$path" ] && [ "$(wc -c <"$path")" -eq "$size" ]; then
    set -- $(sha256sum <"$path")
    if [ "$1" = "$digest" ]; then chmod "$mode" "$path" && echo there; exit; fi
fi
blocks=0
[ ! -f "$partial" ] || blocks=$(($(wc -c <"$partial") / block))
[ "$blocks" -eq 0 ] || set -- $(dd if="$partial" bs="$block" count="$blocks" 2>/dev/null | sha256sum)
echo "$blocks" "$1"
IFS= read -r blocks || exit
# What dd says is kept back: on a lost link nobody reads it, and dd would end by SIGPIPE as if it had failed.
said=$(dd of="$partial" bs="$block" seek="$blocks" 2>&1) || { rm -f "$partial"; echo "$said" >&2; exit 1; }
set -- "$(wc -c <"$partial")" $(sha256sum <"$partial")
if [ "$1" -lt "$size" ]; then echo short; exit; fi
if [ "$2" != "$digest" ]; then rm -f "$partial"; echo other "$2"; exit; fi
chmod "$mode" "$partial" && mv -f "$partial" "$path" && echo stored
exit
"""
"""says `there`, or how many blocks of the partial file there are, and their digest; is told how many of them to keep;
then stores what comes on standard input: what a lost link cut short stays for the next attempt"""

SEND = """
[ -f "$path" ] || { echo missing; exit; }
echo $(wc -c <"$path") $(sha256sum <"$path")
cat <"$path"
exit
"""

REMOVE = """
rm -f "$path"
exit
"""


def greeting(mark: str, *, own_group: bool = False) -> bytes:
    """`GREETING`, from this shell or from one in its place that leads a process group of its own."""
    text = f"mark={mark}{GREETING}"
    return (f"exec setsid sh -c {_quoted(text + SHELL)}\n" if own_group else text).encode()


def script(body: str, *arguments: str, **variables: str | int) -> bytes:
    """`body` with its variables and positional arguments set, as `sh` reads it.

    Raises:
        ValueError: a name or an argument has a zero byte in it, which no command line can hold.
    """
    lines = [f"{name}={_quoted(str(value))}" for name, value in variables.items()]
    lines.append("set -- " + " ".join(map(_quoted, arguments)))
    return "\n".join(["{", *lines, body, "}", ""]).encode("utf-8", "surrogateescape")


def transfer(body: str, **variables: str | int) -> bytes:
    """The same for a script that moves a file: its messages are in English."""
    return script(f"LC_ALL=C; export LC_ALL\n{body}", **variables)


def device_path(folder: str, name: str = "") -> str:
    """A path as the device's shell takes it: from the user's home unless it is absolute, and never an option."""
    below_home = folder.removeprefix("~").lstrip("/") if folder == "~" or folder.startswith("~/") else folder
    return posixpath.join(".", below_home, name)


def _quoted(text: str) -> str:
    if "\0" in text:
        raise ValueError("a zero byte cannot be part of a command or of a name")
    return shlex.quote(text)
