/* What linux.h declares. The kernel's newest calls go by number: the C library at build time may not know them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/nsfs.h>

static int result(long ret)
{
	return ret < 0 ? -errno : (int)ret;
}

static int linux_unshare(uint64_t flags)
{
	return result(unshare((int)flags));
}

static int linux_setns(int fd, int type)
{
	return result(setns(fd, type));
}

static int linux_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data)
{
	return result(mount(source, target, type, flags, data));
}

static int linux_umount2(const char *target, int flags)
{
	return result(umount2(target, flags));
}

static int linux_open_tree(int dir, const char *path, unsigned int flags)
{
	return result(syscall(SYS_open_tree, dir, path, flags));
}

static int linux_mount_setattr(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear,
			       uint64_t propagation, uint64_t userns_fd)
{
	uint64_t attributes[4] = { set, clear, propagation, userns_fd }; /* struct mount_attr */

	return result(syscall(SYS_mount_setattr, dir, path, flags, attributes, sizeof(attributes)));
}

static int linux_move_mount(int fd, int target)
{
	/* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */
	return result(syscall(SYS_move_mount, fd, "", target, "", 0x04 | 0x40));
}

static int linux_close_range(unsigned int first, unsigned int last, unsigned int flags)
{
	return result(syscall(SYS_close_range, first, last, flags));
}

static int linux_pidfd_getfd(int pidfd, int fd)
{
	return result(syscall(SYS_pidfd_getfd, pidfd, fd, 0));
}

static int linux_prctl(int option, unsigned long a, unsigned long b)
{
	return result(prctl(option, a, b, 0UL, 0UL));
}

static int linux_namespace_type(int fd)
{
	return result(ioctl(fd, NS_GET_NSTYPE));
}

static int linux_clearenv(void)
{
	return result(clearenv());
}
