#!/bin/sh
# SPDX-License-Identifier: MIT
# What the scripts that tests run in the lab begin with (`. /lab/steps.sh`; lab.run() brings it). A step
# comes out as a section, which lab.sections() finds again:
#
#	== NAME
#	what was printed, stdout and stderr
#	== NAME ended with STATUS
#
# Nothing here counts on a process being quick or slow. The machine's clock counts instructions, so that
# a limit in its seconds is the same on any host: 10 of them are 42 thousand million instructions,
# 20 times what the longest wait takes, or idling.

PATIENCE=10

# NAME STATUS: the end of a section, whether its last line was ended or not.
section_ended() {
	echo "
== $1 ended with $2"
}

# NAME COMMAND...: leaves its status in $status.
section() {
	name=$1
	shift
	echo "== $name"
	"$@" 2>&1 </dev/null
	status=$?
	section_ended "$name" $status
}

# NAME PID: the section of a process that was started before, whose output is /tmp/NAME.
ended() {
	wait "$2"
	status=$?
	echo "== $1"
	cat "/tmp/$1"
	section_ended "$1" $status
}

# A shstk_endure without a number of passes works until there is something to read. What is run
# here gives its guest something as soon as there is a guest.
asking_to_end() {
	echo end | "$@"
}

uptime_ms() {
	awk '{ print int($1 * 1000 + 0.5) }' /proc/uptime
}

# PID COMMAND...: until the command succeeds. It decides once more after the process has ended, or
# was waited for too long; false if it still says no.
await_true() {
	process=$1
	shift
	limit=$(($(uptime_ms) + PATIENCE * 1000))
	until "$@"; do
		if ! kill -0 "$process" 2>/dev/null || [ "$(uptime_ms)" -gt $limit ]; then
			"$@"
			return
		fi
		usleep 20000
	done
}

# TEXT FILE TIMES: there are so many lines with it. There may be no file yet.
said() {
	lines=$(grep -c "$1" "$2" 2>/dev/null)
	[ "${lines:-0}" -ge "$3" ]
}

# TEXT FILE PID [TIMES]: until the process, whose output the file is, has said it so many times;
# without it there is nothing to go on with.
await() {
	await_true "$3" said "$1" "$2" "${4:-1}" && return
	echo "awaited in vain: $1"
	cat "$2"
	[ ! -e "$2-told" ] || cat "$2-told" # where umbra's own words go elsewhere
	exit 1
}

# PATH: somebody listens there (__SO_ACCEPTCON). The file of a socket is there a moment earlier.
listened_at() {
	grep -q " 00010000 .* $1\$" /proc/net/unix
}

# PATH PID FILE: until somebody listens there: the process, whose output the file is.
await_socket() {
	await_true "$2" listened_at "$1" && return
	echo "awaited in vain: $1"
	cat "$3"
	exit 1
}

# PATTERN COMMAND...: prints what the command said the first time that the pattern was in it. For a look at
# a guest that is nearly always in ring 3, and now and then in its kernel, at the timer's interrupt.
until_it_says() {
	pattern=$1
	shift
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		"$@" >/tmp/it-says
		! grep -q "$pattern" /tmp/it-says || break
	done
	cat /tmp/it-says
}

# NAME: such a guest, paused in ring 3.
pause_in_ring_3() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		umbra pause "$1"
		umbra inspect "$1" | grep -q "ring 3" && return
		umbra resume "$1"
	done
	echo "never in ring 3: $1"
	exit 1
}
