// SPDX-License-Identifier: MIT
/*
 * KVMs differ in what they take (kernel/README.md tells why), and none says which it is: so it
 * is tried out. Through s_cet, which KVM only keeps for the next entry; u_cet it would write to
 * the CPU at once, and mainline warns in the host's log of what the CPU refuses there.
 */
#include "cet/registers.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#define CR0_WP	      (1ULL << 16)
#define CR4_CET	      (1ULL << 23)
#define NOT_CANONICAL (1ULL << 63) /* aligned as mainline wants it */
#define NOT_ALIGNED   (1ULL << 12) /* to mainline's 16 KiB */

const char *const cet_trait_names[CET_N_TRAITS] = {
	"refuses-noncanonical-bitmap",
	"takes-any-bitmap-page",
	"refuses-cet-without-wp",
};

/* 1 if KVM took the value, 0 if it refused it, -errno. */
static int s_cet_takes(const RegIo *io, uint64_t value)
{
	return io->set(io->self, &cet_registers[CET_S_CET].one_reg, &value, 1);
}

static int sregs_take_cet_without_wp(int vcpu_fd)
{
	struct kvm_sregs held, tried;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &held) < 0)
		return -errno;
	tried = held;
	tried.cr0 &= ~CR0_WP;
	tried.cr4 |= CR4_CET;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &tried) < 0)
		return errno == EINVAL ? 0 : -errno;
	return ioctl(vcpu_fd, KVM_SET_SREGS, &held) < 0 ? -errno : 1;
}

int cet_traits(int vcpu_fd, const CetCpu *guest, uint32_t *ret_traits)
{
	CetVcpu way = {.fd = vcpu_fd};
	RegIo io = cet_vcpu_io(&way);
	uint64_t held;
	int far, near, back, control;

	*ret_traits = 0;
	if (!(guest->features & CET_FEATURE_IBT))
		return 0;
	if (io.get(io.self, &cet_registers[CET_S_CET].one_reg, &held, 1) != 1)
		return -EINVAL;
	far = s_cet_takes(&io, NOT_CANONICAL);
	near = s_cet_takes(&io, NOT_ALIGNED);
	back = s_cet_takes(&io, held);
	control = sregs_take_cet_without_wp(vcpu_fd);
	if (far < 0 || near < 0 || back < 0 || control < 0)
		return far < 0 ? far : near < 0 ? near : back < 0 ? back : control;
	*ret_traits = (far ? 0 : CET_TRAIT_REFUSES_BITMAP) | (near ? CET_TRAIT_ANY_BITMAP : 0) |
		      (control ? 0 : CET_TRAIT_REFUSES_CET_WITHOUT_WP);
	return back ? 0 : -EINVAL;
}
