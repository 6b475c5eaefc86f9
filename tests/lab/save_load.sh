#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_save_load.py: one section per run,
#
#	== NAME
#	what the guest said, then what save_load did
#	== NAME ended with STATUS

section() {
	name=$1
	shift
	echo "== $name"
	save_load --say "$@" 2>/tmp/told
	status=$?
	cat /tmp/told
	echo "
== $name ended with $status"
}

echo "== load"
UMBRA_GUESTS=/lab test_kvm_load
echo "
== load ended with $?"
section undisturbed --times 0 /lab/cet_deep
section deep --times 30 --every 1000 --lines 1 /lab/cet_deep
section without-ssp --times 1 --every 1500 --lines 2 --leave-out guest_ssp /lab/cet_deep
section without-u-cet --times 1 --every 1500 --lines 2 --leave-out u_cet /lab/cet_deep
section work --times 6 --every 60000 /lab/work
