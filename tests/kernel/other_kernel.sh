#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_other_kernels.py: one section per step,
#
#	== NAME
#	what was printed, stdout and stderr
#	== NAME ended with STATUS
#
#	other_kernel.sh describe      host.json: this host
#	other_kernel.sh take	      a stock guest that was shown what other.json has is stored in
#				      the middle of its work, then moved with the stream on tape,
#				      and ends. Before that one that was shown all is stored
#	other_kernel.sh go-on	      what was brought along from such a run goes on here, or is
#				      refused
#
# The guest works until it is asked to end, and is asked by the input of the process where it
# goes on: however long all else takes, it is in the middle of its work before.

what=$1
kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

section() {
	name=$1
	shift
	echo "== $name"
	"$@" 2>&1 </dev/null
	status=$?
	echo "
== $name ended with $status"
}

# What is run gives the guest its input as soon as the guest is there.
asking_to_end() {
	echo end | "$@"
}

# Waits until the output of the process has a line with this text.
await() {
	until grep -q "$1" "$2"; do
		kill -0 "$3" || return 1
		usleep 20000
	done
}

# PATH PID: until the process has made this socket; it listens by then.
await_socket() {
	until [ -S "$1" ]; do
		kill -0 "$2" || return 1
		usleep 20000
	done
}

# NAME PID: the section of a process that was started before, whose output is /tmp/NAME.
ended() {
	wait "$2"
	status=$?
	echo "== $1"
	cat "/tmp/$1"
	echo "
== $1 ended with $status"
}

# OPTION...: the guest, from its start.
boot() {
	umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 96M --cpus 2 --cet on \
		--name source --cmdline "$kernel_words -- sh -c \"stty -echo; shstk_endure 4 0 || dmesg | tail -5\"" \
		"$@"
}

# One that is shown all that there is here. Its first words are enough of it.
take_all() {
	boot </dev/null >/tmp/all 2>&1 &
	source=$!
	await "pass 1" /tmp/all $source
	section store-all umbra snapshot source /tmp/all.snap
	umbra quit source
	wait $source
}

take() {
	# One processor is for all, and the guest has it for a while whenever a buffer is full.
	echo 33554432 >/proc/sys/net/core/wmem_default
	asking_to_end umbra run --incoming unix:/tmp/in --name target >/tmp/target 2>&1 &
	target=$!
	await_socket /tmp/in $target
	tape record /tmp/taken.tape /tmp/recorder /tmp/in >/tmp/recorder.out 2>&1 &
	recorder=$!
	await_socket /tmp/recorder $recorder
	boot --cpu-like /lab/other.json </dev/null >/tmp/source 2>&1 &
	source=$!
	await "pass 2" /tmp/source $source
	section store umbra snapshot source /tmp/taken.snap
	section move umbra migrate source unix:/tmp/recorder --channels 1 --downtime 300
	# Neither would end.
	[ $status = 0 ] || umbra quit target
	[ $status = 0 ] || umbra quit source
	ended source $source
	ended target $target
}

incoming() {
	asking_to_end umbra run --incoming unix:/tmp/in --name target >/tmp/target 2>&1 &
	target=$!
	await_socket /tmp/in $target
	section play tape play /lab/taken.tape /tmp/in
	# It would wait for another guest.
	[ $status = 0 ] || umbra quit target
	ended target $target
}

case $what in
describe)
	section host umbra host --json
	;;
take)
	take_all
	take
	;;
go-on)
	section all umbra check --quick /lab/all.snap
	[ $status = 0 ] || section restored-all umbra restore /lab/all.snap
	section restored asking_to_end umbra restore /lab/taken.snap
	incoming
	;;
esac
