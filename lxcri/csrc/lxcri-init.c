/* lxcri-init: the first process of a container, until it executes the user's program. README.md tells the whole.
 *
 *   lxcri-init init CHANNEL           what liblxc executes as the container's init
 *   lxcri-init hook CHANNEL ROOT      what liblxc executes as lxc.hook.mount, where something is to see or make mounts
 *                                     before the pivot
 *   lxcri-init init-hooked CHANNEL    what liblxc then executes as init: the mounts are made
 *   lxcri-init exec CHANNEL           what the runtime executes in the namespaces of a container that runs
 *   lxcri-init check < PROGRAM        print a program
 */
#include "sys.h"
#include "reader.h"
#include "channel.h"
#include "paths.h"
#include "mounts.h"
#include "process.h"

#define STDIO_HANDLES 3
#define HOOK_UMASK 022 /* whatever that of the caller is */
#define START_HANDLE 3 /* after stdin, stdout, stderr: the listening socket of `start` */
#define START_SIGNALS 0x0000000000004007ULL /* HUP, INT, QUIT, TERM end a container that was not started yet */

static struct program program;

static void run_instruction(const struct instruction *in)
{
	switch ((enum operation)in->operation) { /* without a default: the compiler names what is missing */
	case OP_MOUNT:
		op_mount(in, false);
		break;
	case OP_MOUNT_COPYUP:
		op_mount(in, true);
		break;
	case OP_MOVE:
		op_move(in);
		break;
	case OP_REATTACH:
		op_reattach(in);
		break;
	case OP_ATTRIBUTES:
		op_attributes(in);
		break;
	case OP_PROPAGATION:
		op_propagation(in);
		break;
	case OP_DETACH:
		op_detach(in);
		break;
	case OP_LEAVE_MOUNT_NAMESPACE:
		op_leave_mount_namespace(in);
		break;
	case OP_MASK:
		op_mask(in);
		break;
	case OP_READONLY:
		op_readonly(in);
		break;
	case OP_MKNOD:
		op_mknod(in);
		break;
	case OP_DIRECTORY:
		sys_close((int)check(make_directory(in->argument[0].string, NULL), "mkdir"));
		break;
	case OP_SYMLINK:
		op_symlink(in, false);
		break;
	case OP_REPLACE_SYMLINK:
		op_symlink(in, true);
		break;
	case OP_UNSHARE_CGROUP:
		check(SYS(unshare, CLONE_NEWCGROUP, 0, 0, 0, 0, 0), "unshare");
		break;
	case OP_SYSCTL:
		op_sysctl(in);
		break;
	case OP_HOSTNAME:
		check(SYS(sethostname, in->argument[0].string, in->argument[0].number, 0, 0, 0, 0), "sethostname");
		break;
	case OP_DOMAINNAME:
		check(SYS(setdomainname, in->argument[0].string, in->argument[0].number, 0, 0, 0, 0), "setdomainname");
		break;
	case OP_CONSOLE:
		op_console(in);
		break;
	case OP_ARGUMENTS:
		op_arguments(in);
		break;
	case OP_ENVIRONMENT:
		op_environment(in);
		break;
	case OP_PERSONALITY:
		check(SYS(personality, in->argument[0].number, 0, 0, 0, 0, 0), "personality");
		break;
	case OP_HOME:
		op_home(in);
		break;
	case OP_CWD:
		working_directory = in->argument[0].string;
		change_directory();
		break;
	case OP_FIND_EXECUTABLE:
		op_find_executable();
		break;
	case OP_HOOK:
		op_hook(in);
		break;
	case OP_RLIMIT:
		op_rlimit(in);
		break;
	case OP_SCHEDULER:
		op_scheduler(in);
		break;
	case OP_IOPRIO:
		check(SYS(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, in->argument[0].number, 0, 0, 0), "ioprio_set");
		break;
	case OP_MEMORY_POLICY:
		op_memory_policy(in);
		break;
	case OP_UMASK:
		SYS(umask, in->argument[0].number, 0, 0, 0, 0, 0);
		break;
	case OP_APPARMOR:
		op_label("apparmor/exec", in->argument[0].string);
		break;
	case OP_SELINUX:
		op_label("exec", in->argument[0].string);
		break;
	case OP_BOUNDING:
		op_bounding(in);
		break;
	case OP_USER:
		op_user(in);
		break;
	case OP_NO_NEW_PRIVS:
		check(SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0), "prctl");
		break;
	case OP_SECCOMP:
		op_seccomp(in);
		break;
	case OP_CAPABILITIES:
		op_capabilities(in);
		break;
	case OP_PRESERVE:
		op_preserve(in);
		break;
	case OP_LISTENER:
		op_listener();
		break;
	case OP_HANDOVER:
		op_handover();
		break;
	case OP_EXECUTE:
		op_execute();
		break;
	}
}

static void run_stage(unsigned int stage)
{
	struct instruction in;

	for (size_t at = program.stage[stage]; at < program.stage[stage + 1];) {
		at = read_instruction(&program, at, program.stage[stage + 1], &in);
		subject = in.subject;
		run_instruction(&in);
	}
	subject = "";
}

/* The program comes first of all descriptors, in a memfd that the runtime sealed. */
static void load_program(void)
{
	struct statx st;
	const char *wrong;
	long p;

	receive_descriptors(channel);
	check(sys_statx(descriptor(0), "", AT_EMPTY_PATH, &st), "program");
	p = SYS(mmap, 0, st.stx_size, 1 /* PROT_READ */, 2 /* MAP_PRIVATE */, descriptor(0), 0);
	if (p < 0 && p > -4096)
		fail(p, "program");
	wrong = read_program((const unsigned char *)p, st.stx_size, &program);
	if (wrong)
		fail2(0, "program:", wrong);
	sys_close(descriptor(0));
	descriptor_count--;
	for (size_t i = 0; i < descriptor_count; i++)
		descriptors[i] = descriptors[i + 1];
}

/* What must not outlive the way here: a parent whose death is ours, other descriptors, being readable by others. */
static void first_acts(void)
{
	check(SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0, 0), "dumpable");
	check(SYS(prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0, 0), "signal at a parent's death");
	SYS(prctl, PR_SET_NAME, "lxcri-init", 0, 0, 0, 0);
	if (channel > 3)
		check(SYS(close_range, 3, channel - 1, 0, 0, 0, 0), "close descriptors");
	check(SYS(close_range, channel + 1, ~0U, 0, 0, 0, 0), "close descriptors");
	check(SYS(fcntl, channel, F_SETFD, 1 /* FD_CLOEXEC */, 0, 0, 0), "close descriptors");
	SYS(umask, 0, 0, 0, 0, 0, 0);
}

/* lxc.hook.mount: container namespaces, the host's files still in sight, the root file system mounted at `root`. */
static void run_hook_process(const char *root)
{
	first_acts();
	reset_signals();
	root_fd = (int)check(SYS(openat, AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), "root");
	tell("M", 1);
	load_program();
	run_stage(STAGE_MOUNTS);
	tell("M", 1);
	expect(channel, 'C', true);
	check(SYS(fchdir, root_fd, 0, 0, 0, 0, 0), "root");
	SYS(umask, HOOK_UMASK, 0, 0, 0, 0, 0);
	run_stage(STAGE_CREATE_CONTAINER);
	/* liblxc now makes its links in the /dev that the mounts cover, where it can: an image is not to be changed */
	check(set_attributes(root_fd, MOUNT_ATTR_RDONLY, 0, 0, false), "root");
	sys_exit(0);
}

/* Wait until `start` connects and says so. Others may connect to see whether we are here. */
static void wait_for_start(int listener)
{
	enum { SIGNAL, RUNTIME, LISTENER, CONNECTION, WATCHED };
	uint64_t blocked = START_SIGNALS;
	struct pollfd poll[WATCHED];

	for (int i = 0; i < WATCHED; i++)
		poll[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	SYS(rt_sigprocmask, 0 /* SIG_BLOCK */, &blocked, NULL, NSIG_BYTES, 0, 0);
	poll[SIGNAL].fd = (int)check(SYS(signalfd4, -1, &blocked, NSIG_BYTES, SFD_CLOEXEC, 0, 0), "signalfd");
	poll[RUNTIME].fd = channel;
	for (;;) {
		long n = SYS(ppoll, poll, WATCHED, NULL, NULL, 0, 0);

		if (n == -EINTR)
			continue;
		check(n, "poll");
		if (poll[SIGNAL].revents) {
			uint32_t info[32];

			SYS(read, poll[SIGNAL].fd, info, sizeof(info), 0, 0, 0);
			sys_exit(128 + (int)info[0]);
		}
		if (poll[RUNTIME].revents) { /* it saved the state, or died before it did */
			expect(channel, 'D', false);
			sys_close(channel);
			channel = poll[RUNTIME].fd = -1;
			poll[LISTENER].fd = listener;
		} else if (poll[CONNECTION].revents) {
			if (receive_word(poll[CONNECTION].fd, 'G', true)) {
				channel = poll[CONNECTION].fd;
				sys_close(poll[SIGNAL].fd);
				return;
			}
			sys_close(poll[CONNECTION].fd);
			poll[CONNECTION].fd = -1;
			poll[LISTENER].fd = listener;
		} else if (poll[LISTENER].revents) {
			poll[CONNECTION].fd = (int)SYS(accept4, listener, NULL, NULL, SOCK_CLOEXEC, 0, 0);
			if (poll[CONNECTION].fd >= 0)
				poll[LISTENER].fd = -1; /* one at a time */
		}
	}
}

static void take_stdio(void)
{
	for (int fd = 0; fd < STDIO_HANDLES; fd++) {
		int from = console_slave >= 0 ? console_slave : descriptor((uint64_t)fd);

		check(SYS(dup3, from, fd, 0, 0, 0, 0), "stdio");
	}
	if (console_slave >= 0)
		sys_close(console_slave);
	for (uint64_t i = 0; i < STDIO_HANDLES; i++)
		sys_close(descriptor(i));
}

static void run_init(bool hooked)
{
	first_acts();
	reset_signals();
	root_fd = (int)check(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), "root");
	/* liblxc leaves all of the tree shared after its pivot */
	check(set_attributes(root_fd, 0, 0, 1 << 19 /* MS_SLAVE */, true), "root");
	tell("H", 1);
	load_program();
	if (!hooked)
		run_stage(STAGE_MOUNTS);
	expect(channel, 'P', false);
	run_stage(STAGE_ROOT);
	take_stdio();
	run_stage(STAGE_READY);
	tell("R", 1);

	wait_for_start(descriptor(START_HANDLE));
	run_stage(STAGE_START);
	fail(0, "the program does not execute anything");
}

/* The keys of who called the runtime are not the container's. Where the call is not there, or a filter forbids it, that
 * holds for the container's process too. */
static void leave_session_keyring(void)
{
	long err = SYS(keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, 0, 0, 0, 0, 0);

	if (err != -ENOSYS && err != -EPERM)
		check(err, "session keyring");
}

/* A further process of a container that runs: the runtime has entered its namespaces already. */
static void run_exec(void)
{
	first_acts();
	reset_signals();
	leave_session_keyring();
	root_fd = (int)check(SYS(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), "root");
	tell("H", 1);
	load_program();
	expect(channel, 'P', false);
	run_stage(STAGE_ROOT);
	take_stdio();
	run_stage(STAGE_READY);
	run_stage(STAGE_START);
	fail(0, "the program does not execute anything");
}

static void print(struct text *out, const char *s)
{
	add(out, s);
	if (out->n > sizeof(out->s) / 2) {
		sys_write_all(1, out->s, out->n);
		out->n = 0;
	}
}

/* Print a program as its instructions, one a line: for people, and for the tests of the reader. */
static int check_program(void)
{
	static unsigned char input[1 << 22];
	static struct text out;
	struct instruction in;
	size_t size = 0;
	const char *wrong;
	long n;

	while ((n = SYS(read, 0, input + size, sizeof(input) - size, 0, 0, 0)) > 0)
		size += (size_t)n;
	wrong = read_program(input, size, &program);
	if (wrong) {
		print(&out, wrong);
		print(&out, "\n");
		sys_write_all(2, out.s, out.n);
		return 1;
	}
	for (unsigned int stage = 0; stage < STAGES; stage++)
		for (size_t at = program.stage[stage]; at < program.stage[stage + 1];) {
			const char *kinds;

			at = read_instruction(&program, at, program.stage[stage + 1], &in);
			add_number(&out, stage, 10);
			print(&out, " ");
			print(&out, operation_names[in.operation]);
			print(&out, " [");
			print(&out, in.subject);
			print(&out, "]");
			kinds = operation_arguments[in.operation];
			for (size_t i = 0; kinds[i]; i++) {
				struct argument *a = &in.argument[i];
				const char **strings = kinds[i] == 'S' ? list_strings(&a->list, 0) : NULL;

				print(&out, " ");
				if (kinds[i] == 'n')
					add_number(&out, a->number, 10);
				if (kinds[i] == 's')
					print(&out, a->string);
				if (kinds[i] == 'S' || kinds[i] == 'N')
					print(&out, "(");
				for (uint64_t j = 0; (kinds[i] == 'S' || kinds[i] == 'N') && j < a->list.count; j++) {
					print(&out, j ? " " : "");
					if (strings)
						print(&out, strings[j]);
					else
						add_number(&out, load64(a->list.first + 8 * j), 10);
				}
				if (kinds[i] == 'S' || kinds[i] == 'N')
					print(&out, ")");
			}
			print(&out, "\n");
		}
	sys_write_all(1, out.s, out.n);
	return 0;
}

static int run(int argc, char **argv)
{
	if (argc == 2 && equal(argv[1], "check"))
		return check_program();
	if (argc >= 3)
		channel = parse_number(argv[2]);
	if (channel >= 3 && argc == 3 && equal(argv[1], "init"))
		run_init(false);
	if (channel >= 3 && argc == 3 && equal(argv[1], "init-hooked"))
		run_init(true);
	if (channel >= 3 && argc == 3 && equal(argv[1], "exec"))
		run_exec();
	if (channel >= 3 && argc == 4 && equal(argv[1], "hook"))
		run_hook_process(argv[3]);
	return 2;
}

#ifdef LXCRI_INIT_HOSTED
int main(int argc, char **argv)
{
	return run(argc, argv);
}
#else
__attribute__((used, noreturn)) void start(word *stack)
{
	sys_exit(run((int)stack[0], (char **)(stack + 1)));
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n");
#else
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tand sp, x0, #-16\n\tbl start\n");
#endif
#endif
