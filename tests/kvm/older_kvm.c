// SPDX-License-Identifier: MIT
/*
 * Runs a command for which KVM is older or worse than it is: by a seccomp filter, so that it
 * works on static programs, and on nothing that the command does not do itself.
 *
 *	older_kvm [--without CAPABILITY]… [--failing REQUEST=ERRNO]… -- COMMAND…
 *
 * All numbers as <linux/kvm.h> has them. KVM_CHECK_EXTENSION of the CAPABILITY says 0; any ioctl
 * of the REQUEST, on whatever file, fails.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(member)                                            \
	((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
				      offsetof(struct seccomp_data, member)))
/* Goes on with the next instruction if the loaded word is `value`, else skips `n`. */
#define UNLESS_SKIP(value, n) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n))
#define RETURN(action)	      ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action))

enum {
	RULE_LENGTH = 5,
	RULES_MAX = 32,
};

typedef struct Filter {
	struct sock_filter code[3 + RULES_MAX * RULE_LENGTH];
	unsigned short length;
} Filter;

static void die(const char *what)
{
	fprintf(stderr, "older_kvm: %s: %s\n", what, errno ? strerror(errno) : "see its source");
	exit(125);
}

static void add(Filter *filter, struct sock_filter instruction)
{
	if (filter->length == sizeof(filter->code) / sizeof(filter->code[0]))
		die("too many rules");
	filter->code[filter->length++] = instruction;
}

/* A call that "fails" with error 0 has succeeded, and returns 0. */
static void without(Filter *filter, uint32_t capability)
{
	add(filter, LOAD(args[1]));
	add(filter, UNLESS_SKIP(KVM_CHECK_EXTENSION, 3));
	add(filter, LOAD(args[2]));
	add(filter, UNLESS_SKIP(capability, 1));
	add(filter, RETURN(SECCOMP_RET_ERRNO | 0));
}

static void failing(Filter *filter, const char *rule)
{
	char *end;
	uint32_t request = (uint32_t)strtoul(rule, &end, 0);

	if (*end != '=')
		die(rule);
	add(filter, LOAD(args[1]));
	add(filter, UNLESS_SKIP(request, 1));
	add(filter, RETURN(SECCOMP_RET_ERRNO | (uint32_t)strtoul(end + 1, NULL, 0)));
}

int main(int argc, char **argv)
{
	Filter filter = {0};
	struct sock_fprog program = {.filter = filter.code};
	int i = 1;

	add(&filter, LOAD(nr));
	add(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 1, 0));
	add(&filter, RETURN(SECCOMP_RET_ALLOW));
	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		if (strcmp(argv[i], "--without") == 0)
			without(&filter, (uint32_t)strtoul(argv[i + 1], NULL, 0));
		else if (strcmp(argv[i], "--failing") == 0)
			failing(&filter, argv[i + 1]);
		else
			die(argv[i]);
	}
	add(&filter, RETURN(SECCOMP_RET_ALLOW));
	program.len = filter.length;
	if (i + 1 >= argc)
		die("no command");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		die("seccomp");
	execvp(argv[i + 1], argv + i + 1);
	die(argv[i + 1]);
}
