#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_moments.py: moments.sh MOMENTS SEED. One section per run, as steps.sh has
# them: what the guest said, then what `moments` did.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

seed=$2

# MOMENTS_OPTION...: their outputs one after the other, whichever is written first.
run() {
	moments --seed "$seed" "$@" /lab/cet_moments 2>/tmp/told
	result=$?
	cat /tmp/told
	return $result
}

section undisturbed run --times 0 --cmdline rounds=8
section moved run --times "$1" --all-kinds --cmdline rounds=0
section without-ssp run --times 8 --cmdline rounds=0 --leave-out guest_ssp
