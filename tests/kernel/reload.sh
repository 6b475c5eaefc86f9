#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_kernel.py: loads the modules anew with the options given one at a
# time, and runs a command of the shell each time: reload.sh COMMAND OPTIONS...

command=$1
shift
for options in "$@"; do
	rmmod kvm_intel && rmmod kvm && insmod /modules/kvm.ko || exit 1
	# shellcheck disable=SC2086 # the options are words
	insmod /modules/kvm_intel.ko enable_apicv=0 $options || exit 1
	echo "== $options"
	sh -c "$command"
done
