// SPDX-License-Identifier: MIT
#include "kvm/kvm.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool open_failed(const char *path, int saved_errno, GError **error)
{
	switch (saved_errno) {
	case ENOENT:
	case ENOTDIR:
	case ENODEV:
	case ENXIO:
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "no KVM here: %s: %s (load kvm_intel or kvm_amd; in a virtual "
				  "machine, enable nested virtualization)",
				  path, g_strerror(saved_errno));
	case EACCES:
	case EPERM:
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
				  "no permission to use %s: %s (add yourself to the group that "
				  "owns it, usually kvm)",
				  path, g_strerror(saved_errno));
	default:
		return umbra_fail(error, UMBRA_ERROR_UNSUPPORTED, "cannot open %s: %s", path,
				  g_strerror(saved_errno));
	}
}

bool kvm_system_init(KvmSystem *system, const char *path, GError **error)
{
	*system = (KvmSystem){.fd = open(path, O_RDWR | O_CLOEXEC)};
	if (system->fd < 0)
		return open_failed(path, errno, error);

	int version = ioctl(system->fd, KVM_GET_API_VERSION, 0);
	int size = version == KVM_API_VERSION ? ioctl(system->fd, KVM_GET_VCPU_MMAP_SIZE, 0) : -1;

	if (size < (int)sizeof(struct kvm_run)) {
		umbra_fail(error, UMBRA_ERROR_UNSUPPORTED,
			   "%s is not a KVM that umbra can use: API version %d, expected %d", path,
			   version, KVM_API_VERSION);
		kvm_system_finish(system);
		return false;
	}
	system->run_size = (size_t)size;
	return true;
}

void kvm_system_finish(KvmSystem *system)
{
	if (system->fd >= 0)
		close(system->fd);
	system->fd = -1;
}

int kvm_system_extension(const KvmSystem *system, int capability)
{
	int value = ioctl(system->fd, KVM_CHECK_EXTENSION, capability);

	return MAX(value, 0);
}

struct kvm_cpuid2 *kvm_system_cpuid(const KvmSystem *system, GError **error)
{
	/* KVM reports E2BIG until the list fits; kernels know some hundred entries. */
	for (unsigned n = 128; n <= 4096; n *= 2) {
		g_autofree struct kvm_cpuid2 *cpuid =
			g_malloc0(sizeof(*cpuid) + n * sizeof(cpuid->entries[0]));

		cpuid->nent = n;
		if (ioctl(system->fd, KVM_GET_SUPPORTED_CPUID, cpuid) == 0)
			return g_steal_pointer(&cpuid);
		if (errno != E2BIG)
			break;
	}
	umbra_fail_errno(error, errno, "KVM_GET_SUPPORTED_CPUID");
	return NULL;
}
