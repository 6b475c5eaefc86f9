#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the emulated machine, like inside.sh: what it costs to store a guest and to let it go
# on. Umbra and QEMU store the same two guests: a tiny one that says "beat" all the time, so that
# it is seen to go on, and a stock kernel in 256 MB that has booted, filled 38 MB and sleeps: some
# 98 MB in use.
set -u
export HOME=/tmp/home
mkdir -p "$HOME"

microvm="/qemu/bin/qemu-system-x86_64-microvm -M microvm,acpi=off,rtc=on -bios qboot.rom"
q35="/qemu/bin/qemu-system-x86_64 -M q35"
qemu_rest="-enable-kvm -cpu host -no-user-config -nodefaults -display none -serial stdio -no-reboot"

measure --calibrate

count() { # NAME MARKER RAM_MIB COMMAND…
	name=$1 marker=$2 ram=$3
	shift 3
	printf '%s ' "$name"
	measure --timeout 1 --marker "$marker" --ram "$ram" -- "$@" 2>/tmp/stderr || cat /tmp/stderr
}

await() { # TEXT FILE PID
	until grep -q "$1" "$2"; do
		kill -0 "$3" 2>/dev/null || {
			cat "$2"
			return
		}
		usleep 10000
	done
}

linux='console=ttyS0 panic=-1 mitigations=off quiet cryptomgr.notests -- sh -c "yes | head -c 38000000 >/fill; echo umbra-guest: full; sleep 100000"'

# NAME FILE MARKER OPTIONS: boots it, stores it when it has said MARKER, ends it.
umbra_stores() {
	name=$1 file=$2 marker=$3
	shift 3
	umbra run --name "$name" "$@" </dev/null >/tmp/said 2>&1 &
	guest=$!
	await "$marker" /tmp/said $guest
	count "$name" stored 0 umbra snapshot "$name" "$file" --no-track
	kill -9 $guest
	wait $guest 2>/dev/null
	echo "$name-file kib=$(du -k "$file" | while read -r kib _; do echo "$kib"; done)"
}

# The first one pays for what the kernel sets up once.
umbra_stores warm /tmp/warm beat --kernel /bench/pulse --memory 256M >/dev/null
count umbra-warm beat 0 umbra restore /tmp/warm >/dev/null

umbra_stores umbra-store-tiny /tmp/tiny beat --kernel /bench/pulse --memory 256M
count umbra-restore-256 beat 256 umbra restore /tmp/tiny
umbra_stores umbra-store-4096 /tmp/big beat --kernel /bench/pulse --memory 4G
count umbra-restore-4096 beat 4096 umbra restore /tmp/big
rm -f /tmp/warm /tmp/tiny /tmp/big
umbra_stores umbra-store-linux /tmp/linux umbra-guest:.full --kernel /bench/vmlinuz \
	--initrd /bench/initrd --memory 256M --cmdline "$linux"
rm -f /tmp/linux
[ "${1:-}" = umbra ] && exit

# NAME FILE MARKER QEMU…
qemu_stores() {
	name=$1 file=$2 marker=$3
	shift 3
	"$@" -qmp unix:/tmp/monitor,server=on,wait=off </dev/null >/tmp/said 2>&1 &
	guest=$!
	await "$marker" /tmp/said $guest
	printf '%s ' "$name"
	move --store /tmp/monitor "$file" || echo
	kill -9 $guest
	wait $guest 2>/dev/null
	rm -f /tmp/monitor
	echo "$name-file kib=$(du -k "$file" | while read -r kib _; do echo "$kib"; done)"
}

elf=$(ls -S "$HOME"/.cache/umbra/kernels/* | head -n 1)
for board in microvm q35; do
	eval "qemu=\$$board"
	# shellcheck disable=SC2086,SC2154 # the options are words
	{
		tiny="$qemu $qemu_rest -m 256 -kernel /bench/pulse"
		qemu_stores $board-store-tiny /tmp/tiny beat $tiny
		count $board-restore-256 beat 256 $tiny -global migration.mapped-ram=on \
			-incoming file:/tmp/tiny
		rm -f /tmp/tiny
		qemu_stores $board-store-linux /tmp/linux umbra-guest:.full $qemu $qemu_rest -m 256 \
			-kernel "$elf" -initrd /bench/initrd -append "$linux"
		rm -f /tmp/linux
	}
done
