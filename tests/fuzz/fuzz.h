// SPDX-License-Identifier: MIT
/*
 * A target is one function in the shape that libFuzzer calls. Linked with
 * replay.c it is a test that runs over its corpus; with -Dfuzz=true (clang) it
 * is a fuzzer: build/tests/fuzz/fuzz_elf tests/fuzz/corpus/elf
 */
#ifndef UMBRA_TESTS_FUZZ_H
#define UMBRA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
