/* The process: console, credentials, hooks, and the way into the user's program. */
#ifndef LXCRI_PROCESS_H
#define LXCRI_PROCESS_H

#include "channel.h"
#include "mounts.h"
#include "paths.h"
#include "reader.h"

#define NGROUPS_MAX 65536
#define SIGNALS 64
#define SIG_KILL 9
#define SIG_CHLD 17
#define SIG_IO 29

static const char *no_strings[] = { NULL };
static const char **arguments = no_strings, **environment = no_strings;
static size_t environment_count;
static const char *working_directory = "/";
static const char *executable; /* found when the container was created */
static int console_slave = -1;

struct sigaction_ {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

/* Python ignores SIGPIPE and SIGXFSZ, callers block or ignore others: the container starts with none of it. */
static void reset_signals(void)
{
	struct sigaction_ action = { 0 };
	uint64_t none = 0;

	for (int sig = 1; sig <= SIGNALS; sig++)
		SYS(rt_sigaction, sig, &action, NULL, NSIG_BYTES, 0, 0);
	SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, NSIG_BYTES, 0, 0);
}

static const char *variable(const char *name_and_equals)
{
	for (size_t i = 0; i < environment_count; i++)
		if (starts_with(environment[i], name_and_equals))
			return environment[i] + length(name_and_equals);
	return NULL;
}

static void op_arguments(const struct instruction *in)
{
	arguments = list_strings(&in->argument[0].list, 0);
	if (!arguments)
		fail(-ENOMEM, "arguments");
}

static void op_environment(const struct instruction *in)
{
	environment = list_strings(&in->argument[0].list, 1); /* one more for HOME */
	environment_count = in->argument[0].list.count;
	if (!environment)
		fail(-ENOMEM, "environment");
}

/* The field-th field of a passwd line, NUL-terminated in place. */
static char *passwd_field(char *line, unsigned int field)
{
	char *start = line;

	while (field--) {
		while (*start && *start != ':')
			start++;
		if (!*start++)
			return NULL;
	}
	for (char *end = start;; end++)
		if (!*end || *end == ':') {
			*end = '\0';
			return start;
		}
}

/* The user's home, in the image's own words; "/" where they do not tell. */
static const char *home_of(uint64_t uid)
{
	static char file[1 << 16], line[1024];
	struct statx st;
	int fd = open_below("etc/passwd", O_PATH);
	long n = 0;

	if (fd < 0)
		return "/";
	check(sys_statx(fd, "", AT_EMPTY_PATH, &st), "/etc/passwd");
	sys_close(fd);
	if ((st.stx_mode & S_IFMT) == S_IFREG) /* opening a device can have any effect */
		fd = open_below("etc/passwd", O_RDONLY | O_NOCTTY | O_NONBLOCK);
	else
		fd = -1;
	if (fd >= 0) {
		n = SYS(read, fd, file, sizeof(file) - 1, 0, 0, 0);
		sys_close(fd);
	}
	for (long at = 0; at < n;) {
		size_t len = 0;
		char *field;

		while (at + (long)len < n && file[at + (long)len] != '\n')
			len++;
		if (len < sizeof(line)) {
			memcpy(line, file + at, len);
			line[len] = '\0';
			field = passwd_field(line, 2);
			if (field && parse_number(field) >= 0 && (uint64_t)parse_number(field) == uid) {
				memcpy(line, file + at, len);
				line[len] = '\0';
				field = passwd_field(line, 5);
				if (field && *field == '/')
					return field;
				break;
			}
		}
		at += (long)len + 1;
	}
	return "/";
}

static void op_home(const struct instruction *in)
{
	static struct text home;

	if (environment == no_strings || environment[environment_count])
		fail(0, "no room in the environment");
	home.n = 0;
	add(&home, "HOME=");
	add(&home, home_of(in->argument[0].number));
	environment[environment_count] = home.s;
}

/* The kernel's own check of what execve would say of this file. */
static long executable_error(const char *path)
{
	struct statx st;
	long err = sys_statx(AT_FDCWD, path, 0, &st);

	if (err)
		return err;
	if ((st.stx_mode & S_IFMT) != S_IFREG || !(st.stx_mode & 0111))
		return -EACCES;
	return 0;
}

static void change_directory(void)
{
	static char where[PATH_MAX_BYTES];
	long n;

	check(SYS(chdir, working_directory, 0, 0, 0, 0, 0), "chdir");
	n = SYS(getcwd, where, sizeof(where), 0, 0, 0, 0);
	if (n < 0 || where[0] != '/') /* "(unreachable)": a descriptor or link led out of the root */
		fail(n < 0 ? n : 0, "the working directory is outside of the container");
}

/* Which file args[0] names, by PATH where it has no slash. The texts are those that engines look for. */
static void op_find_executable(void)
{
	static struct text path;
	const char *name = arguments[0], *at = variable("PATH=");

	if (!name)
		fail(0, "no arguments");
	for (const char *c = name; *c; c++)
		if (*c == '/') {
			long err = executable_error(name);

			if (err) {
				path.n = 0;
				add(&path, "exec: \"");
				add(&path, name);
				add(&path, err == -ENOENT || err == -ENOTDIR ? "\": stat " : "\"");
				if (err == -ENOENT || err == -ENOTDIR)
					add(&path, name);
				subject = "";
				fail(err, path.s);
			}
			executable = name;
			return;
		}
	while (at && *name) {
		path.n = 0;
		while (*at && *at != ':') {
			char c[2] = { *at++, '\0' };

			add(&path, c);
		}
		if (!path.n)
			add(&path, ".");
		add(&path, "/");
		add(&path, name);
		if (!executable_error(path.s)) {
			executable = path.s;
			return;
		}
		if (!*at++)
			break;
	}
	path.n = 0;
	add(&path, "exec: \"");
	add(&path, name);
	add(&path, "\": executable file not found in $PATH"); /* also where one without permission is, as runc says */
	subject = "";
	fail(0, path.s);
}

/* Ids without a mapping, read-only file systems, files of another user namespace: they stay as they are. */
static void give(int fd, uint64_t uid, uint64_t gid, const char *what)
{
	long err = SYS(fchown, fd, uid, gid, 0, 0, 0);

	if (err && err != -EINVAL && err != -EPERM && err != -EROFS)
		fail(err, what);
}

/* A pty of the container's own devpts: its master goes to the console socket, its slave is stdio. */
static void op_console(const struct instruction *in)
{
	struct winsize_ size = { .rows = (uint16_t)in->argument[1].number, .cols = (uint16_t)in->argument[2].number };
	struct statfs_ fs;
	struct text name = { .n = 0 };
	struct {
		struct cmsghdr_ header;
		int fd;
		int pad;
	} control = { .header = { sizeof(struct cmsghdr_) + sizeof(int), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec_ iov;
	struct msghdr_ message = { .iov = &iov, .iovlen = 1, .control = &control, .controllen = sizeof(control) };
	int zero = 0, number, master, tree, target;
	int pts = (int)check(open_below("dev/pts", O_PATH | O_DIRECTORY), "/dev/pts");

	check(SYS(fstatfs, pts, &fs, 0, 0, 0, 0), "/dev/pts");
	if (fs.type != DEVPTS_SUPER_MAGIC) /* opening what an image has there could have any effect */
		fail(0, "/dev/pts is not a devpts");
	master = (int)check(sys_openat2(pts, "ptmx", O_RDWR | O_NOCTTY, 0, RESOLVE_BENEATH), "/dev/pts/ptmx");
	sys_close(pts);
	check(SYS(ioctl, master, TIOCSPTLCK, &zero, 0, 0, 0), "unlock the terminal");
	check(SYS(ioctl, master, TIOCGPTN, &number, 0, 0, 0), "terminal");
	console_slave = (int)check(SYS(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC, 0, 0, 0), "terminal");
	if (size.rows || size.cols)
		check(SYS(ioctl, master, TIOCSWINSZ, &size, 0, 0, 0), "consoleSize");
	give(console_slave, in->argument[3].number, (word)-1, "terminal");

	if (in->argument[4].number) {
		target = (int)check(make_file("dev/console"), "/dev/console");
		tree = (int)check(open_tree_at(console_slave, false), "/dev/console");
		check(attach(tree, target), "/dev/console");
		sys_close(tree);
		sys_close(target);
	}

	add(&name, "/dev/pts/");
	add_number(&name, (unsigned long)number, 10);
	iov = (struct iovec_){ name.s, name.n };
	control.fd = master;
	check(SYS(sendmsg, descriptor(in->argument[0].number), &message, MSG_NOSIGNAL, 0, 0, 0), "console socket");
	sys_close(master);
	sys_close(descriptor(in->argument[0].number));
	SYS(setsid, 0, 0, 0, 0, 0, 0); /* liblxc has made init a leader already */
	check(SYS(ioctl, console_slave, TIOCSCTTY, 0, 0, 0, 0), "controlling terminal");
}

/* A file below the container's own proc; -EXDEV where another file system has taken its place. */
static long open_in_proc(const char *path, uint64_t flags)
{
	struct statfs_ fs;
	int proc = sys_openat2(root_fd, "proc", O_PATH | O_DIRECTORY, 0, BELOW_ROOT | RESOLVE_NO_SYMLINKS);
	long fd;

	if (proc < 0)
		return proc;
	fd = SYS(fstatfs, proc, &fs, 0, 0, 0, 0);
	if (fd >= 0)
		fd = fs.type == PROC_SUPER_MAGIC
			     ? sys_openat2(proc, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV)
			     : -EXDEV;
	sys_close(proc);
	return fd;
}

/* The same below a proc of its own, that is mounted nowhere. */
static long open_in_new_proc(const char *path, uint64_t flags)
{
	int context = (int)check(SYS(fsopen, "proc", FSOPEN_CLOEXEC, 0, 0, 0, 0), "proc");
	long mount, fd;

	check(SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0, 0), "proc");
	mount = check(SYS(fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0, 0), "proc");
	sys_close(context);
	fd = sys_openat2((int)mount, path, flags, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	sys_close((int)mount);
	return fd;
}

/* The label that the next execve takes. A proc with something mounted over its files could swallow it. */
static void op_label(const char *file, const char *label)
{
	struct text path = { .n = 0 };
	long fd, n;

	add_number(&path, (unsigned long)SYS(getpid, 0, 0, 0, 0, 0, 0), 10);
	add(&path, "/attr/");
	add(&path, file);
	fd = open_in_proc(path.s, O_WRONLY);
	if (fd < 0)
		fd = check(open_in_new_proc(path.s, O_WRONLY), "label");
	n = sys_write_all((int)fd, label, length(label));
	if (n == -ENOENT)
		fail(0, "not loaded in this kernel");
	check(n, "label");
	sys_close((int)fd);
}

static void op_sysctl(const struct instruction *in)
{
	struct text path = { .n = 0 };
	long fd;

	add(&path, "sys/");
	add(&path, in->argument[0].string);
	/* an image may have put its own file where the kernel's should be, even one that is waited for */
	fd = open_in_proc(path.s, O_WRONLY | O_NONBLOCK | O_NOCTTY);
	if (fd == -EXDEV)
		fail(0, "not a file of the kernel's proc");
	check(fd, "write");
	check(sys_write_all((int)fd, in->argument[1].string, length(in->argument[1].string)), "write");
	sys_close((int)fd);
}

/* A file with the state that is one hook's own. */
static int copy_state(void)
{
	int fd = (int)check(SYS(memfd_create, "state", MFD_CLOEXEC, 0, 0, 0, 0), "memory for the state");
	uint64_t at = 0;

	while (check(SYS(sendfile, fd, state_fd, &at, 1 << 20, 0, 0), "state"))
		;
	SYS(lseek, fd, 0, 0, 0, 0, 0);
	return fd;
}

/* Run a hook and wait for it: its stdin is the container's state, its output is kept for our error. */
static void op_hook(const struct instruction *in)
{
	static char output[257];
	struct timespec_ timeout = { (int64_t)(in->argument[3].number / 1000), (int64_t)(in->argument[3].number % 1000) * 1000000 };
	struct pollfd poll = { .events = POLLIN };
	const char **hook_arguments = list_strings(&in->argument[1].list, 0);
	const char **hook_environment = list_strings(&in->argument[2].list, 0);
	int in_fd = copy_state();
	int out_fd = (int)check(SYS(memfd_create, "output", MFD_CLOEXEC, 0, 0, 0, 0), "memory for the output");
	int status = 0, failed[2];
	long pid, n;
	uint64_t none = 0;

	if (!hook_arguments || !hook_environment)
		fail(-ENOMEM, "hook");
	check(SYS(pipe2, failed, O_CLOEXEC, 0, 0, 0, 0), "pipe");
	pid = check(SYS(clone, SIG_CHLD, 0, 0, 0, 0, 0), "fork");
	if (!pid) {
		SYS(dup3, in_fd, 0, 0, 0, 0, 0);
		SYS(dup3, out_fd, 1, 0, 0, 0, 0);
		SYS(dup3, out_fd, 2, 0, 0, 0, 0);
		SYS(rt_sigprocmask, 2, &none, NULL, NSIG_BYTES, 0, 0);
		n = SYS(close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC_FLAG, 0, 0, 0);
		if (!n)
			n = SYS(execve, in->argument[0].string, hook_arguments, hook_environment, 0, 0, 0);
		SYS(write, failed[1], &n, sizeof(n), 0, 0, 0);
		sys_exit(127);
	}
	sys_close(failed[1]);
	if (SYS(read, failed[0], &n, sizeof(n), 0, 0, 0) == sizeof(n)) /* else execve has closed the other end */
		fail(n, "");
	sys_close(failed[0]);
	poll.fd = (int)check(SYS(pidfd_open, pid, 0, 0, 0, 0, 0), "wait");
	do
		n = SYS(ppoll, &poll, 1, in->argument[3].number ? &timeout : NULL, NULL, 0, 0);
	while (n == -EINTR);
	if (!n)
		SYS(kill, pid, SIG_KILL, 0, 0, 0, 0);
	while (SYS(wait4, pid, &status, 0, NULL, 0, 0) == -EINTR)
		;
	if (!n) {
		struct text t = { .n = 0 };

		add(&t, "timed out after ");
		add_number(&t, in->argument[3].number / 1000, 10);
		add(&t, " seconds");
		fail(0, t.s);
	}
	if (status) {
		struct text t = { .n = 0 };

		add(&t, status & 0x7f ? "killed by signal" : "exit status");
		add(&t, " ");
		add_number(&t, (unsigned long)(status & 0x7f ? status & 0x7f : status >> 8 & 0xff), 10);
		n = SYS(pread64, out_fd, output, sizeof(output) - 1, 0, 0, 0);
		while (n > 0 && output[n - 1] == '\n')
			n--;
		if (n > 0) {
			output[n] = '\0';
			for (long i = 0; i < n; i++)
				if ((unsigned char)output[i] < ' ')
					output[i] = ' ';
			add(&t, ": ");
			add(&t, output);
		}
		fail(0, t.s);
	}
	sys_close(poll.fd);
	sys_close(in_fd);
	sys_close(out_fd);
}

static void op_rlimit(const struct instruction *in)
{
	uint64_t limit[2] = { in->argument[1].number, in->argument[2].number };

	check(SYS(prlimit64, 0, in->argument[0].number, limit, NULL, 0, 0), "setrlimit");
}

static void op_scheduler(const struct instruction *in)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
		uint32_t util_min, util_max; /* for SCHED_FLAG_UTIL_CLAMP_*: the document has no values, so 0 */
	} attr = { .size = sizeof(attr) };

	attr.policy = (uint32_t)in->argument[0].number;
	attr.flags = in->argument[1].number;
	attr.nice = (int32_t)in->argument[2].number;
	attr.priority = (uint32_t)in->argument[3].number;
	attr.runtime = in->argument[4].number;
	attr.deadline = in->argument[5].number;
	attr.period = in->argument[6].number;
	check(SYS(sched_setattr, 0, &attr, 0, 0, 0, 0), "sched_setattr");
}

static void op_memory_policy(const struct instruction *in)
{
	uint64_t size = in->argument[1].number;

	/* set_mempolicy(2) counts one bit too many */
	check(SYS(set_mempolicy, in->argument[0].number, size ? in->argument[1].string : NULL, size ? 8 * size + 1 : 0, 0, 0,
		  0),
	      "set_mempolicy");
}

static void op_bounding(const struct instruction *in)
{
	for (unsigned int cap = 0; cap < 64; cap++) {
		long have = SYS(prctl, PR_CAPBSET_READ, cap, 0, 0, 0, 0);

		if (have == -EINVAL)
			return; /* above the kernel's last one */
		check(have, "bounding");
		if (have == 1 && !(in->argument[0].number >> cap & 1))
			check(SYS(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0, 0), "bounding");
	}
}

static long set_capabilities(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	for (unsigned int i = 0; i < 2; i++) {
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	return SYS(capset, &header, data, 0, 0, 0, 0);
}

static uint64_t permitted_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };

	check(SYS(capget, &header, data, 0, 0, 0, 0), "capget");
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

/* stdio belongs to the user, or a program that opens /dev/stdout again is refused; the null device stays as it is. */
static void give_stdio(uint64_t uid, uint64_t gid)
{
	for (int fd = 0; fd < 3; fd++) {
		struct statx st;

		if (sys_statx(fd, "", AT_EMPTY_PATH, &st) || st.stx_uid == uid)
			continue;
		if ((st.stx_mode & S_IFMT) == S_IFCHR && same_device(&st, DEV_NULL_MAJOR, DEV_NULL_MINOR))
			continue;
		give(fd, uid, gid, "owner of stdio");
	}
}

/* Become the user, with all capabilities still in hand for what follows. */
static void op_user(const struct instruction *in)
{
	uint64_t uid = in->argument[0].number, gid = in->argument[1].number, all = permitted_capabilities();
	const struct list *list = &in->argument[2].list;
	static uint32_t groups[NGROUPS_MAX]; /* not allocated: RLIMIT_AS may be in force */
	long err;

	if (list->count > NGROUPS_MAX)
		fail(-EINVAL, "setgroups");
	for (uint64_t i = 0; i < list->count; i++)
		groups[i] = (uint32_t)load64(list->first + 8 * i);
	give_stdio(uid, gid);
	err = SYS(setgroups, list->count, groups, 0, 0, 0, 0);
	/* a user namespace may forbid it: then only a spec that asks for groups has a reason to fail */
	if (err && (list->count || err != -EPERM))
		fail(err, "setgroups");
	check(SYS(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0, 0), "keep capabilities");
	check(SYS(setresgid, gid, gid, gid, 0, 0, 0), "setgid");
	check(SYS(setresuid, uid, uid, uid, 0, 0, 0), "setuid");
	check(SYS(prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0, 0), "keep capabilities");
	check(SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0, 0), "dumpable");
	check(set_capabilities(all, all, 0), "capset");
	change_directory();
}

/* The last of all, but execve: from here on a filter may be in force, so nothing here may depend on a file. */
static void op_capabilities(const struct instruction *in)
{
	uint64_t ambient = in->argument[3].number;

	check(set_capabilities(in->argument[0].number, in->argument[1].number, in->argument[2].number), "capset");
	check(SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0), "ambient");
	for (unsigned int cap = 0; cap < 64; cap++)
		if (ambient >> cap & 1)
			check(SYS(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0, 0), "ambient");
}

/* A filter with a listener: the runtime fetches its descriptor with pidfd_getfd, because the filter may forbid any call
 * that could send it, or have the listener itself answer for it. Then it writes to a page that both see. */
static volatile unsigned char *gate;
static int gate_fd = -1;

/* Once the filter is there, any call of ours could be one that nobody answers. A fault needs none, and ends even the
 * first process of a pid namespace. */
static void end_without_call(void)
{
	__builtin_trap();
}

/* Have the kernel interrupt us when the runtime is gone: then nobody opens the gate. It sends nothing any more. */
static void end_with_runtime(void)
{
	struct sigaction_ action = { end_without_call, SA_RESTORER, end_without_call, 0 };

	check(SYS(rt_sigaction, SIG_IO, &action, NULL, NSIG_BYTES, 0, 0), "listener");
	check(SYS(fcntl, channel, F_SETOWN, SYS(getpid, 0, 0, 0, 0, 0, 0), 0, 0, 0), "listener");
	check(SYS(fcntl, channel, F_SETFL, O_RDWR | FASYNC, 0, 0, 0), "listener");
}

static void op_listener(void)
{
	long page;

	end_with_runtime();
	gate_fd = (int)check(SYS(memfd_create, "gate", MFD_CLOEXEC, 0, 0, 0, 0), "gate");
	check(SYS(ftruncate, gate_fd, 1, 0, 0, 0, 0), "gate");
	page = SYS(mmap, 0, 1, 1 /* PROT_READ */, 1 /* MAP_SHARED */, gate_fd, 0);
	if (page < 0 && page > -4096)
		fail(page, "gate");
	gate = (volatile unsigned char *)page;
}

static void wait_for_listener(void)
{
	while (!*gate) /* without any call: each could be one that the agent is asked about */
#if defined(__x86_64__)
		__asm__ volatile("pause");
#else
		__asm__ volatile("yield");
#endif
}

static void op_seccomp(const struct instruction *in)
{
	struct {
		uint16_t count;
		const void *filter;
	} program = { (uint16_t)(in->argument[1].number / 8), in->argument[1].string };

	check(SYS(seccomp, SECCOMP_SET_MODE_FILTER, in->argument[0].number, &program, 0, 0, 0), "seccomp");
	if (gate)
		wait_for_listener();
}

/* Put the runtime's preserved descriptors at 3 and up; whatever else is open closes at execve. */
static size_t preserved;

static void op_preserve(const struct instruction *in)
{
	uint64_t first = in->argument[0].number, count = in->argument[1].number;

	for (uint64_t i = 0; i < count; i++) /* out of the way of their own places */
		descriptors[first + i] = (int)check(
			SYS(fcntl, descriptor(first + i), F_DUPFD_CLOEXEC, 3 + count, 0, 0, 0), "preserved descriptor");
	if (channel >= 3 && (uint64_t)channel < 3 + count)
		channel = (int)check(SYS(fcntl, channel, F_DUPFD_CLOEXEC, 3 + count, 0, 0, 0), "preserved descriptor");
	for (uint64_t i = 0; i < count; i++)
		check(SYS(dup3, descriptors[first + i], 3 + i, 0, 0, 0, 0), "preserved descriptor");
	preserved = count;
}

/* Give up all that is not the user's program's. The runtime hears that only the filter and execve can still fail. */
static void op_handover(void)
{
	uint64_t none = 0;
	struct text message = { .n = 0 };
	int next;

	check(SYS(close_range, 3 + preserved, ~0U, CLOSE_RANGE_CLOEXEC_FLAG, 0, 0, 0), "close descriptors");
	SYS(rt_sigprocmask, 2 /* SIG_SETMASK */, &none, NULL, NSIG_BYTES, 0, 0);
	add(&message, "X");
	if (gate) { /* the listener will be the next descriptor */
		next = (int)check(SYS(fcntl, channel, F_DUPFD_CLOEXEC, 0, 0, 0, 0), "listener");
		sys_close(next);
		add_number(&message, (unsigned long)gate_fd, 10);
		add(&message, " ");
		add_number(&message, (unsigned long)next, 10);
	}
	tell(message.s, message.n);
}

static void op_execute(void)
{
	struct text t = { .n = 0 };
	long err;

	if (!executable || !arguments[0])
		fail(0, "nothing to execute");
	err = SYS(execve, executable, arguments, environment, 0, 0, 0);
	subject = "";
	add(&t, "exec: \"");
	add(&t, arguments[0]);
	add(&t, "\"");
	fail(err, t.s);
}

#endif
