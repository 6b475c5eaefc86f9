// SPDX-License-Identifier: MIT
/*
 * KVM pairs its clock with the host's TSC (KVM_CLOCK_HOST_TSC): at a save each TSC is
 * reckoned to the moment of that pair, at a load the clock is set first, read again as
 * such a pair, and each TSC set to where it must stand at that very moment
 * (Documentation/virt/kvm/devices/vcpu.rst, section 4.1).
 *
 * TSCs are set by their offset (Linux 5.16). Before that there is but a write of the MSR,
 * and exactly one: a second one that comes within a second of guest time KVM takes for an
 * attempt to synchronize vCPUs and replaces by its own idea (kvm_synchronize_tsc() in
 * arch/x86/kvm/x86.c). For the same reason vCPUs whose TSCs were equal come out equal.
 */
#include "machine/clock.h"

#include "base/error.h"
#include "kvm/kvm_state.h"

#include <time.h>
#include <x86intrin.h>

#define TSC_READINGS  5u
#define MSR_TSC	      0x10
#define NS_PER_SECOND 1000000000ULL
#define NS_PER_MS     1000000ULL
/* Within this much of the host's frequency KVM takes the guest's for the same (tsc_tolerance_ppm).
 */
#define TOLERATED_PPM 250

/* value * khz / per, without overflow in between. */
static uint64_t scale(uint64_t value, uint64_t khz, uint64_t per)
{
	return per ? (uint64_t)((unsigned __int128)value * khz / per) : value;
}

static uint64_t real_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static bool get_moment(const KvmVm *vm, uint32_t host_khz, struct kvm_clock_data *ret_clock,
		       ClockMoment *ret_moment, GError **error)
{
	if (!kvm_vm_get_clock(vm, ret_clock, error))
		return false;
	*ret_moment = (ClockMoment){
		.ns = ret_clock->clock,
		.host_tsc = ret_clock->flags & KVM_CLOCK_HOST_TSC ? ret_clock->host_tsc : __rdtsc(),
		.host_khz = host_khz,
	};
	return true;
}

bool clock_save(const KvmVm *vm, uint32_t host_khz, struct kvm_clock_data *ret_clock,
		ClockMoment *ret_moment, GError **error)
{
	if (!get_moment(vm, host_khz, ret_clock, ret_moment, error))
		return false;
	if (!(ret_clock->flags & KVM_CLOCK_REALTIME)) {
		ret_clock->realtime = real_time();
		ret_clock->flags |= KVM_CLOCK_REALTIME;
	}
	return true;
}

bool clock_load(KvmVm *vm, uint32_t host_khz, const struct kvm_clock_data *clock, MachineClock mode,
		ClockMoment *ret_moment, GError **error)
{
	struct kvm_clock_data set = {.clock = clock->clock}, now;

	if (mode == MACHINE_CLOCK_GOES_ON && clock->flags & KVM_CLOCK_REALTIME) {
		int flags = kvm_system_extension(vm->system, KVM_CAP_ADJUST_CLOCK);
		uint64_t real = real_time();

		/* As KVM does it where it can: never backwards. */
		if (flags & KVM_CLOCK_REALTIME) {
			set.realtime = clock->realtime;
			set.flags = KVM_CLOCK_REALTIME;
		} else if (real > clock->realtime) {
			set.clock += real - clock->realtime;
		}
	}
	if (!kvm_vm_set_clock(vm, &set, error) ||
	    !get_moment(vm, host_khz, &now, ret_moment, error))
		return false;
	ret_moment->elapsed_ns = now.clock > clock->clock ? now.clock - clock->clock : 0;
	return true;
}

/* The guest's TSC now, and the host's at (nearly) the same time. */
static bool read_tsc_once(const KvmVcpu *vcpu, uint64_t *ret_guest, GError **error)
{
	struct kvm_msr_entry tsc = {.index = MSR_TSC};
	unsigned done;

	if (!kvm_vcpu_get_msrs(vcpu, &tsc, 1, &done, error))
		return false;
	*ret_guest = tsc.data;
	return done == 1 || umbra_fail(error, UMBRA_ERROR_FAILED,
				       "vcpu %u: KVM does not let the TSC be read", vcpu->id);
}

/*
 * On a busy host this thread may lose its CPU between the two readings, for milliseconds: the
 * closest pair of some counts.
 */
static bool read_tsc(const KvmVcpu *vcpu, uint64_t *ret_guest, uint64_t *ret_host, GError **error)
{
	uint64_t closest = UINT64_MAX, guest;

	for (unsigned i = 0; i < TSC_READINGS; i++) {
		uint64_t before = __rdtsc();

		if (!read_tsc_once(vcpu, &guest, error))
			return false;
		uint64_t took = __rdtsc() - before;

		if (took >= closest)
			continue;
		closest = took;
		*ret_guest = guest;
		*ret_host = before + took / 2;
	}
	return true;
}

/*
 * The host's TSC at the moment as this guest sees it, before its offset. At the host's own
 * frequency that is exact; else KVM's factor is not told, and it is measured, once for
 * all vCPUs, so that what it is off by is the same for each.
 */
static bool find_scaled(ClockMoment *moment, const KvmVcpu *vcpu, uint32_t khz, GError **error)
{
	uint64_t guest, host, offset;

	if (moment->has_scaled)
		return true;
	if (khz == moment->host_khz) {
		moment->scaled_tsc = moment->host_tsc;
	} else {
		if (!kvm_vcpu_get_tsc_offset(vcpu, &offset, error) ||
		    !read_tsc(vcpu, &guest, &host, error))
			return false;
		moment->scaled_tsc =
			guest - offset - scale(host - moment->host_tsc, khz, moment->host_khz);
	}
	moment->has_scaled = true;
	return true;
}

bool clock_save_tsc(ClockMoment *moment, const KvmVcpu *vcpu, VcpuState *state, GError **error)
{
	uint32_t khz = state->tsc_khz;
	uint64_t guest, host;

	if (kvm_vcpu_has_tsc_offset(vcpu)) {
		if (!find_scaled(moment, vcpu, khz, error) ||
		    !kvm_vcpu_get_tsc_offset(vcpu, &state->tsc, error))
			return false;
		state->tsc += moment->scaled_tsc;
		return true;
	}
	if (!read_tsc(vcpu, &guest, &host, error))
		return false;
	state->tsc = guest - scale(host - moment->host_tsc, khz, moment->host_khz);
	return true;
}

/*
 * Some KVM take an offset and keep their own. A guest whose TSC merely ran on
 * meanwhile can live with that; one whose TSC runs backwards cannot.
 */
static bool check_not_backwards(const ClockMoment *moment, const KvmVcpu *vcpu, uint64_t wanted,
				uint32_t khz, GError **error)
{
	uint64_t guest, host;

	if (!read_tsc(vcpu, &guest, &host, error))
		return false;
	wanted += scale(host - moment->host_tsc, khz, moment->host_khz);
	if (guest + khz >= wanted) /* a millisecond for the measurement */
		return true;
	return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
			  "vcpu %u: this host's KVM does not let the guest's TSC be set: it would "
			  "run backwards, from %#lx to %#lx",
			  vcpu->id, wanted, guest);
}

bool clock_load_tsc(ClockMoment *moment, KvmVcpu *vcpu, const VcpuState *state, GError **error)
{
	uint32_t khz = state->tsc_khz;
	uint64_t wanted = state->tsc + scale(moment->elapsed_ns, khz, NS_PER_MS);

	if (kvm_vcpu_has_tsc_offset(vcpu)) {
		uint64_t offset, found;

		if (!find_scaled(moment, vcpu, khz, error))
			return false;
		offset = wanted - moment->scaled_tsc;
		if (!kvm_vcpu_set_tsc_offset(vcpu, offset, error) ||
		    !kvm_vcpu_get_tsc_offset(vcpu, &found, error))
			return false;
		return found == offset || check_not_backwards(moment, vcpu, wanted, khz, error);
	}
	struct kvm_msr_entry tsc = {
		.index = MSR_TSC,
		.data = wanted + scale(__rdtsc() - moment->host_tsc, khz, moment->host_khz),
	};

	return kvm_vcpu_set_msrs(vcpu, &tsc, 1, error) &&
	       check_not_backwards(moment, vcpu, wanted, khz, error);
}

bool clock_load_tsc_khz(const KvmSystem *system, uint32_t host_khz, KvmVcpu *vcpu, uint32_t khz,
			GError **error)
{
	uint64_t off = khz > host_khz ? khz - host_khz : host_khz - khz;

	if (khz == host_khz)
		return true;
	if (khz == 0)
		return umbra_fail(error, UMBRA_ERROR_INPUT, "vcpu %u: tsc-khz is 0", vcpu->id);
	/* Without scaling KVM would go on at the host's frequency and call that a success. */
	if (!kvm_system_extension(system, KVM_CAP_TSC_CONTROL) &&
	    off * 1000000 > (uint64_t)host_khz * TOLERATED_PPM)
		return umbra_fail(error, UMBRA_ERROR_INCOMPATIBLE,
				  "vcpu %u: the guest's TSC runs at %u kHz, and this host's at %u "
				  "kHz and cannot be scaled",
				  vcpu->id, khz, host_khz);
	return kvm_vcpu_set_tsc_khz(vcpu, khz, error);
}
