#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_migration.py: migration.sh MOVES. A stock guest goes from process to
# process while it works; sections as steps.sh has them: for each move one, for each process what
# the guest said there (gN) and what umbra said (gN-told).
#
# The guest works until the last of its processes asks it to end: however long a move takes, it
# is in the middle of its work.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

moves=$1
kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

# NAME PID: what the process told, when it has ended.
told() {
	ended "$1" "$2"
	section "$1-told" cat "/tmp/$1-told"
}

# NAME COMMAND...: in the background, its two streams apart: the guest may be in the middle of a line.
start() {
	name=$1
	shift
	"$@" --name "$name" </dev/null >"/tmp/$name" 2>"/tmp/$name-told" &
	started=$!
}

# The waiting side listens before its name is there.
listens() {
	umbra list | grep -q "^$1 .*inmigrate"
}

start g0 umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 192M --cpus 2 --cet on \
	--cmdline "$kernel_words -- sh -c \"stty -echo; shstk_endure 96 0 || dmesg | tail -5\""
pid=$started
await "endure: pass" /tmp/g0 $pid

n=0
while [ $n -lt "$moves" ]; do
	next=$((n + 1))
	# Every third one over TCP, every second one by several connections.
	uri=unix:/tmp/in.$next
	[ $((n % 3)) = 2 ] && uri=tcp:127.0.0.1:$((4000 + next))
	channels=$((1 + n % 2 * 3))
	last=
	[ $next = "$moves" ] && last=asking_to_end
	start g$next $last umbra run --incoming $uri
	await_true $started listens g$next
	section move-$next umbra migrate g$n $uri --channels $channels --downtime 300
	if [ $status != 0 ]; then
		# Neither would end.
		umbra quit g$n
		umbra quit g$next
		n=$moves
	fi
	told g$((next - 1)) $pid
	pid=$started
	n=$((n + 1))
done
told "g$next" $pid
