// SPDX-License-Identifier: MIT
/*
 * Every processor that the MADT lists starts by INIT-SIPI, and none besides; each
 * has the APIC id that the MADT gives it.
 */
#include "cpus_start.h"

const char guest_name[] = "cpus";

void guest_main(const BootInfo *boot)
{
	static uint8_t ids[CPUS_IDS];
	unsigned n = cpus_find(boot, ids);
	uint8_t own = cpus_own_id();

	say("madt %u", (uint64_t)n);
	cpus_prepare();
	for (unsigned i = 0; i < n; i++)
		if (ids[i] != own)
			cpus_start(ids[i], NULL, NULL);
	cpus_await(n - 1);
	say("running %u", (uint64_t)ap_count + 1);
	for (unsigned i = 0; i < n; i++)
		if (ids[i] != own && !(ap_seen[ids[i] / 64] >> (ids[i] % 64) & 1))
			wrong("APIC id %u did not start", (uint64_t)ids[i]);
	if (ap_count != n - 1)
		wrong("%u processors too many", (uint64_t)(ap_count - (n - 1)));
}
