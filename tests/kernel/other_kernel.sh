#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_other_kernels.py: one section per step, as steps.sh has them.
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

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

what=$1
kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

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
	await "endure: pass" /tmp/all $source
	section store-all umbra snapshot source /tmp/all.snap
	umbra quit source
	ended all $source
}

take() {
	# One processor is for all, and the guest has it for a while whenever a buffer is full.
	echo 33554432 >/proc/sys/net/core/wmem_default
	asking_to_end umbra run --incoming unix:/tmp/in --name target >/tmp/target 2>&1 &
	target=$!
	await_socket /tmp/in $target /tmp/target
	tape record /tmp/taken.tape /tmp/recorder /tmp/in >/tmp/recorder.out 2>&1 &
	recorder=$!
	await_socket /tmp/recorder $recorder /tmp/recorder.out
	boot --cpu-like /lab/other.json </dev/null >/tmp/source 2>&1 &
	source=$!
	await "endure: pass" /tmp/source $source 2
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
	await_socket /tmp/in $target /tmp/target
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
