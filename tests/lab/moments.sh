#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_moments.py: moments.sh MOMENTS ROUNDS SEED. One section per run,
#
#	== NAME
#	what the guest said, then what `moments` did
#	== NAME ended with STATUS

section() {
	name=$1
	shift
	echo "== $name"
	moments --seed "$seed" "$@" /lab/cet_moments 2>/tmp/told
	status=$?
	cat /tmp/told
	echo "
== $name ended with $status"
}

seed=$3
section undisturbed --times 0 --cmdline rounds=8
section moved --times "$1" --cmdline "rounds=$2"
section without-ssp --times 8 --cmdline rounds=20 --leave-out guest_ssp
