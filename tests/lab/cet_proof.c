// SPDX-License-Identifier: MIT
/*
 * Holds the register table against the KVM of the machine it runs on: tries values
 * on each register under each feature set, and compares what KVM does with what
 * cet_verdict() says it does. A difference is printed as a line that repeats it.
 *
 *	cet_proof [--kvm NAME] [--seed N] [--values N]	NAME: as in common/kvm_rules.h
 *	cet_proof [--kvm NAME] --one FEATURES REGISTER VALUE
 *						FEATURES: both, shstk, ibt, none, 32bit
 */
#include "common/cet_values.h"
#include "common/kvm_rules.h"
#include "umbra/cet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

enum {
	EXIT_PROVEN = 0,
	EXIT_MISMATCH = 1,
	EXIT_TROUBLE = 2,
	MAX_PRINTED = 20,
};

static const struct FeatureSet {
	const char *name;
	uint32_t features;
} feature_sets[] = {
	{"both", CET_FEATURE_SHSTK | CET_FEATURE_IBT | CET_FEATURE_LM},
	{"shstk", CET_FEATURE_SHSTK | CET_FEATURE_LM},
	{"ibt", CET_FEATURE_IBT | CET_FEATURE_LM},
	{"none", CET_FEATURE_LM},
	{"32bit", CET_FEATURE_SHSTK | CET_FEATURE_IBT}, /* no 64-bit mode */
};
#define N_SETS (sizeof(feature_sets) / sizeof(feature_sets[0]))

typedef struct Cpuid {
	struct kvm_cpuid2 list;
	struct kvm_cpuid_entry2 entries[512];
} Cpuid;

/* A vCPU of one feature set, the two ways to its registers, and what they hold. */
typedef struct Subject {
	const struct FeatureSet *set;
	CetCpu guest;
	CetVcpu ways[2];
	uint64_t held[CET_N_REGS];
} Subject;

static const char *const way_names[] = {"KVM_SET_MSRS", "KVM_SET_ONE_REG"};

typedef struct Proof {
	Subject subjects[N_SETS];
	CetCpu host;
	unsigned long tried;
	unsigned long mismatches;
	unsigned long counts[REG_REFUSES + 1];
} Proof;

static void die(const char *what)
{
	fprintf(stderr, "cet_proof: %s: %s\n", what, strerror(errno));
	exit(EXIT_TROUBLE);
}

static void subject_init(Subject *subject, const struct FeatureSet *set, int kvm,
			 const Cpuid *supported)
{
	static Cpuid cpuid;
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);

	if (vcpu < 0)
		die("cannot make a vCPU");
	cpuid = *supported;
	if (!(set->features & (CET_FEATURE_SHSTK | CET_FEATURE_IBT)))
		cet_cpuid_hide(&cpuid.list);
	for (uint32_t i = 0; i < cpuid.list.nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid.list.entries[i];
		bool leaf_7 = entry->function == 7 && entry->index == 0;

		if (leaf_7 && !(set->features & CET_FEATURE_SHSTK))
			entry->ecx &= ~(1u << 7);
		if (leaf_7 && !(set->features & CET_FEATURE_IBT))
			entry->edx &= ~(1u << 20);
		if (entry->function == 0x80000001 && !(set->features & CET_FEATURE_LM))
			entry->edx &= ~(1u << 29);
	}
	if (ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0)
		die("KVM_SET_CPUID2");
	*subject = (Subject){
		.set = set,
		.guest = cet_cpuid_features(&cpuid.list),
		.ways = {{.fd = vcpu}, {.fd = vcpu, .all_by_one_reg = true}},
	};
}

/* What KVM does with `value`, found out by doing it: writes, and reads back. */
static RegVerdict ask_kvm(CetVcpu *vcpu, const RegDesc *reg, uint64_t value, uint64_t *ret_held)
{
	RegIo io = cet_vcpu_io(vcpu);
	uint64_t found = ~value; /* a read that does nothing must show */
	int done = io.set(io.self, &reg->one_reg, &value, 1);

	if (done < 0)
		die("write");
	if (done == 0)
		return REG_REFUSES;
	if (io.get(io.self, &reg->one_reg, &found, 1) != 1)
		die("read after a successful write");
	*ret_held = found;
	return found == value ? REG_OK : REG_LOSES;
}

/* A register that holds the next value already would hide that the write is lost. */
static void make_room(Subject *subject, CetReg index, uint64_t next)
{
	const RegDesc *reg = &cet_registers[index];
	bool control = index == CET_U_CET || index == CET_S_CET;
	uint64_t other = !control ? 0x4000 : subject->set->features & CET_FEATURE_SHSTK ? 1 : 4;

	if (subject->held[index] == next)
		ask_kvm(&subject->ways[0], reg, next == 0 ? other : 0, &subject->held[index]);
}

/* To userspace, a value that KVM keeps is one like the other. */
static RegVerdict as_kvm_shows_it(RegVerdict verdict)
{
	return verdict == REG_ACCEPTS ? REG_OK : verdict;
}

static bool try_one(Proof *proof, Subject *subject, CetReg index, uint64_t value)
{
	const RegDesc *reg = &cet_registers[index];
	RegVerdict verdict = cet_verdict(index, value, &subject->guest, &proof->host);
	unsigned way = !reg->msr || proof->tried / 32 % 2;
	RegVerdict found;

	proof->tried++;
	proof->counts[verdict]++;
	make_room(subject, index, value);
	found = ask_kvm(&subject->ways[way], reg, value, &subject->held[index]);
	if (found == as_kvm_shows_it(verdict))
		return true;
	proof->mismatches++;
	printf("MISMATCH cet_proof --one %s %s 0x%llx: the table says %s, %s %s\n",
	       subject->set->name, reg->name, (unsigned long long)value, cet_verdict_name(verdict),
	       way_names[way],
	       found == REG_REFUSES ? "refuses"
	       : found == REG_LOSES ? "succeeds and loses it"
				    : "succeeds and keeps it");
	return false;
}

static void try_everywhere(Proof *proof, uint64_t value)
{
	for (unsigned set = 0; set < N_SETS; set++)
		for (unsigned reg = 0; reg < CET_N_REGS; reg++)
			if (proof->mismatches < MAX_PRINTED)
				try_one(proof, &proof->subjects[set], (CetReg)reg, value);
}

/* Every bit, every edge of an address, every combination of control bits. */
static void try_structured(Proof *proof)
{
	static const int spread = 6;

	for (unsigned bit = 0; bit < 64; bit++) {
		try_everywhere(proof, 1ULL << bit);
		try_everywhere(proof, ~0ULL << bit);
		try_everywhere(proof, ~0ULL >> bit);
		for (int near = -spread; near <= spread; near++)
			if (bit >= 46 && bit <= 57)
				try_everywhere(proof, (1ULL << bit) + (uint64_t)near);
	}
	for (uint64_t bits = 0; bits < 1 << 14; bits++)
		for (unsigned set = 0; set < N_SETS; set++)
			if (proof->mismatches < MAX_PRINTED)
				try_one(proof, &proof->subjects[set],
					(bits ^ bits >> 7) & 1 ? CET_U_CET : CET_S_CET, bits);
}

static int prove(Proof *proof, uint64_t seed, unsigned long n)
{
	CetValues values = {seed};

	printf("seed %llu, %lu values\n", (unsigned long long)seed, n);
	try_structured(proof);
	while (proof->tried < n && proof->mismatches < MAX_PRINTED) {
		uint64_t value = cet_values_next(&values);
		uint64_t where = cet_values_random(&values);

		try_one(proof, &proof->subjects[where % N_SETS], where >> 8 & 7, value);
	}
	for (unsigned verdict = REG_OK; verdict <= REG_REFUSES; verdict++)
		printf("%-18s %lu\n", cet_verdict_name((RegVerdict)verdict),
		       proof->counts[verdict]);
	printf("%lu values, %lu mismatches\n", proof->tried, proof->mismatches);
	return proof->mismatches ? EXIT_MISMATCH : EXIT_PROVEN;
}

static int prove_one(Proof *proof, char **words)
{
	const RegDesc *reg = cet_register_find(words[1]);
	uint64_t value = strtoull(words[2], NULL, 0);

	for (unsigned i = 0; i < N_SETS && reg; i++) {
		CetReg index = (CetReg)(reg - cet_registers);

		if (strcmp(feature_sets[i].name, words[0]) != 0)
			continue;
		/* By both ways: the second one finds the value there, and makes room. */
		for (proof->tried = 0; proof->tried < 64; proof->tried += 31)
			if (!try_one(proof, &proof->subjects[i], index, value))
				return EXIT_MISMATCH;
		printf("same: %s\n",
		       cet_verdict_name(
			       cet_verdict(index, value, &proof->subjects[i].guest, &proof->host)));
		return EXIT_PROVEN;
	}
	fprintf(stderr, "cet_proof: no feature set %s or no register %s\n", words[0], words[1]);
	return EXIT_TROUBLE;
}

static bool ignores_msrs(void)
{
	FILE *file = fopen("/sys/module/kvm/parameters/ignore_msrs", "r");
	int first = file ? fgetc(file) : 'N';

	if (file)
		fclose(file);
	return first == 'Y' || first == '1';
}

int main(int argc, char **argv)
{
	static Cpuid supported = {.list.nent = 512};
	static Proof proof;
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	uint64_t seed = (uint64_t)time(NULL);
	unsigned long n = 500000;

	if (kvm < 0 || ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &supported) < 0)
		die("/dev/kvm");
	proof.host = cet_cpuid_features(&supported.list);
	proof.host.ignores_msrs = ignores_msrs();
	if (!(proof.host.features & CET_FEATURE_SHSTK) ||
	    !(proof.host.features & CET_FEATURE_IBT)) {
		fprintf(stderr, "cet_proof: this KVM does not offer CET\n");
		return EXIT_TROUBLE;
	}
	for (unsigned i = 0; i < N_SETS; i++)
		subject_init(&proof.subjects[i], &feature_sets[i], kvm, &supported);

	/* The first of the feature sets has all there is. */
	if (cet_traits(proof.subjects[0].ways[0].fd, &proof.subjects[0].guest, &proof.host.traits) <
	    0)
		die("cet_traits");
	if (argc > 2 && strcmp(argv[1], "--kvm") == 0) {
		uint32_t traits;

		if (!kvm_rules_find(argv[2], &traits) || traits != proof.host.traits) {
			fprintf(stderr, "cet_proof: this is not %s: its traits are 0x%x\n", argv[2],
				proof.host.traits);
			return EXIT_TROUBLE;
		}
		argc -= 2;
		argv += 2;
	}
	if (argc == 5 && strcmp(argv[1], "--one") == 0)
		return prove_one(&proof, argv + 2);
	for (int i = 1; i < argc; i += 2) {
		if (i + 1 < argc && strcmp(argv[i], "--seed") == 0)
			seed = strtoull(argv[i + 1], NULL, 0);
		else if (i + 1 < argc && strcmp(argv[i], "--values") == 0)
			n = strtoul(argv[i + 1], NULL, 0);
		else {
			fprintf(stderr, "cet_proof: see its source for its arguments\n");
			return EXIT_TROUBLE;
		}
	}
	return prove(&proof, seed, n);
}
