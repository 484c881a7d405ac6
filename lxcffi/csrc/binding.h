/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the module has beside liblxc's own API. build_ffi.py hands this file to cffi without its directives.
 */
#ifndef LXCFFI_BINDING_H
#define LXCFFI_BINDING_H

/* A version as a number that compares: "5.0.2" is 0x050002; a tail is ignored, missing parts are 0. */
unsigned int parse_version(const char *text);

/* What container_NAME() takes for the version of the library: that of lxc_get_version(), unless it was set. */
unsigned int get_library_version(void);
void set_library_version(unsigned int version);

/*
 * c->attach() with lxcffi_attached(payload) as what runs in the container. All of liblxc's work is done without the
 * GIL; at its fork the GIL is held and Python is told, as in os.fork(), so that the interpreter is whole in the child.
 */
int container_attach_python(struct lxc_container *c, void *payload, lxc_attach_options_t *options,
			    pid_t *attached_process);

/* Whether two descriptors of this process are one open file, by kcmp(2); not if the kernel does not say. */
bool is_same_file(int one, int other);

/*
 * Replace the value of a configuration item, or all values of one that is a list, by count values, each of which ends
 * with a NUL. Returns -1, or the number of the value that liblxc refused (count if it cannot clear the item): then the
 * item is as it was. With exact, so do values that liblxc then tells otherwise, or in another order: the first is refused.
 */
int container_replace_config_item(struct lxc_container *c, const char *key, const char *values, int count, bool exact);

/* What the container is doing, by its place in what lxc_get_wait_states() gives; their number for what is not there. */
int container_state_number(struct lxc_container *c);

/* Text of a configuration item, in storage of the calling thread up to its next call; NULL if liblxc has none. */
const char *container_config_text(struct lxc_container *c, const char *key);

#endif
