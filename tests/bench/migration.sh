#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the emulated machine, like inside.sh: what a live migration over a Unix socket
# costs, umbra's and QEMU's, of the same guest at the same rate of writing: `toil`, with 98 MB
# in use, which writes 2 MB of them all the time.
set -u
mkdir -p /tmp/m

microvm="/qemu/bin/qemu-system-x86_64-microvm -M microvm,acpi=off,rtc=on -bios qboot.rom"
q35="/qemu/bin/qemu-system-x86_64 -M q35"
qemu_rest="-enable-kvm -cpu host -no-user-config -nodefaults -display none -no-reboot -m 256
	-kernel /bench/toil"
cmdline="1000000 96"

measure --calibrate

await() { # TEXT FILE
	until grep -q "$1" "$2"; do usleep 10000; done
}

await_socket() {
	until [ -S "$1" ]; do usleep 10000; done
}

end() {
	kill -9 "$@"
	wait "$@"
} 2>/dev/null

moves() { # NAME LIMIT_MS
	printf '%s ' "$1"
	move /tmp/m/source /tmp/m/target \
		'{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": '"$2"'}}' \
		'{"execute": "migrate", "arguments": {"uri": "unix:/tmp/m/way"}}' || true
}

umbra_moves() { # NAME LIMIT_MS
	umbra run --kernel /bench/toil --memory 256M --cmdline "$cmdline" --qmp /tmp/m/source \
		</dev/null >/tmp/said 2>&1 &
	from=$!
	await begun /tmp/said
	umbra run --incoming unix:/tmp/m/way --qmp /tmp/m/target </dev/null >/dev/null 2>&1 &
	to=$!
	await_socket /tmp/m/way
	moves "$1" "$2"
	end $from $to
	rm -f /tmp/m/*
}

qemu_moves() { # NAME LIMIT_MS QEMU…
	name=$1 limit=$2
	shift 2
	# shellcheck disable=SC2086 # the options are words
	"$@" $qemu_rest -append "$cmdline" -serial file:/tmp/said \
		-qmp unix:/tmp/m/source,server=on,wait=off </dev/null >/dev/null 2>&1 &
	from=$!
	await begun /tmp/said
	# shellcheck disable=SC2086
	"$@" $qemu_rest -append "$cmdline" -serial null -incoming unix:/tmp/m/way \
		-qmp unix:/tmp/m/target,server=on,wait=off </dev/null >/dev/null 2>&1 &
	to=$!
	await_socket /tmp/m/way
	await_socket /tmp/m/target
	moves "$name" "$limit"
	end $from $to
	rm -f /tmp/m/*
}

# The first one pays for what the kernel sets up once.
umbra_moves warm 100 >/dev/null
umbra_moves umbra-move 100
umbra_moves umbra-move-30ms 30
[ "${1:-}" = umbra ] && exit
# shellcheck disable=SC2086 # the options are words
{
	qemu_moves microvm-move 300 $microvm
	qemu_moves microvm-move-30ms 30 $microvm
	qemu_moves q35-move 300 $q35
	qemu_moves q35-move-30ms 30 $q35
}
