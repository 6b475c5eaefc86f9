#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_kernel.py: two guests with shadow stacks at once, each with two
# vCPUs, and the host's own shadow-stack programs beside them as long as they run; then the
# modules go, and come back.

words="console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests"
silence="echo 0 >/proc/sys/debug/exception-trace"
proof="shstk_proof --tasks 6 --switches 300 && shstk_proof --threads 6 --switches 300"
guests=

for i in 1 2; do
	umbra run --kernel /lab/vmlinuz --initrd /lab/initrd --memory 256M --cet on --cpus 2 \
		--cmdline "$words -- sh -c \"$silence; $proof\"" </dev/null >/tmp/guest$i 2>&1 &
	guests="$guests $!"
done
rounds=0
# shellcheck disable=SC2086 # a list of processes
while kill -0 $guests 2>/dev/null; do
	shstk_proof --tasks 4 --switches 200 >/tmp/host 2>&1 || {
		echo "host: failed"
		cat /tmp/host
		break
	}
	rounds=$((rounds + 1))
done
wait
echo "host: $rounds rounds"
cat /tmp/guest1 /tmp/guest2

rmmod kvm_intel && rmmod kvm && insmod /modules/kvm.ko &&
	insmod /modules/kvm_intel.ko enable_apicv=0 nested=0 && cet_moves 20
