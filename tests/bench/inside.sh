#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the emulated machine: one line "NAME key=value…" for each measurement.
# Files are in /bench; umbra is on PATH, QEMU in /qemu/bin.
set -u
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
export HOME=/tmp/home
mkdir -p "$HOME"

linux="console=ttyS0 panic=-1 mitigations=off quiet reboot=t cryptomgr.notests -- reboot -f"
# Ends in a triple fault: the one way out that all of them know.
tiny=/bench/triple
microvm="/qemu/bin/qemu-system-x86_64-microvm -M microvm,acpi=off,rtc=on -bios qboot.rom"
q35="/qemu/bin/qemu-system-x86_64 -M q35"
qemu_rest="-enable-kvm -cpu host -no-user-config -nodefaults -display none -serial stdio -no-reboot"

# The counter must count instructions: a loop of known length first.
measure --calibrate

# The register library against the bare ioctls; its limits are tests/lab/test_cet.py's too.
cet_cost

# Seconds here are the emulated machine's: each takes about a minute.
count() { # NAME MARKER RAM_MIB COMMAND…
	name=$1 marker=$2 ram=$3
	shift 3
	printf '%s ' "$name"
	measure --timeout 3 --marker "$marker" --ram "$ram" -- "$@" 2>/tmp/stderr || cat /tmp/stderr
}

# The first VM since the machine's start pays for what the kernel sets up once.
umbra run --kernel $tiny --memory 256M >/dev/null 2>&1

count umbra-tiny-256 triple: 256 umbra run --kernel $tiny --memory 256M
count umbra-tiny-4096 triple: 4096 umbra run --kernel $tiny --memory 4G
count microvm-tiny-256 triple: 256 $microvm $qemu_rest -m 256 -kernel $tiny
count q35-tiny-256 triple: 256 $q35 $qemu_rest -m 256 -kernel $tiny
[ "${1:-}" = tiny ] && exit

boot="--initrd /bench/initrd --memory 256M"
count umbra-bzimage-first umbra-guest: 256 umbra run --kernel /bench/vmlinuz $boot --cmdline "$linux"
count umbra-bzimage-again umbra-guest: 256 umbra run --kernel /bench/vmlinuz $boot --cmdline "$linux"
elf=$(ls -S "$HOME"/.cache/umbra/kernels/* 2>/dev/null | head -n 1)
count umbra-elf umbra-guest: 256 umbra run --kernel "$elf" $boot --cmdline "$linux"
[ "${1:-}" = umbra ] && exit

boot="-m 256 -initrd /bench/initrd"
count microvm-elf umbra-guest: 256 $microvm $qemu_rest $boot -kernel "$elf" -append "$linux"
count q35-elf umbra-guest: 256 $q35 $qemu_rest $boot -kernel "$elf" -append "$linux"
count q35-bzimage umbra-guest: 256 $q35 $qemu_rest $boot -kernel /bench/vmlinuz -append "$linux"
