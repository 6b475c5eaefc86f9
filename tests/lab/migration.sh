#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_migration.py: migration.sh MOVES. A stock guest goes from
# process to process while it works; each process's output is a section, and each move one:
#
#	== NAME
#	what was printed, stdout and stderr
#	== NAME ended with STATUS

moves=$1
kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

# The waiting side listens before its name is there.
await_listening() {
	until umbra list | grep -q "^$1 .*inmigrate"; do
		kill -0 "$2" || return 1
		usleep 20000
	done
}

await() {
	until grep -q "$1" "$2"; do
		kill -0 "$3" || return 1
		usleep 20000
	done
}

umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 192M --cpus 2 --cet on --name g0 \
	--cmdline "$kernel_words -- sh -c \"shstk_endure 96 $((2 * moves + 4)) || dmesg | tail -5\"" \
	</dev/null >/tmp/g0 2>&1 &
pid=$!
await "pass 1" /tmp/g0 $pid || cat /tmp/g0

n=0
while [ $n -lt "$moves" ]; do
	next=$((n + 1))
	# Every third one over TCP, every second one by several connections.
	uri=unix:/tmp/in.$next
	[ $((n % 3)) = 2 ] && uri=tcp:127.0.0.1:$((4000 + next))
	channels=$((1 + n % 2 * 3))
	umbra run --incoming $uri --name g$next </dev/null >/tmp/g$next 2>&1 &
	next_pid=$!
	await_listening g$next $next_pid
	echo "== move-$next"
	umbra migrate g$n $uri --channels $channels --downtime 300 2>&1
	status=$?
	echo "
== move-$next ended with $status"
	if [ $status != 0 ]; then
		kill $next_pid
		break
	fi
	wait $pid
	n=$next
	pid=$next_pid
done
# The last one lets it come to its end.
wait $pid
status=$?
i=0
while [ $i -le $n ]; do
	echo "== g$i"
	cat /tmp/g$i
	echo "
== g$i ended with $([ $i = $n ] && echo $status || echo 0)"
	i=$((i + 1))
done
