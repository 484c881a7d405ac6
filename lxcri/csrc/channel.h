/* Messages to the runtime: one packet each, its kind in the first byte. lxcri/channel.py is the other end.
 *
 *   to the runtime    'H' init is up         'M' the hook process has made the mounts
 *                     'R' the container is created   'X' all is done but the seccomp filter and execve
 *                     'W' text: a warning    'E' i32 errno (0: none), text: a failure; the sender ends
 *   from the runtime  'F' descriptors, and whether more follow   'P' init is in its cgroup
 *                     'C' go on after the runtime's hooks        'D' the state is saved
 *                     'G' start
 *
 * 'C' and 'G' bring the OCI state for hooks, as a descriptor of a file: annotations can be larger than any packet. */
#ifndef LXCRI_CHANNEL_H
#define LXCRI_CHANNEL_H

#include "sys.h"

#define MAX_DESCRIPTORS 4096
#define BATCH 250 /* the kernel takes at most 253 a packet */

static int channel = -1; /* where failures are reported */
static const char *subject = ""; /* of the instruction at hand */

static int state_fd = -1; /* the OCI state that the runtime sent, for hooks */

static int descriptors[MAX_DESCRIPTORS];
static size_t descriptor_count;

static long send_packet(int fd, const void *data, size_t n)
{
	long ret;

	do
		ret = SYS(sendto, fd, data, n, MSG_NOSIGNAL, 0, 0);
	while (ret == -EINTR);
	return ret;
}

static void report(char kind, int err, const char *what, const char *detail)
{
	static struct text t;
	int32_t number = -err;

	t.n = 0;
	t.s[t.n++] = kind;
	if (kind == 'E') {
		memcpy(t.s + t.n, &number, sizeof(number));
		t.n += sizeof(number);
	}
	add(&t, subject);
	if (*subject && *what)
		add(&t, ": ");
	add(&t, what);
	if (*detail) {
		add(&t, " ");
		add(&t, detail);
	}
	if (channel >= 0)
		send_packet(channel, t.s, t.n);
}

/* Report and end: err is a negative errno, or 0 where the text says it all. */
static __attribute__((noreturn)) void fail2(long err, const char *what, const char *detail)
{
	report('E', (int)err, what, detail);
	sys_exit(1);
}

static __attribute__((noreturn)) void fail(long err, const char *what)
{
	fail2(err, what, "");
}

static long check(long ret, const char *what)
{
	if (ret < 0)
		fail(ret, what);
	return ret;
}

/* Tell the runtime how far we are: it waits for that. Where it is gone, who needs its answer will see. */
static void tell(const void *data, size_t n)
{
	long err = send_packet(channel, data, n);

	if (err != -EPIPE && err != -ECONNRESET)
		check(err, "message to the runtime");
}

/* Receive one packet; descriptors in it are appended to `descriptors`, close-on-exec. Returns its length. */
static long receive(int fd, char *data, size_t size)
{
	struct {
		struct cmsghdr_ header;
		int fds[BATCH];
	} control;
	struct iovec_ iov = { data, size };
	struct msghdr_ message = { .iov = &iov, .iovlen = 1, .control = &control, .controllen = sizeof(control) };
	long got;

	do
		got = SYS(recvmsg, fd, &message, MSG_CMSG_CLOEXEC, 0, 0, 0);
	while (got == -EINTR);
	if (got >= 0 && message.controllen >= sizeof(struct cmsghdr_) && control.header.level == SOL_SOCKET &&
	    control.header.type == SCM_RIGHTS) {
		size_t n = (control.header.len - sizeof(struct cmsghdr_)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			if (descriptor_count == MAX_DESCRIPTORS)
				fail(-EMFILE, "descriptors of mount sources");
			descriptors[descriptor_count++] = control.fds[i];
		}
	}
	if (got >= 0 && message.flags & MSG_CTRUNC)
		fail(-EMFILE, "descriptors from the runtime");
	return got;
}

/* Receive the runtime's word of this kind, and the state that comes with it. False where another word, or none, came. */
static bool receive_word(int fd, char kind, bool with_state)
{
	size_t before = descriptor_count;
	char got;

	if (receive(fd, &got, 1) != 1 || got != kind || descriptor_count != before + with_state)
		return false;
	if (with_state)
		state_fd = descriptors[--descriptor_count];
	return true;
}

/* Wait for the runtime's word; where it is gone, so are we: nobody would ever come back for this container. */
static void expect(int fd, char kind, bool with_state)
{
	if (!receive_word(fd, kind, with_state))
		sys_exit(1);
}

/* Receive the descriptors that the runtime sends, in batches. */
static void receive_descriptors(int fd)
{
	char packet[2];

	do {
		long got = receive(fd, packet, sizeof(packet));

		if (got <= 0)
			sys_exit(1);
		if (got != 2 || packet[0] != 'F')
			fail(-EPROTO, "descriptors from the runtime");
	} while (packet[1]);
}

static int descriptor(uint64_t index)
{
	if (index >= descriptor_count)
		fail(-EBADF, "descriptor from the runtime");
	return descriptors[index];
}

#endif
