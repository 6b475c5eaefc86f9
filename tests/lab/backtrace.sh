#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs in the lab, for test_backtrace.py: a guest that tells its own shadow stack
# and holds still, and what umbra says of it from outside.

umbra run --name deep --kernel /lab/vmlinuz --initrd /lab/initrd --memory 256M --cet on \
	--cmdline "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests -- shstk_depth 20" \
	</dev/null >/tmp/console 2>&1 &
guest=$!

# The guest's words are the event; the shell of the lab can only look for them.
until grep -q "shstk_depth: turning" /tmp/console; do
	if ! kill -0 $guest 2>/dev/null; then
		cat /tmp/console
		exit 1
	fi
	usleep 100000
done

echo "== told"
cat /tmp/console
echo "== json"
umbra backtrace deep --json --symbols /lab/shstk_depth
echo "== text"
umbra backtrace deep --symbols /lab/shstk_depth
echo "== limit"
umbra backtrace deep --json --limit 3
echo "== end"
umbra quit deep
wait $guest
