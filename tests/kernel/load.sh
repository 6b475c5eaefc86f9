#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_load.py, until it is ended: two stock guests with two vCPUs each
# and a shadow stack in every task, tiny guests that watch their registers, the host's own
# shadow-stack programs, and somebody who moves all vCPUs from CPU to CPU. Each tells
# what it got done: "WHO: round" for the good, anything with WRONG for the bad.

words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"
silence="echo 0 >/proc/sys/debug/exception-trace"
round="shstk_proof --tasks 6 --switches 300 && shstk_proof --threads 6 --switches 300"

# The words that tell, and no others, as they come: guests say much, and most of it is a proof.
told_by() {
	while read -r line; do
		case $line in
		*"all proven"* | *" rounds"*) echo "$1: round: $line" ;;
		*WRONG* | umbra:* | *"Kernel panic"*) echo "$1: WRONG: $line" ;;
		esac
	done
}

for i in 1 2; do
	umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 256M --cet on --cpus 2 \
		--cmdline "$words -- sh -c \"$silence; while $round; do :; done\"" \
		</dev/null 2>&1 | told_by "guest $i" &
done
{ cet_moves; echo "WRONG: it ended"; } 2>&1 | told_by moves &
{ while shstk_proof --tasks 4 --switches 200; do :; done; echo "WRONG: it failed"; } 2>&1 |
	told_by host &

echo 0 >/proc/sys/debug/exception-trace
mask=1
while sleep 0.05; do
	# Every thread of the guests, and so their vCPUs.
	for task in $(pidof umbra); do
		for thread in /proc/$task/task/*; do
			taskset -p $mask "${thread##*/}" >/dev/null 2>&1
			mask=$((mask % 3 + 1)) # the one, the other, both
		done
	done
	echo "mover: round"
done
