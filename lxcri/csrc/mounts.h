/* Mounts, and files below the root. */
#ifndef LXCRI_MOUNTS_H
#define LXCRI_MOUNTS_H

#include "channel.h"
#include "paths.h"
#include "reader.h"

/* From linux/mount.h of the C library's side. */
#define MS_RDONLY 1

#define MNT_DETACH_FLAG 2
#define UMOUNT_NOFOLLOW_FLAG 8

#define PROC_SUPER_MAGIC 0x9fa0
#define DEVPTS_SUPER_MAGIC 0x1cd1

static int open_tree_at(int fd, bool recursive)
{
	return (int)SYS(open_tree, fd, "",
			OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), 0, 0, 0);
}

static long set_attributes(int fd, uint64_t set, uint64_t clear, uint64_t propagation, bool recursive)
{
	struct mount_attr attributes = { .attr_set = set, .attr_clr = clear, .propagation = propagation };

	return SYS(mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
		   sizeof(attributes), 0);
}

static long attach(int tree, int target)
{
	return SYS(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH, 0);
}

/* mount(2) on the directory itself, not on a path that could have changed: "." is where fchdir went. */
static long mount_on(int target, const char *source, const char *type, uint64_t flags, const char *data)
{
	if (length(data) >= PATH_MAX_BYTES) /* the kernel cuts them at a page, and mounts something else */
		fail(0, "the mount options are longer than 4095 bytes");
	check(SYS(fchdir, target, 0, 0, 0, 0, 0), "mount target");
	return SYS(mount, source, ".", type, flags, *data ? data : NULL, 0);
}

static bool is_directory(int fd)
{
	struct statx st;

	check(sys_statx(fd, "", AT_EMPTY_PATH, &st), "stat");
	return (st.stx_mode & S_IFMT) == S_IFDIR;
}

static void copy_file(int from, int to, const char *name, const struct statx *st)
{
	int in = sys_openat2(from, name, O_RDONLY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
	int out = sys_openat2(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH);
	long n;

	check(in, "tmpcopyup");
	check(out, "tmpcopyup");
	do
		n = check(SYS(sendfile, out, in, NULL, 1 << 20, 0, 0), "tmpcopyup");
	while (n > 0);
	check(SYS(fchown, out, st->stx_uid, st->stx_gid, 0, 0, 0), "tmpcopyup");
	check(SYS(fchmod, out, st->stx_mode & 07777, 0, 0, 0, 0), "tmpcopyup");
	sys_close(in);
	sys_close(out);
}

static void set_times(int dir, const char *name, const struct statx *st)
{
	struct timespec_ times[2] = { { st->stx_atime.tv_sec, st->stx_atime.tv_nsec },
				      { st->stx_mtime.tv_sec, st->stx_mtime.tv_nsec } };

	SYS(utimensat, dir, name, times, AT_SYMLINK_NOFOLLOW, 0, 0);
}

/* Copy what the directory `from` holds into `to`, with owners, modes and times. */
static void copy_directory(int from, int to, unsigned int depth)
{
	char buffer[2048];
	long n;

	if (depth > 64)
		fail(-ELOOP, "tmpcopyup");
	while ((n = check(SYS(getdents64, from, buffer, sizeof(buffer), 0, 0, 0), "tmpcopyup")) > 0)
		for (long at = 0; at < n; at += ((struct dirent64_ *)(buffer + at))->reclen) {
			const char *name = ((struct dirent64_ *)(buffer + at))->name;
			struct statx st;

			if (equal(name, ".") || equal(name, ".."))
				continue;
			check(sys_statx(from, name, AT_SYMLINK_NOFOLLOW, &st), "tmpcopyup");
			switch (st.stx_mode & S_IFMT) {
			case S_IFDIR: {
				int in = sys_openat2(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
				int out;

				check(in, "tmpcopyup");
				check(SYS(mkdirat, to, name, 0700, 0, 0, 0), "tmpcopyup");
				out = sys_openat2(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE_BENEATH);
				check(out, "tmpcopyup");
				copy_directory(in, out, depth + 1);
				check(SYS(fchown, out, st.stx_uid, st.stx_gid, 0, 0, 0), "tmpcopyup");
				check(SYS(fchmod, out, st.stx_mode & 07777, 0, 0, 0, 0), "tmpcopyup");
				sys_close(in);
				sys_close(out);
				break;
			}
			case S_IFREG:
				copy_file(from, to, name, &st);
				break;
			case S_IFLNK: {
				char link[PATH_MAX_BYTES];
				long got = check(SYS(readlinkat, from, name, link, sizeof(link) - 1, 0, 0), "tmpcopyup");

				link[got] = '\0';
				check(SYS(symlinkat, link, to, name, 0, 0, 0), "tmpcopyup");
				check(SYS(fchownat, to, name, st.stx_uid, st.stx_gid, AT_SYMLINK_NOFOLLOW, 0), "tmpcopyup");
				break;
			}
			default: /* devices, pipes, sockets */
				check(SYS(mknodat, to, name, st.stx_mode,
					  (st.stx_rdev_minor & 0xff) | st.stx_rdev_major << 8 | (st.stx_rdev_minor & ~0xffU) << 12,
					  0, 0),
				      "tmpcopyup");
				check(SYS(fchownat, to, name, st.stx_uid, st.stx_gid, AT_SYMLINK_NOFOLLOW, 0), "tmpcopyup");
			}
			set_times(to, name, &st);
		}
}

/* A new file system. A tmpfs over an existing directory takes its mode, unless the data say another. */
static void op_mount(const struct instruction *in, bool copy_up)
{
	const char *type = in->argument[0].string, *path = in->argument[2].string, *data = in->argument[4].string;
	static struct text with_mode;
	struct statx st;
	bool made;
	int target = make_directory(path, &made), old = -1, new;

	check(target, "mount target");
	if (equal(type, "tmpfs") && !made) {
		check(sys_statx(target, "", AT_EMPTY_PATH, &st), "mount target");
		if (length(data) + 16 > sizeof(with_mode.s))
			fail(0, "the mount options are too long");
		with_mode.n = 0;
		add(&with_mode, "mode=");
		add_number(&with_mode, st.stx_mode & 07777, 8);
		if (*data) {
			add(&with_mode, ",");
			add(&with_mode, data);
		}
		data = with_mode.s;
	}
	if (copy_up)
		old = (int)check(sys_openat2(target, ".", O_RDONLY | O_DIRECTORY, 0, RESOLVE_BENEATH), "tmpcopyup");
	check(mount_on(target, in->argument[1].string, type, in->argument[3].number, data), "mount");
	if (copy_up) {
		new = (int)check(open_below(path, O_RDONLY | O_DIRECTORY), "tmpcopyup");
		copy_directory(old, new, 0);
		sys_close(old);
		sys_close(new);
	}
	sys_close(target);
}

/* Since Linux 6.8 mountinfo lists mounts by their age. Put a new copy of the tree on target in its place, or those that
 * the runtime took early come before all that the spec has before them. */
static void renew(int tree, int target)
{
	int copy = (int)check(open_tree_at(tree, true), "mount");

	check(SYS(fchdir, tree, 0, 0, 0, 0, 0), "mount");
	check(SYS(umount2, ".", MNT_DETACH_FLAG, 0, 0, 0, 0), "mount");
	check(attach(copy, target), "mount");
	sys_close(copy);
}

/* A tree that the runtime took from the host, put on a directory or on a file, as it is one itself. */
static void op_move(const struct instruction *in)
{
	int tree = descriptor(in->argument[0].number);
	const char *path = in->argument[1].string;
	bool directory = is_directory(tree);
	int target = directory ? make_directory(path, NULL) : make_file(path);

	check(target, "mount target");
	if (!directory && is_directory(target))
		fail(-ENOTDIR, "a file cannot be mounted on a directory");
	check(attach(tree, target), "mount");
	if (directory)
		renew(tree, target);
	sys_close(target);
	sys_close(tree);
}

static void op_detach(const struct instruction *in);

/* Put a copy in the place of what liblxc mounted early: the mounts then are in the order of the spec. */
static void op_reattach(const struct instruction *in)
{
	int fd = (int)check(open_below(in->argument[0].string, O_PATH | O_DIRECTORY), "open");
	int tree = (int)check(open_tree_at(fd, false), "open");

	sys_close(fd);
	check(set_attributes(tree, in->argument[1].number, in->argument[2].number, 0, false), "mount options");
	op_detach(in);
	fd = (int)check(open_below(in->argument[0].string, O_PATH | O_DIRECTORY), "mount target");
	check(attach(tree, fd), "mount");
	sys_close(fd);
	sys_close(tree);
}

static void op_attributes(const struct instruction *in)
{
	int fd = (int)check(open_below(in->argument[0].string, O_PATH), "mount options");

	check(set_attributes(fd, in->argument[1].number, in->argument[2].number, 0, in->argument[3].number), "mount options");
	sys_close(fd);
}

static void op_propagation(const struct instruction *in)
{
	int fd = (int)check(open_below(in->argument[0].string, O_PATH), "propagation");

	check(set_attributes(fd, 0, 0, in->argument[1].number, in->argument[2].number), "propagation");
	sys_close(fd);
}

static void op_detach(const struct instruction *in)
{
	const char *last;
	int dir = (int)check(open_parent(in->argument[0].string, false, &last), "unmount");

	check(SYS(fchdir, dir, 0, 0, 0, 0, 0), "unmount");
	check(SYS(umount2, last, MNT_DETACH_FLAG | UMOUNT_NOFOLLOW_FLAG, 0, 0, 0, 0), "unmount");
	sys_close(dir);
}

/* Without a mount namespace of its own the container is in the runtime's, where none of its mounts may be seen: its
 * root is a copy of the tree that is attached nowhere, and is gone with the last process in it. */
static void op_leave_mount_namespace(const struct instruction *in)
{
	int tree = (int)check(open_tree_at(root_fd, true), "root");

	check(SYS(setns, descriptor(in->argument[0].number), CLONE_NEWNS, 0, 0, 0, 0), "setns");
	check(SYS(fchdir, tree, 0, 0, 0, 0, 0), "root");
	check(SYS(chroot, ".", 0, 0, 0, 0, 0), "chroot");
	sys_close(root_fd);
	root_fd = (int)check(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), "root");
	sys_close(tree);
	sys_close(descriptor(in->argument[0].number));
}

static bool missing(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR;
}

static void op_mask(const struct instruction *in)
{
	int target = open_below(in->argument[0].string, O_PATH);
	struct statx st;
	int null, tree;

	if (missing(target))
		return;
	check(target, "open");
	if (is_directory(target)) {
		check(mount_on(target, "tmpfs", "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1"), "mount");
	} else {
		/* the image may have put anything at this path: only the real one hides what is below */
		null = (int)check(open_below("dev/null", O_PATH | O_NOFOLLOW), "/dev/null");
		check(sys_statx(null, "", AT_EMPTY_PATH, &st), "/dev/null");
		if ((st.stx_mode & S_IFMT) != S_IFCHR || !same_device(&st, DEV_NULL_MAJOR, DEV_NULL_MINOR))
			fail(0, "/dev/null is not the null device");
		tree = (int)check(open_tree_at(null, false), "/dev/null");
		check(attach(tree, target), "mount");
		sys_close(null);
		sys_close(tree);
	}
	sys_close(target);
}

/* Whether this is the root directory, which nothing can be mounted over. */
static bool is_root(int fd)
{
	struct statx st, root;

	check(sys_statx(fd, "", AT_EMPTY_PATH, &st), "stat");
	check(sys_statx(root_fd, "", AT_EMPTY_PATH, &root), "root");
	return st.stx_mnt_id == root.stx_mnt_id && st.stx_ino == root.stx_ino;
}

static void op_readonly(const struct instruction *in)
{
	int target = open_below(in->argument[0].string, O_PATH), tree;

	if (missing(target))
		return;
	check(target, "open");
	if (is_root(target)) {
		check(set_attributes(target, MOUNT_ATTR_RDONLY, 0, 0, false), "mount options");
	} else {
		tree = (int)check(open_tree_at(target, true), "open");
		check(set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, false), "mount options");
		check(attach(tree, target), "mount");
		sys_close(tree);
	}
	sys_close(target);
}

static void op_mknod(const struct instruction *in)
{
	uint64_t mode = in->argument[1].number, device = in->argument[2].number;
	const char *last;
	struct statx st;
	int dir = (int)check(open_parent(in->argument[0].string, true, &last), "mknod");
	long err = SYS(mknodat, dir, last, mode, device, 0, 0);

	if (err == -EEXIST) {
		check(sys_statx(dir, last, AT_SYMLINK_NOFOLLOW, &st), "mknod");
		if ((st.stx_mode & S_IFMT) != (mode & S_IFMT) ||
		    ((mode & S_IFMT) != S_IFIFO &&
		     !same_device(&st, (unsigned int)(device >> 8 & 0xfff), (unsigned int)((device & 0xff) | (device >> 12 & 0xfff00)))))
			fail(err, "mknod");
	} else {
		check(err, "mknod");
		check(SYS(fchownat, dir, last, in->argument[3].number, in->argument[4].number, AT_SYMLINK_NOFOLLOW, 0), "chown");
	}
	sys_close(dir);
}

static void op_symlink(const struct instruction *in, bool replace)
{
	const char *last;
	int dir;
	long err;

	if (!replace && *in->argument[2].string) {
		int fd = open_below(in->argument[2].string, O_PATH);

		if (missing(fd))
			return;
		sys_close((int)check(fd, "open"));
	}
	dir = (int)check(open_parent(in->argument[1].string, true, &last), "symlink");
	if (replace) {
		err = SYS(unlinkat, dir, last, 0, 0, 0, 0);
		if (err < 0 && err != -ENOENT)
			fail(err, "symlink");
	}
	err = SYS(symlinkat, in->argument[0].string, dir, last, 0, 0, 0);
	if (err < 0 && (replace || err != -EEXIST))
		fail(err, "symlink");
	sys_close(dir);
}

#endif
