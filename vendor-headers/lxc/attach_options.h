/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How lxc_container.attach() is told what to do. Written from the ABI facts (values, order of members, signatures);
 * see lxccontainer.h for how this file is read by build_ffi.py.
 */
#ifndef LXCFFI_LXC_ATTACH_OPTIONS_H
#define LXCFFI_LXC_ATTACH_OPTIONS_H

#include <sys/types.h>

/* What becomes of the caller's environment. */
typedef enum lxc_attach_env_policy_t {
	LXC_ATTACH_KEEP_ENV = 0,
	LXC_ATTACH_CLEAR_ENV = 1,
} lxc_attach_env_policy_t;

/* attach_flags. The low 16 bits are on by default, the high ones must be asked for. */
enum {
	LXC_ATTACH_MOVE_TO_CGROUP = 0x00000001,    /* since 1.0.0 */
	LXC_ATTACH_DROP_CAPABILITIES = 0x00000002, /* since 1.0.0 */
	LXC_ATTACH_SET_PERSONALITY = 0x00000004,   /* since 1.0.0 */
	LXC_ATTACH_LSM_EXEC = 0x00000008,          /* since 1.0.0 */
	LXC_ATTACH_REMOUNT_PROC_SYS = 0x00010000,  /* since 1.0.0 */
	LXC_ATTACH_LSM_NOW = 0x00020000,           /* since 1.0.0 */
	LXC_ATTACH_NO_NEW_PRIVS = 0x00040000,      /* since 3.0.0 */
	LXC_ATTACH_TERMINAL = 0x00080000,          /* since 3.0.0 */
	LXC_ATTACH_LSM_LABEL = 0x00100000,         /* since 4.0.7, with the member lsm_label */
	LXC_ATTACH_SETGROUPS = 0x00200000,         /* since 4.0.7, with the member groups */
	LXC_ATTACH_DEFAULT = 0x0000FFFF,
};

/* Runs in the attached process, in the container; its result is the exit status. */
typedef int (*lxc_attach_exec_t)(void *payload);

/* Supplementary groups, since 4.0.7. */
typedef struct lxc_groups_t {
	size_t size;
	gid_t *list;
} lxc_groups_t;

/*
 * Libraries older than a member ignore it: they are handed a pointer and read only the part that they know.
 * The neutral values are: namespaces -1 (all of the container's), personality ~0L (the container's own), uid and
 * gid -1 (as in the container), stdin_fd 0, stdout_fd 1, stderr_fd 2, log_fd -EBADF (no log), the rest 0 and NULL.
 */
typedef struct lxc_attach_options_t {
	int attach_flags;                   /* since 1.0.0 */
	int namespaces;                     /* since 1.0.0 */
	long personality;                   /* since 1.0.0 */
	char *initial_cwd;                  /* since 1.0.0 */
	uid_t uid;                          /* since 1.0.0 */
	gid_t gid;                          /* since 1.0.0 */
	lxc_attach_env_policy_t env_policy; /* since 1.0.0 */
	char **extra_env_vars;              /* since 1.0.0 */
	char **extra_keep_env;              /* since 1.0.0 */
	int stdin_fd;                       /* since 1.0.0 */
	int stdout_fd;                      /* since 1.0.0 */
	int stderr_fd;                      /* since 1.0.0 */
	int log_fd;                         /* since 3.0.0 */
	char *lsm_label;                    /* since 4.0.7 */
	lxc_groups_t groups;                /* since 4.0.7 */
} lxc_attach_options_t;

/* Payload of lxc_attach_run_command(). */
typedef struct lxc_attach_command_t {
	char *program;
	char **argv; /* argv[0] included, ends with NULL */
} lxc_attach_command_t;

int lxc_attach_run_command(void *payload); /* since 1.0.0; payload is a lxc_attach_command_t */
int lxc_attach_run_shell(void *payload);   /* since 1.0.0; payload is not used */

#endif
