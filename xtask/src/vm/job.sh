#!/bin/sh
# Runs the job in the virtual machine, started by its first process or as the unit of systemd.
# What is printed goes through a port of its own to the machine that has booted this one; the last
# line is the verdict.
port=$(ls /dev/vport*p1)
[ -c "$port" ] || exit 1
exec >"$port" 2>&1 </dev/null
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
cd / || exit 1
# In a session of its own, as everywhere: the first process is in none.
setsid --wait sh /run/crabcan-vm/command
echo "crabcan-vm: status $?"
[ $$ -ne 1 ] || /run/crabcan-vm/busybox poweroff -f
