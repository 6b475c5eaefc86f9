#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_backtrace.py: a guest that tells its own shadow stack
# and holds still, and what umbra says of it from outside.

# shellcheck source=tests/common/steps.sh
. /lab/steps.sh

umbra run --name deep --kernel /lab/vmlinuz --initrd /lab/initrd --memory 256M --cet on \
	--cmdline "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests -- shstk_depth 20" \
	</dev/null >/tmp/console 2>&1 &
guest=$!

await "shstk_depth: turning" /tmp/console $guest
echo "== told"
cat /tmp/console
echo "== json"
until_it_says '"cpl": *3' umbra backtrace deep --json --symbols /lab/shstk_depth
echo "== text"
pause_in_ring_3 deep
umbra backtrace deep --symbols /lab/shstk_depth
echo "== limit"
umbra backtrace deep --json --limit 3
echo "== end"
umbra quit deep
wait $guest
