#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_kernel.py: loads the modules anew with the options given one at a
# time, and says each time whether CET is offered and what became of the ABI's test.

for options in "$@"; do
	rmmod kvm_intel && rmmod kvm && insmod /modules/kvm.ko || exit 1
	# shellcheck disable=SC2086 # the options are words
	insmod /modules/kvm_intel.ko enable_apicv=0 $options || exit 1
	echo "$options: cet $(cat /sys/module/kvm_intel/parameters/cet)," \
		"$(umbra host | sed -n 's/^shstk *//p' | cut -d' ' -f1)"
	dmesg | sed -n 's/.*\(CET is hidden from guests: .*\)/\1/p' | tail -1
	dmesg -c >/dev/null
done
