#!/usr/bin/env bash
# The first process of a board's namespaces: mounts, the emulator's registration, sshd; all of it ends with this shell.
# Arguments: the tree, the folder of this board, the emulator, its processor, how much pi's home holds.
# This is bash, and not another shell, because it also collects the children that it never started: a board's orphans.
set -euo pipefail
umask 022
tree=$1 folder=$2 emulator=$3 processor=$4 room=$5

# Nobody but this board sees these mounts; the tree itself cannot be written, so the next board finds it as it was.
mount --bind "$tree" "$tree"
mount -o remount,bind,ro "$tree"
mount -t proc proc "$tree/proc"
for file in "$folder"/proc/*; do
    chmod 644 "$file"
    mount --bind "$file" "$tree/proc/${file##*/}"
done
for where in tmp dev run sys home; do
    mount -t tmpfs -o mode=755,size="$room" "$where" "$tree/$where"
done
chmod 1777 "$tree/tmp"
mkdir -p "$tree"/{dev/pts,dev/shm,run/sshd,sys/devices/system/cpu,home/pi}
chown 1000:1000 "$tree/home/pi"
chmod 1777 "$tree/dev/shm"
for node in full null random tty urandom zero; do
    touch "$tree/dev/$node"
    mount --bind "/dev/$node" "$tree/dev/$node"
done
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$tree/dev/pts"
ln -s pts/ptmx "$tree/dev/ptmx"
ln -s /proc/self/fd "$tree/dev/fd"
cp /sys/devices/system/cpu/{online,possible,present} "$tree/sys/devices/system/cpu/"
chmod 755 "$folder/ssh"
mount --bind "$folder/ssh" "$tree/etc/ssh"
hostname board

# The registration belongs to this user namespace (Linux 6.7) and goes with it. F: the emulator is opened now, and needs
# no place in the tree. P: programs see the name that they were called by. The bytes are the head of an aarch64 ELF file.
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
mkdir "$folder/binfmt_misc"
mount -t binfmt_misc binfmt_misc "$folder/binfmt_misc"
printf '%s' ":smolship:M::$magic:$mask:$emulator:PF" >"$folder/binfmt_misc/register"
echo ready

env -i PATH=/usr/sbin:/usr/bin QEMU_CPU="$processor" chroot "$tree" /usr/sbin/sshd -D -e &
cat <&0 >/dev/null & # ends when whoever wanted the board closes the pipe, or is gone
wait -n
