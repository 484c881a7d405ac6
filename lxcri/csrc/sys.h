/* System calls and strings without a C library: the helper runs inside images that may have none.
 *
 * Every sys_ function returns what the kernel returns: a negative errno on failure. */
#ifndef LXCRI_SYS_H
#define LXCRI_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/capability.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <linux/stat.h>

typedef unsigned long word;

#if defined(LXCRI_INIT_FUZZED)
static long sys6(long nr, word a, word b, word c, word d, word e, word f); /* a kernel in the same program */
#elif defined(__x86_64__)
static inline long sys6(long nr, word a, word b, word c, word d, word e, word f)
{
	long ret;
	register word r10 __asm__("r10") = d;
	register word r8 __asm__("r8") = e;
	register word r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
#elif defined(__aarch64__)
static inline long sys6(long nr, word a, word b, word c, word d, word e, word f)
{
	register long x8 __asm__("x8") = nr;
	register word x0 __asm__("x0") = a;
	register word x1 __asm__("x1") = b;
	register word x2 __asm__("x2") = c;
	register word x3 __asm__("x3") = d;
	register word x4 __asm__("x4") = e;
	register word x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return (long)x0;
}
#else
#error "lxcri-init supports x86-64 and arm64"
#endif

#define SYS(name, a, b, c, d, e, f) \
	sys6(__NR_##name, (word)(a), (word)(b), (word)(c), (word)(d), (word)(e), (word)(f))

/* What the kernel's exported headers leave to the C library. */
#define PATH_MAX_BYTES 4096
#define NSIG_BYTES 8 /* of a kernel sigset_t */
#define AF_UNIX 1
#define SOL_SOCKET 1
#define SCM_RIGHTS 1
#define MSG_CTRUNC 0x8
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define SOCK_CLOEXEC 02000000
#define SOCK_NONBLOCK 00004000
#define SFD_CLOEXEC 02000000
#define MFD_CLOEXEC 1U
#define CLOSE_RANGE_CLOEXEC_FLAG 4U
#define DEV_NULL_MAJOR 1
#define DEV_NULL_MINOR 3

struct iovec_ {
	const void *base;
	size_t len;
};

struct msghdr_ {
	void *name;
	uint32_t namelen;
	struct iovec_ *iov;
	size_t iovlen;
	void *control;
	size_t controllen;
	uint32_t flags;
};

struct cmsghdr_ {
	size_t len;
	int level;
	int type;
};

struct winsize_ {
	uint16_t rows, cols, xpixel, ypixel;
};

struct timespec_ {
	int64_t sec, nsec;
};

struct dirent64_ {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

struct statfs_ { /* struct statfs64 of both machines */
	long type;
	long rest[15];
};

#ifndef LXCRI_INIT_HOSTED
/* The compiler calls these by name. */
void *memset(void *dst, int value, size_t n)
{
	unsigned char *d = dst;

	while (n--)
		*d++ = (unsigned char)value;
	return dst;
}

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
	unsigned char *d = dst;
	const unsigned char *s = src;

	while (n--)
		*d++ = *s++;
	return dst;
}
#else
#include <string.h>
#endif

static size_t length(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static bool starts_with(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return false;
	return true;
}

/* The decimal number at s; -1 when there is none or it does not fit in an int. */
static int parse_number(const char *s)
{
	long value = 0;

	if (!*s)
		return -1;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -1;
		value = value * 10 + (*s - '0');
		if (value > 0x7fffffff)
			return -1;
	}
	return (int)value;
}

/* A text that is cut, never overrun, when it grows too long. */
struct text {
	size_t n;
	char s[PATH_MAX_BYTES];
};

static void add(struct text *t, const char *s)
{
	while (*s && t->n < sizeof(t->s) - 1)
		t->s[t->n++] = *s++;
	t->s[t->n] = '\0';
}

static void add_number(struct text *t, unsigned long value, unsigned int base)
{
	char digits[24];
	size_t i = sizeof(digits);

	digits[--i] = '\0';
	do {
		digits[--i] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	add(t, digits + i);
}

static __attribute__((noreturn)) void sys_exit(int status)
{
	for (;;)
		SYS(exit_group, status, 0, 0, 0, 0, 0);
}

static int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve };
	unsigned int tries = 0;
	long fd;

	do /* EAGAIN: a rename somewhere made a ".." uncertain, as another container with this volume can do for ever */
		fd = SYS(openat2, dir, path, &how, sizeof(how), 0, 0);
	while ((fd == -EAGAIN && ++tries < 1000) || fd == -EINTR);
	return (int)fd;
}

static void sys_close(int fd)
{
	SYS(close, fd, 0, 0, 0, 0, 0);
}

static int sys_statx(int dir, const char *path, int flags, struct statx *st)
{
	return (int)SYS(statx, dir, path, flags, STATX_BASIC_STATS | STATX_MNT_ID, st, 0);
}

static bool same_device(const struct statx *st, unsigned int major, unsigned int minor)
{
	return st->stx_rdev_major == major && st->stx_rdev_minor == minor;
}

static long sys_write_all(int fd, const char *data, size_t n)
{
	while (n) {
		long done = SYS(write, fd, data, n, 0, 0, 0);

		if (done == -EINTR)
			continue;
		if (done < 0)
			return done;
		data += done;
		n -= (size_t)done;
	}
	return 0;
}

/* Memory that lives as long as the process; NULL when there is none. */
static void *allocate(size_t bytes)
{
	long p = SYS(mmap, 0, bytes ? bytes : 1, 3 /* PROT_READ|PROT_WRITE */, 0x22 /* MAP_PRIVATE|MAP_ANONYMOUS */, -1, 0);

	return p < 0 && p > -4096 ? NULL : (void *)p;
}

#endif
