/* What linux.h declares. The kernel's newest calls go by number: the C library at build time may not know them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/bpf.h>
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

/* bpf(2). The kernel wants the members that a command does not use to be 0. */

static int bpf(int command, union bpf_attr *attributes)
{
	return result(syscall(SYS_bpf, command, attributes, sizeof(*attributes)));
}

static int linux_device_filter_load(const char *name, const uint8_t *instructions, unsigned int count)
{
	static const char license[] = "";
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insns = (uintptr_t)instructions,
		.insn_cnt = count,
		.license = (uintptr_t)license,
	};
	int tries = 100, ret;

	strncpy(attributes.prog_name, name, sizeof(attributes.prog_name) - 1);
	do /* the verifier gives up when a signal comes, SIGCHLD for one */
		ret = bpf(BPF_PROG_LOAD, &attributes);
	while (ret == -EAGAIN && tries--);
	return ret;
}

/* replaced: a program to put it in the place of, or -1 */
static int linux_device_filter_attach(int cgroup, int program, int replaced)
{
	union bpf_attr attributes = {
		.target_fd = cgroup,
		.attach_bpf_fd = program,
		.attach_type = BPF_CGROUP_DEVICE,
		.attach_flags = BPF_F_ALLOW_MULTI,
	};

	if (replaced >= 0) {
		attributes.attach_flags |= BPF_F_REPLACE;
		attributes.replace_bpf_fd = replaced;
	}
	return bpf(BPF_PROG_ATTACH, &attributes);
}

static int linux_device_filter_detach(int cgroup, int program)
{
	union bpf_attr attributes = {
		.target_fd = cgroup,
		.attach_bpf_fd = program,
		.attach_type = BPF_CGROUP_DEVICE,
	};

	return bpf(BPF_PROG_DETACH, &attributes);
}

/* Returns how many programs there are, of which at most count are in ids. */
static int linux_device_filter_ids(int cgroup, uint32_t *ids, unsigned int count)
{
	union bpf_attr attributes = {
		.query.target_fd = cgroup,
		.query.attach_type = BPF_CGROUP_DEVICE,
		.query.prog_ids = (uintptr_t)ids,
		.query.prog_cnt = count,
	};
	int ret = bpf(BPF_PROG_QUERY, &attributes);

	return ret < 0 && ret != -ENOSPC ? ret : (int)attributes.query.prog_cnt;
}

static int linux_program_open(uint32_t id)
{
	union bpf_attr attributes = { .prog_id = id };

	return bpf(BPF_PROG_GET_FD_BY_ID, &attributes);
}

/* name: BPF_OBJ_NAME_LEN (16) bytes */
static int linux_program_name(int program, char *name)
{
	struct bpf_prog_info info = { 0 };
	union bpf_attr attributes = {
		.info.bpf_fd = program,
		.info.info = (uintptr_t)&info,
		.info.info_len = sizeof(info),
	};
	int ret = bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes);

	memcpy(name, info.name, sizeof(info.name));
	return ret;
}
