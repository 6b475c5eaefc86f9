#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the emulated machine, like inside.sh: what a live migration over a Unix socket costs,
# umbra's and QEMU's, of the same guests: a stock kernel that sleeps, with 98 MB in use, and `toil`,
# with as much, which writes 2 MB of them all the time. `umbra` as first argument leaves out QEMU.
set -u
export HOME=/tmp/home
mkdir -p "$HOME" /tmp/m

microvm="/qemu/bin/qemu-system-x86_64-microvm -M microvm,acpi=off,rtc=on -bios qboot.rom"
q35="/qemu/bin/qemu-system-x86_64 -M q35"
qemu_rest="-enable-kvm -cpu host -no-user-config -nodefaults -display none -no-reboot -m 256"
toil="1000000 96"
linux='console=ttyS0 panic=-1 mitigations=off quiet cryptomgr.notests -- sh -c "yes | head -c 38000000 >/fill; echo umbra-guest: full; sleep 100000"'

measure --calibrate

await() { # TEXT FILE PID
	until grep -q "$1" "$2"; do
		kill -0 "$3" 2>/dev/null || {
			cat "$2"
			return
		}
		usleep 10000
	done
}

await_socket() { # PATH PID
	until [ -S "$1" ] || ! kill -0 "$2" 2>/dev/null; do usleep 10000; done
}

end() {
	kill -9 "$@"
	wait "$@"
} 2>/dev/null

# QEMU holds itself to 128 MiB/s unless it is told otherwise.
moves() { # NAME LIMIT_MS
	printf '%s ' "$1"
	move /tmp/m/source /tmp/m/target \
		'{"execute": "migrate-set-parameters", "arguments": {"downtime-limit": '"$2"',
		"max-bandwidth": 10000000000}}' \
		'{"execute": "migrate", "arguments": {"uri": "unix:/tmp/m/way"}}' || echo
	end $from $to
	rm -f /tmp/m/*
}

umbra_moves() { # NAME LIMIT_MS MARKER OPTIONS…
	name=$1 limit=$2 marker=$3
	shift 3
	umbra run --memory 256M --qmp /tmp/m/source "$@" </dev/null >/tmp/said 2>&1 &
	from=$!
	await "$marker" /tmp/said $from
	umbra run --incoming unix:/tmp/m/way --qmp /tmp/m/target </dev/null >/dev/null 2>&1 &
	to=$!
	await_socket /tmp/m/way $to
	moves "$name" "$limit"
}

qemu_moves() { # NAME LIMIT_MS MARKER QEMU…
	name=$1 limit=$2 marker=$3
	shift 3
	# shellcheck disable=SC2086 # the options are words
	"$@" $qemu_rest -serial file:/tmp/said \
		-qmp unix:/tmp/m/source,server=on,wait=off </dev/null >/dev/null 2>&1 &
	from=$!
	await "$marker" /tmp/said $from
	# shellcheck disable=SC2086
	"$@" $qemu_rest -serial null -incoming unix:/tmp/m/way \
		-qmp unix:/tmp/m/target,server=on,wait=off </dev/null >/dev/null 2>&1 &
	to=$!
	await_socket /tmp/m/way $to
	await_socket /tmp/m/target $to
	moves "$name" "$limit"
}

# The first one pays for what the kernel sets up once.
umbra_moves warm 100 begun --kernel /bench/toil --cmdline "$toil" >/dev/null
umbra_moves umbra-move-busy 100 begun --kernel /bench/toil --cmdline "$toil"
umbra_moves umbra-move-linux 100 umbra-guest:.full --kernel /bench/vmlinuz --initrd /bench/initrd \
	--cmdline "$linux"
[ "${1:-}" = umbra ] && exit

elf=$(ls -S "$HOME"/.cache/umbra/kernels/* | head -n 1)
for board in microvm q35; do
	eval "qemu=\$$board"
	# shellcheck disable=SC2086,SC2154 # the options are words
	{
		qemu_moves $board-move-busy 300 begun $qemu -kernel /bench/toil -append "$toil"
		qemu_moves $board-move-busy-30ms 30 begun $qemu -kernel /bench/toil -append "$toil"
		qemu_moves $board-move-linux 300 umbra-guest:.full $qemu -kernel "$elf" \
			-initrd /bench/initrd -append "$linux"
	}
done
