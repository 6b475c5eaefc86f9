/* SPDX-License-Identifier: MIT */
/*
 * Where the guest cet_moments has what tells from outside in which part of its work it is.
 * Each processor has an area of RAM; an RSP in the signal stack says that ring 3 is in a
 * handler, a vector in service that ring 0 is, a 1 at MOMENTS_SWITCHING that ring 0 changes
 * from one task to the other.
 */
#ifndef UMBRA_TESTS_CET_MOMENTS_H
#define UMBRA_TESTS_CET_MOMENTS_H

#define MOMENTS_AREAS	     (24UL << 20)
#define MOMENTS_AREA	     (1UL << 20) /* of processor n: MOMENTS_AREAS + n * MOMENTS_AREA */
#define MOMENTS_STACK	     (64UL << 10)
#define MOMENTS_USER_STACK   (0 * MOMENTS_STACK)
#define MOMENTS_SIGNAL_STACK (1 * MOMENTS_STACK)
#define MOMENTS_ENTRY_STACK  (2 * MOMENTS_STACK)
#define MOMENTS_IDLE_STACK   (3 * MOMENTS_STACK)
#define MOMENTS_SWITCHING    (4 * MOMENTS_STACK)
#define MOMENTS_VECTOR	     40
#define MOMENTS_CPUS_MAX     8

#endif
