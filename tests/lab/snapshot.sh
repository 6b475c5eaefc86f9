#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_snapshot.py: one section per step, as steps.sh has them. The guest works until
# the process where it goes on asks it to end: however long all else takes, it is in the
# middle of its work when it is stored.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

# NAME CPUS: a stock guest in the middle of its work, stored twice, killed, and gone on with.
moves() {
	begin=$(uptime_ms)
	umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 128M --cpus "$2" --cet on \
		--name "$1" --cmdline \
		"$kernel_words -- sh -c \"stty -echo; shstk_endure 4 0; cat /proc/uptime\"" \
		</dev/null >"/tmp/$1.first" 2>&1 &
	first=$!
	await "endure: pass" "/tmp/$1.first" $first 2
	section "$1-full" umbra snapshot "$1" "/tmp/$1.full"
	section "$1-huge" grep ShmemHugePages /proc/meminfo
	# All of its memory once more, at the least.
	told=$(grep -c "endure: pass" "/tmp/$1.first")
	await "endure: pass" "/tmp/$1.first" $first $((told + 2))
	section "$1-since" umbra snapshot "$1" "/tmp/$1.snap" --since "/tmp/$1.full" --no-track
	kill -9 $first
	wait $first
	ran=$(($(uptime_ms) - begin))
	section "$1-before" cat "/tmp/$1.first"
	# A second that the guest must not notice.
	sleep 1
	begin=$(uptime_ms)
	section "$1-after" asking_to_end umbra restore "/tmp/$1.snap" --name "$1"
	echo "time: $1 was there for $((ran + $(uptime_ms) - begin)) ms"
}

moves one 1
section off umbra restore /tmp/one.snap --cet off
section full-again asking_to_end umbra restore /tmp/one.full
moves two 2
