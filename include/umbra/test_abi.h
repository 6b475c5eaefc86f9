/* SPDX-License-Identifier: MIT */
/*
 * What a tiny test guest and the test that runs it agree on. Freestanding C and
 * assembler; only constants.
 *
 * A test guest speaks on the serial port, in lines of the form
 *
 *	NAME: text
 *
 * and what it found out is one `key value` per line. Its last line is
 * `NAME: done` (all its own checks held) or `NAME: WRONG: why`; then it powers
 * off. Guests that end otherwise, because that is their subject, print
 * `NAME: now` as the last thing before.
 *
 * An exception that a guest does not expect is reported as
 * `exception V error 0x… rip 0x… cr2 0x…`, followed by power-off.
 */
#ifndef UMBRA_TEST_ABI_H
#define UMBRA_TEST_ABI_H

/*
 * A guest is to find these in the ACPI tables; the tiny ones take them from here,
 * and the guest `info` checks that both say the same.
 */
#define UMBRA_TEST_SERIAL_PORT 0x3f8
#define UMBRA_TEST_SERIAL_GSI  4
#define UMBRA_TEST_SLEEP_PORT  0x600
#define UMBRA_TEST_SLEEP_VALUE 0x34 /* SLP_EN | SLP_TYP = 5 (S5) << 2 */
#define UMBRA_TEST_RESET_PORT  0x604
#define UMBRA_TEST_RESET_VALUE 1

/* Nothing answers here: the MMIO hole below 4 GiB, clear of every device. */
#define UMBRA_TEST_EMPTY_MMIO 0xcff00000

#endif
