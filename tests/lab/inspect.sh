#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_inspect.py: a guest that tells its CET registers and
# holds still, what umbra says of them from outside, and what it may write there.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

# start NAME KERNEL CET: runs the guest with input from file descriptor 3.
start() {
	mkfifo "/tmp/$1.in"
	: >"/tmp/$1.out"
	umbra run --name "$1" --kernel "/lab/$2" --memory 64M --cet "$3" \
		<"/tmp/$1.in" >"/tmp/$1.out" 2>&1 &
	guest=$!
	exec 3>"/tmp/$1.in"
}

# await_from NAME TEXT N: until the guest has said it N times.
await_from() {
	await "$2" "/tmp/$1.out" $guest "$3"
}

# refused WORDS…: umbra set with these, if it does; prints its status and what it said.
refused() {
	umbra set "$@" 2>&1
	echo "status $?"
}

# check WORDS…: umbra check with these; prints its status and what it said.
check() {
	umbra check "$@" 2>&1
	echo "status $?"
}

start ring0 cet_state on
await_from ring0 waiting 1
echo "== json"
umbra inspect ring0 --json
echo "== stops"
for _ in 1 2 3 4 5; do
	umbra inspect ring0 --json | grep -o '"stopped_us": *[0-9]*'
done
echo "== text"
umbra inspect ring0
echo "== check"
check ring0
umbra host --json >/tmp/host.json
check ring0 --host /tmp/host.json
echo "== diff"
umbra diff ring0 ring0
echo "status $?"
echo "== running"
refused ring0 u_cet=1
umbra pause ring0
echo "== refused"
refused ring0 u_cet=0x40
refused ring0 pl1_ssp=0x1000 pl3_ssp=0x7fff00003ffe
refused ring0 u_cet=0x8000000000000004
refused ring0 --force u_cet=0x8000000000000004
refused ring0 s_cet=0x8000000000000004
echo "== written"
umbra set ring0 pl1_ssp=0x8000001000 u_cet=1 int_ssp_tab=0
echo "status $?"
umbra resume ring0
printf x >&3
await_from ring0 waiting 2
umbra pause ring0
echo "== forced"
refused ring0 --force s_cet=0x8000000000000004
echo "== damaged"
umbra inspect ring0 --json
echo "== check-damaged"
check ring0
umbra set ring0 s_cet=0x14 >/dev/null
umbra resume ring0
printf q >&3
wait $guest
echo "== told0"
cat /tmp/ring0.out

: >/tmp/ring3.out
umbra run --name ring3 --kernel /lab/vmlinuz --initrd /lab/initrd --memory 256M --cet on \
	--cmdline "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests -- shstk_depth 20" \
	</dev/null >/tmp/ring3.out 2>&1 &
guest=$!
await_from ring3 "shstk_depth: turning" 1
echo "== json3"
until_it_says '"cpl": *3' umbra inspect ring3 --json
echo "== check3"
check ring3
echo "== told3"
cat /tmp/ring3.out
pause_in_ring_3 ring3
umbra snapshot --quiet ring3 /tmp/ring3.snap
echo "== check-file"
check /tmp/ring3.snap
for target in ring3 /tmp/ring3.snap; do
	echo "== inspect:$target"
	umbra inspect "$target" --json
	echo "== backtrace:$target"
	umbra backtrace "$target" --json
done
echo "== diff-file"
umbra diff ring3 /tmp/ring3.snap
echo "status $?"
rm /tmp/ring3.snap
umbra quit ring3
wait $guest

start off echo off
await_from off ready 1
echo "== off"
umbra inspect off --json
umbra pause off
echo "== check-off"
check off
echo "== off-set"
refused off u_cet=1
refused off u_cet=0
umbra quit off
wait $guest
echo "== end"
