/* libFuzzer on lxcri-init as a whole, in a kernel that answers what the input says: programs, packets, files of images.
 *
 * The input is what to be (init, the hook process, exec), a program in the short form that corpus.py writes, and then a
 * script of the kernel's answers. Where the script ends, or says nothing else, a call succeeds and the runtime says what
 * is next. The program is encoded as lxcri/program.py does, so the reader must take it. What the helper gives to the
 * kernel is read to the last byte. */
#define LXCRI_INIT_HOSTED
#define main unused_main
#include "lxcri-init.c"
#undef main

extern void *malloc(unsigned long);
extern void free(void *);
extern int _setjmp(long *) __attribute__((returns_twice));
extern __attribute__((noreturn)) void longjmp(long *, int);
extern __attribute__((noreturn)) void abort(void);

#define CALLS 4000 /* of one run: answers may lead in circles */
#define CHANNEL 3
#define PROGRAM_MAX (1 << 18)

static const unsigned char *script, *script_end;
static unsigned char whole[PROGRAM_MAX], *encoded; /* the program, in memory of exactly its size */
static size_t encoded_size;
static bool full;
static long the_end[64];
static unsigned int calls, opened;
static const char *conversation; /* what the runtime says next */
static void *allocated[512];
static size_t allocations;
static volatile unsigned char sink;

static unsigned int byte(void)
{
	return script < script_end ? *script++ : 0;
}

static uint64_t number(size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)byte() << (8 * i);
	return value;
}

/* Up to max bytes of the script. */
static size_t fill(void *to, size_t max)
{
	size_t n = number(2) % (max + 1);

	for (size_t i = 0; i < n; i++)
		((unsigned char *)to)[i] = (unsigned char)byte();
	return n;
}

static void touch(const void *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sink += ((const unsigned char *)data)[i];
}

static void touch_string(word s)
{
	if (s)
		touch((const char *)s, length((const char *)s) + 1);
}

static void touch_strings(word list)
{
	for (const char **s = (const char **)list; s && *s; s++)
		touch_string((word)*s);
}

static void *remember(size_t bytes)
{
	if (allocations == sizeof(allocated) / sizeof(*allocated))
		longjmp(the_end, 1);
	allocated[allocations] = malloc(bytes);
	memset(allocated[allocations], 0, bytes);
	return allocated[allocations++];
}

static long new_descriptor(void)
{
	return 10 + opened++;
}

static long receive_packet(struct msghdr_ *message)
{
	struct {
		struct cmsghdr_ header;
		int fds[BATCH];
	} *control = message->control;
	char kind = byte() < 200 && *conversation ? *conversation++ : (char)byte();
	size_t n = kind == 'C' || kind == 'G', room = message->iov->len;
	char packet[2] = { kind, 0 };

	if (kind == 'F') {
		n = 8 + byte() % (BATCH - 8);
		packet[1] = byte() > 250;
		if (packet[1])
			conversation--;
	}
	if (byte() > 250) {
		n = byte() % (BATCH + 1);
		message->flags = byte() & MSG_CTRUNC;
	}
	message->controllen = 0;
	if (n) {
		control->header = (struct cmsghdr_){ sizeof(struct cmsghdr_) + n * sizeof(int), SOL_SOCKET, SCM_RIGHTS };
		for (size_t i = 0; i < n; i++)
			control->fds[i] = (int)new_descriptor();
		message->controllen = control->header.len;
	}
	n = kind == 'F' ? 2 : 1;
	if (byte() > 250)
		n = byte() % 3;
	memcpy((char *)(uintptr_t)message->iov->base, packet, n < room ? n : room);
	return (long)(n < room ? n : room);
}

static long list_directory(char *buffer, size_t size)
{
	size_t at = 0;

	for (unsigned int entries = byte() % 4; entries; entries--) {
		struct dirent64_ *entry = (struct dirent64_ *)(buffer + at);
		size_t n = 1 + byte() % 255, whole = (sizeof(*entry) + n + 8) & ~7UL;

		if (at + whole > size)
			break;
		entry->reclen = (uint16_t)whole;
		for (size_t i = 0; i < n; i++) {
			unsigned int c = byte();

			entry->name[i] = c && c != '/' ? (char)c : 'x';
		}
		entry->name[n] = '\0';
		at += whole;
	}
	return (long)at;
}

static long stat_file(struct statx *st)
{
	static const uint16_t types[] = { S_IFDIR, S_IFREG, S_IFCHR, S_IFLNK, S_IFIFO, S_IFDIR, S_IFREG, S_IFREG };

	memset(st, 0, sizeof(*st));
	st->stx_mode = (uint16_t)(types[byte() % 8] | 0755);
	st->stx_size = encoded_size;
	st->stx_rdev_major = 1;
	st->stx_rdev_minor = 3 + (byte() > 200);
	st->stx_uid = byte();
	return 0;
}

static long poll_all(struct pollfd *fds, size_t n)
{
	long ready = 0;

	for (size_t i = 0; i < n; i++) {
		fds[i].revents = fds[i].fd >= 0 && !ready && (i || n == 1 || byte() > 250) && byte() < 250 ? POLLIN : 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* A path without its final NUL, as the kernel gives it. */
static long give_text(char *to, size_t size)
{
	size_t n = fill(to, size);

	for (size_t i = 0; i < n; i++)
		if (!to[i])
			to[i] = '/';
	return (long)n;
}

static long succeed(long nr, word a, word b, word c, word d, word e)
{
	switch (nr) {
	case __NR_exit_group:
		longjmp(the_end, 1);
	case __NR_execve:
		touch_string(a);
		touch_strings(b);
		touch_strings(c);
		return -ENOENT;
	case __NR_mmap:
		if (d & 0x20)
			return (long)remember(b);
		if (d & 1) { /* the gate, which is open */
			memset(remember(b), 1, 1);
			return (long)allocated[allocations - 1];
		}
		return (long)encoded;
	case __NR_openat:
	case __NR_openat2:
	case __NR_open_tree:
		touch_string(b);
		return new_descriptor();
	case __NR_fsopen:
	case __NR_memfd_create:
		touch_string(a);
		return new_descriptor();
	case __NR_fsmount:
	case __NR_signalfd4:
	case __NR_accept4:
	case __NR_pidfd_open:
		return new_descriptor();
	case __NR_fcntl:
		return b == F_DUPFD_CLOEXEC ? new_descriptor() : 0;
	case __NR_ioctl:
		if (b == TIOCGPTN)
			*(int *)c = (int)byte();
		return b == TIOCGPTPEER ? new_descriptor() : 0;
	case __NR_pipe2:
		((int *)a)[0] = (int)new_descriptor();
		((int *)a)[1] = (int)new_descriptor();
		return 0;
	case __NR_read:
	case __NR_pread64:
		return (long)fill((void *)b, c);
	case __NR_write:
	case __NR_sendto:
		touch((void *)b, c);
		return nr == __NR_write && c && byte() > 250 ? 1 : (long)c;
	case __NR_sendmsg:
		touch(((struct msghdr_ *)b)->iov->base, ((struct msghdr_ *)b)->iov->len);
		touch(((struct msghdr_ *)b)->control, ((struct msghdr_ *)b)->controllen);
		return 0;
	case __NR_recvmsg:
		return receive_packet((struct msghdr_ *)b);
	case __NR_sendfile:
		return byte() % 2;
	case __NR_getdents64:
		return list_directory((char *)b, c);
	case __NR_readlinkat:
		touch_string(b);
		return give_text((char *)c, d);
	case __NR_getcwd:
		if (byte() < 200) {
			memcpy((void *)a, "/", 2);
			return 2;
		}
		c = (word)give_text((char *)a, b - 1);
		((char *)a)[c] = '\0';
		return (long)c + 1;
	case __NR_statx:
		touch_string(b);
		return stat_file((struct statx *)e);
	case __NR_fstatfs:
		memset((void *)b, 0, sizeof(struct statfs_));
		((struct statfs_ *)b)->type = byte() & 1 ? DEVPTS_SUPER_MAGIC : PROC_SUPER_MAGIC;
		return 0;
	case __NR_ppoll:
		return poll_all((struct pollfd *)a, b);
	case __NR_clone:
		return byte() & 1 ? 0 : 77;
	case __NR_wait4:
		*(int *)b = (int)number(2);
		return 77;
	case __NR_prctl:
		return a == PR_CAPBSET_READ ? b > 40 ? -EINVAL : 1 : 0;
	case __NR_capget:
		memset((void *)b, 0xff, 2 * sizeof(struct __user_cap_data_struct));
		return 0;
	case __NR_capset:
		touch((void *)b, 2 * sizeof(struct __user_cap_data_struct));
		return 0;
	case __NR_mount:
		touch_string(a);
		touch_string(b);
		touch_string(c);
		touch_string(e);
		return 0;
	case __NR_symlinkat:
		touch_string(a);
		touch_string(c);
		return 0;
	case __NR_mkdirat:
	case __NR_mknodat:
	case __NR_unlinkat:
	case __NR_fchownat:
	case __NR_utimensat:
	case __NR_mount_setattr:
		touch_string(b);
		return 0;
	case __NR_umount2:
	case __NR_chdir:
	case __NR_chroot:
		touch_string(a);
		return 0;
	case __NR_sethostname:
	case __NR_setdomainname:
		touch((void *)a, b);
		return 0;
	case __NR_setgroups:
		touch((void *)b, a * sizeof(uint32_t));
		return 0;
	case __NR_set_mempolicy:
		touch((void *)b, c ? (c - 1 + 63) / 64 * 8 : 0);
		return 0;
	case __NR_seccomp:
		touch(*(void **)(c + 8), 8UL * *(uint16_t *)c);
		return 0;
	}
	return 0;
}

static long sys6(long nr, word a, word b, word c, word d, word e, word f)
{
	static const int errors[] = { ENOENT, EPERM, EINTR, EAGAIN, EACCES, EEXIST, ENOTDIR, EINVAL,
				      ENOMEM, EROFS, ELOOP, ENAMETOOLONG, EXDEV, EBUSY, ENOSYS, ENODEV };
	unsigned int failure = nr == __NR_exit_group ? 0 : byte();

	(void)f;
	if (++calls > CALLS)
		longjmp(the_end, 1);
	if (failure > 239)
		return -errors[failure - 240];
	return succeed(nr, a, b, c, d, e);
}

static void put(const void *data, size_t n)
{
	full = full || encoded_size + n > PROGRAM_MAX;
	if (full)
		return;
	memcpy(whole + encoded_size, data, n);
	encoded_size += n;
}

static void put_number(uint64_t value)
{
	put(&value, 8);
}

static void put_string(void)
{
	static const unsigned char zeros[8];
	static unsigned char string[1 << 16];
	size_t n = fill(string, sizeof(string) - 1);

	put_number(n);
	put(string, n);
	put(zeros, 8 - n % 8);
}

static void put_instruction(void)
{
	uint32_t operation = byte() % OPERATIONS, size = 0;
	size_t start = encoded_size;

	put(&operation, 4);
	put(&size, 4);
	put_string();
	for (const char *kind = operation_arguments[operation]; *kind; kind++) {
		uint64_t count = *kind == 'N' || *kind == 'S' ? byte() : 1;

		if (*kind == 'N' || *kind == 'S')
			put_number(count);
		while (count--)
			if (*kind == 'n' || *kind == 'N')
				put_number(number(8));
			else
				put_string();
	}
	if (full)
		encoded_size = start; /* without what has no room */
	size = (uint32_t)(encoded_size - start);
	if (size)
		memcpy(whole + start + 4, &size, 4);
}

/* Encode what the script has first: for each stage the number of its instructions, and these. */
static void put_program(void)
{
	static const unsigned char magic[8] = PROGRAM_MAGIC;

	encoded_size = 0;
	full = false;
	put(magic, 8);
	put_number(PROGRAM_STAMP);
	put_number(0);
	encoded_size += 8 * STAGES; /* their places follow */
	for (size_t stage = 0; stage < STAGES; stage++) {
		uint64_t at = encoded_size;

		memcpy(whole + 24 + 8 * stage, &at, 8);
		for (unsigned int n = byte(); n && !full && script < script_end; n--)
			put_instruction();
	}
	memcpy(whole + 16, &encoded_size, 8);
	encoded = malloc(encoded_size);
	memcpy(encoded, whole, encoded_size);
}

static void reset(void)
{
	channel = CHANNEL;
	subject = "";
	state_fd = root_fd = console_slave = gate_fd = -1;
	descriptor_count = environment_count = preserved = 0;
	arguments = environment = no_strings;
	working_directory = "/";
	executable = NULL;
	gate = NULL;
	calls = opened = 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct program check;
	unsigned int what;

	script = data;
	script_end = data + size;
	what = byte();
	put_program();
	if (read_program(encoded, encoded_size, &check))
		abort();
	reset();
	if (!_setjmp(the_end))
		switch (what % 4) {
		case 0:
			conversation = "FPDG";
			run_init(false);
			break;
		case 1:
			conversation = "FPDG";
			run_init(true);
			break;
		case 2:
			conversation = "FC";
			run_hook_process("/root");
			break;
		default:
			conversation = "FP";
			run_exec();
		}
	while (allocations)
		free(allocated[--allocations]);
	free(encoded);
	return 0;
}
