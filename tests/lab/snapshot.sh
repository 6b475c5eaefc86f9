#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_snapshot.py: one section per step,
#
#	== NAME
#	what was printed, stdout and stderr
#	== NAME ended with STATUS

kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

section() {
	name=$1
	shift
	echo "== $name"
	"$@" 2>&1 </dev/null
	echo "
== $name ended with $?"
}

uptime_ms() {
	read -r up _ </proc/uptime
	echo "${up%.*}${up#*.}0"
}

# Waits until the guest's output has a line with this text.
await() {
	until grep -q "$1" "$2"; do
		kill -0 "$3" || return 1
		usleep 20000
	done
}

# NAME CPUS PASSES: a stock guest in the middle of its work, stored twice, killed, and gone on with.
moves() {
	begin=$(uptime_ms)
	umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 128M --cpus "$2" --cet on \
		--name "$1" --cmdline \
		"$kernel_words -- sh -c \"shstk_endure 4 $3; cat /proc/uptime\"" \
		</dev/null >"/tmp/$1.first" 2>&1 &
	first=$!
	await "pass 2" "/tmp/$1.first" $first
	section "$1-full" umbra snapshot "$1" "/tmp/$1.full"
	section "$1-huge" grep ShmemHugePages /proc/meminfo
	await "pass 4" "/tmp/$1.first" $first
	section "$1-since" umbra snapshot "$1" "/tmp/$1.snap" --since "/tmp/$1.full" --no-track
	kill -9 $first
	wait $first
	ran=$(($(uptime_ms) - begin))
	section "$1-before" cat "/tmp/$1.first"
	# A second that the guest must not notice.
	sleep 1
	begin=$(uptime_ms)
	section "$1-after" umbra restore "/tmp/$1.snap" --name "$1"
	echo "time: $1 was there for $((ran + $(uptime_ms) - begin)) ms"
}

moves one 1 12
section off umbra restore /tmp/one.snap --cet off
section full-again umbra restore /tmp/one.full
moves two 2 12
