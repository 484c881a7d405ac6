/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Included by the module that cffi writes, behind Python.h and liblxc's headers. */

#include <errno.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "binding.h"

static unsigned int library_version;

unsigned int parse_version(const char *text)
{
	unsigned int version = 0;

	for (int part = 0; part < 3; part++) {
		unsigned int number = 0;

		for (; *text >= '0' && *text <= '9'; text++) {
			number = number * 10 + (unsigned int)(*text - '0');
			if (number > UCHAR_MAX)
				number = UCHAR_MAX;
		}
		version = version << 8 | number;
		if (*text == '.')
			text++;
		else
			text = "";
	}
	return version;
}

unsigned int get_library_version(void)
{
	if (library_version == 0)
		library_version = parse_version(lxc_get_version());
	return library_version;
}

void set_library_version(unsigned int version)
{
	library_version = version;
}

/*
 * Whether a member of struct lxc_container must not be read: the library has allocated the struct, and one that is
 * older than the member has put something else behind its end.
 */
static bool is_missing(unsigned int since)
{
	if (get_library_version() >= since)
		return false;
	errno = ENOSYS;
	return true;
}

/* Of the thread that is in container_attach_python(). */
static __thread bool attaches;
static __thread bool holds_gil;
static __thread bool is_forked;
static __thread PyGILState_STATE gil;

static void before_fork(void)
{
	if (!attaches)
		return;
	gil = PyGILState_Ensure();
	PyOS_BeforeFork();
	holds_gil = true;
}

static void after_fork_in_parent(void)
{
	if (!holds_gil)
		return;
	holds_gil = false;
	PyOS_AfterFork_Parent();
	PyGILState_Release(gil);
}

static void after_fork_in_child(void)
{
	if (!holds_gil)
		return;
	holds_gil = false;
	PyOS_AfterFork_Child();
	is_forked = true;
	PyGILState_Release(gil);
}

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_error;

static void install_handlers(void)
{
	handlers_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static int run_attached(void *payload)
{
	/* Without the handlers the interpreter is not usable: other threads' work is half done in it. */
	if (!is_forked)
		return 125;
	return lxcffi_attached(payload);
}

int container_attach_python(struct lxc_container *c, void *payload, lxc_attach_options_t *options,
			    pid_t *attached_process)
{
	int result;

	pthread_once(&handlers_once, install_handlers);
	if (handlers_error != 0) {
		errno = handlers_error;
		return -1;
	}
	attaches = true;
	errno = 0;
	result = c->attach(c, run_attached, payload, options, attached_process);
	attaches = false;
	return result;
}

bool is_same_file(int one, int other)
{
	pid_t pid = getpid();

	return syscall(SYS_kcmp, pid, pid, KCMP_FILE, one, other) == 0;
}

static pthread_once_t states_once = PTHREAD_ONCE_INIT;
static const char **states;
static int states_count;

static void get_states(void)
{
	int count = lxc_get_wait_states(NULL);

	states = calloc((size_t)count, sizeof(*states));
	if (states != NULL)
		states_count = lxc_get_wait_states(states);
}

int container_state_number(struct lxc_container *c)
{
	const char *state;

	pthread_once(&states_once, get_states);
	errno = 0;
	state = c->state(c);
	for (int i = 0; i < states_count; i++)
		if (strcmp(state, states[i]) == 0)
			return i;
	return states_count;
}

/* Most values are shorter, and longer ones are kept until the next one only. */
static __thread char short_text[512];
static __thread char *long_text;

/* Descriptors and memory of a thread that ends are its own business, but this memory. */
static pthread_key_t text_key;
static pthread_once_t text_once = PTHREAD_ONCE_INIT;

static void make_text_key(void)
{
	pthread_key_create(&text_key, free);
}

/* Forget the long text of this thread, and have the next one freed with the thread. */
static void keep_long_text(char *text)
{
	pthread_once(&text_once, make_text_key);
	free(long_text);
	long_text = text;
	pthread_setspecific(text_key, text);
}

const char *container_config_text(struct lxc_container *c, const char *key)
{
	char *text;
	int length;

	errno = 0;
	length = c->get_config_item(c, key, short_text, sizeof(short_text));
	if (length < 0)
		return NULL;
	if (length == 0)
		return "";
	if (length < (int)sizeof(short_text))
		return short_text;
	text = malloc((size_t)length + 1);
	if (text == NULL)
		return NULL;
	keep_long_text(text);
	return c->get_config_item(c, key, text, length + 1) == length ? text : NULL;
}

/* Set an item to the values in the lines of a text, which is changed. */
static void set_lines(struct lxc_container *c, const char *key, char *text)
{
	char *rest = text;
	char *line;

	while ((line = strsep(&rest, "\n")) != NULL)
		if (*line != '\0')
			c->set_config_item(c, key, line);
}

/* Whether an item is told as it was set: each value with a newline, a single one perhaps without. */
static bool is_told_so(struct lxc_container *c, const char *key, const char *values, int count)
{
	const char *text = container_config_text(c, key);

	if (text == NULL)
		return false;
	for (int i = 0; i < count; i++) {
		size_t length = strlen(values);

		if (strncmp(text, values, length) != 0)
			return false;
		text += length;
		if (*text == '\n')
			text++;
		else if (count > 1)
			return false;
		values += length + 1;
	}
	return *text == '\0';
}

int container_replace_config_item(struct lxc_container *c, const char *key, const char *values, int count, bool exact)
{
	const char *text = container_config_text(c, key);
	const char *value = values;
	char *before = NULL;
	int error, failed = -1;

	if (text != NULL && *text != '\0') {
		before = strdup(text);
		if (before == NULL || !c->clear_config_item(c, key)) {
			free(before);
			return count;
		}
	}
	errno = 0;
	for (int i = 0; i < count; i++) {
		if (!c->set_config_item(c, key, value)) {
			failed = i;
			break;
		}
		value += strlen(value) + 1;
	}
	if (exact && failed < 0 && !is_told_so(c, key, values, count))
		failed = 0;
	error = errno;
	if (failed >= 0) {
		c->clear_config_item(c, key);
		if (before != NULL)
			set_lines(c, key, before);
	}
	free(before);
	errno = error;
	return failed;
}
