#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_guest.py: one section per guest, as steps.sh has them.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

kernel_words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"

# NAME KERNEL OPTIONS CMDLINE: a stock Debian kernel
debian() {
	# shellcheck disable=SC2086 # the options are words
	section "$1" umbra run --kernel "$2" --initrd /lab/initrd --memory 256M $3 \
		--cmdline "$kernel_words $4"
}

# KVM takes this value (umbra calls it WRONG), and the CPU refuses the next entry with it;
# or KVM refuses it, so that there is nothing to see.
fail_entry() {
	mkfifo /tmp/keys
	exec 3<>/tmp/keys
	umbra run --name entry --kernel /lab/echo </tmp/keys >/tmp/entry 2>&1 &
	guest=$!
	await ready /tmp/entry $guest
	umbra pause entry
	if umbra set --force entry s_cet=0x8000000000000004; then
		umbra resume entry
		echo wake up >&3
	else
		umbra quit entry
	fi
	wait $guest
	result=$?
	cat /tmp/entry
	return $result
}

section fail-entry fail_entry
section lab shstk_proof --tasks 6 --switches 400
section tiny-cet umbra run --kernel /lab/cet --cet on
section tiny-cpuid umbra run --kernel /lab/cpuid --cet on
section tiny-cpuid-off umbra run --kernel /lab/cpuid --cet off

# The kernel's line on each violation would tear the proof's lines apart.
silence="echo 0 >/proc/sys/debug/exception-trace"
proofs="shstk_proof --tasks 6 --switches 400 && shstk_proof --threads 6 --switches 400"
debian tasks /lab/vmlinuz "--cpus 2" "-- sh -c \"$silence; $proofs\""
debian off-triple /lab/vmlinuz "--cet off" \
	'reboot=t -- sh -c "shstk_proof; echo shstk_proof ended with $?; reboot -f"'
debian elf-reset /lab/vmlinux "--cet on" '-- sh -c "shstk_proof --report; reboot -f"'
debian panic /lab/vmlinux "" 'reboot=t -- sh -c "echo c >/proc/sysrq-trigger"'
