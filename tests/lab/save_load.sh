#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_save_load.py: one section per run, as steps.sh has them: what the guest
# said, then what save_load did.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

# SAVE_LOAD_OPTION...: their outputs one after the other, whichever is written first.
run() {
	save_load --say "$@" 2>/tmp/told
	result=$?
	cat /tmp/told
	return $result
}

section load env UMBRA_GUESTS=/lab test_kvm_load
section undisturbed run --times 0 /lab/cet_deep
section deep run --times 8 --every 1000 --lines 1 --cmdline endless --ask /lab/cet_deep
section without-ssp run --times 1 --every 1500 --lines 2 --leave-out guest_ssp /lab/cet_deep
section without-u-cet run --times 1 --every 1500 --lines 2 --leave-out u_cet /lab/cet_deep
section work run --times 6 --every 10000 /lab/work
