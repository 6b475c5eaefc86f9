// SPDX-License-Identifier: MIT
#include "base/bytes.c" // NOLINT: the same functions, compiled with -mavx2
