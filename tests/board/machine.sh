#!/busybox sh
# The first process of an emulated machine, on its small disk: it mounts the tree, which is on the other, brings up the
# network, and becomes sshd's keeper in the tree. If anything fails it ends, and by that the machine does.
# In the environment: the machine's address.
set -eu
umask 022
alias mount='/busybox mount'

mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
mount -t ext4 /dev/nvme0n2 /tree
mount -o move /dev /tree/dev
cd /tree
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs -o mode=755 run run
/busybox mkdir -p dev/pts dev/shm run/sshd home/pi
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o ptmxmode=666,mode=620,gid=5 devpts dev/pts
/busybox ln -s /proc/self/fd dev/fd
/busybox chmod 1777 tmp
/busybox chown 1000:1000 home/pi
/busybox cp -p /ssh/* etc/ssh/
/busybox chmod 644 etc/ssh/authorized_keys
/busybox hostname board

for module in /modules/*; do
    /busybox insmod "$module"
done
/busybox ifconfig lo 127.0.0.1
/busybox ifconfig eth0 "$address" netmask 255.255.255.0

# bash also collects the children that it never started: orphans
exec /busybox chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin bash -c '/usr/sbin/sshd -D -e & wait -n'
