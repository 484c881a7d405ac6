/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public interface of liblxc 1.0 to 7.0, as far as one pointer to a container reaches. Written from the ABI facts:
 * the order of members, the signatures and the values of constants, which all releases that share the soname
 * liblxc.so.1 have in common. tests/unit/test_abi.py compares every one of them with the system's own header.
 *
 * build_ffi.py reads this file twice: the compiler includes it, and cffi parses what is left of it without the lines
 * that start with '#'. So no constant is a macro. The "since" behind a declaration is data too: the first release of
 * liblxc that has it (2.0.0 stands for everything that came between 1.0 and 2.0). The library allocates the struct,
 * so a member that is newer than the library lies behind the end of the allocation and must not be read.
 */
#ifndef LXCFFI_LXC_LXCCONTAINER_H
#define LXCFFI_LXC_LXCCONTAINER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "attach_options.h"

/* Flags of clone(). */
enum {
	LXC_CLONE_KEEPNAME = 1 << 0,       /* leave the host name in the root file system alone */
	LXC_CLONE_KEEPMACADDR = 1 << 1,    /* keep the hardware addresses of the interfaces */
	LXC_CLONE_SNAPSHOT = 1 << 2,       /* a snapshot of the storage instead of a copy */
	LXC_CLONE_KEEPBDEVTYPE = 1 << 3,   /* same type of storage */
	LXC_CLONE_MAYBE_SNAPSHOT = 1 << 4, /* a snapshot where the storage can, else a copy */
	LXC_CLONE_MAXFLAGS = 1 << 5,
	LXC_CLONE_ALLOW_RUNNING = 1 << 6,
};

/* Flags of create(). */
enum {
	LXC_CREATE_QUIET = 1 << 0, /* the template's output goes to /dev/null */
	LXC_CREATE_MAXFLAGS = 1 << 1,
};

/* Value of lxc_mount.version. */
enum {
	LXC_MOUNT_API_V1 = 1,
};

/* Commands of migrate(). */
enum {
	MIGRATE_PRE_DUMP = 0,
	MIGRATE_DUMP = 1,
	MIGRATE_RESTORE = 2,
	MIGRATE_FEATURE_CHECK = 3, /* since 3.0.0 */
};

/* migrate_opts.features_to_check. */
enum {
	FEATURE_MEM_TRACK = 1 << 0,
	FEATURE_LAZY_PAGES = 1 << 1,
};

struct lxc_lock;
struct lxc_conf;
struct lxc_container;

/* Since 3.1.0. */
struct lxc_mount {
	int version;
};

struct lxc_snapshot {
	char *name;
	char *comment_pathname;
	char *timestamp;
	char *lxcpath;
	void (*free)(struct lxc_snapshot *s);
};

/* Storage of a container that is to be created. */
struct bdev_specs {
	char *fstype;
	uint64_t fssize; /* bytes */
	struct {
		char *zfsroot;
	} zfs;
	struct {
		char *vg;
		char *lv;
		char *thinpool;
	} lvm;
	char *dir;
	struct {
		char *rbdname;
		char *rbdpool;
	} rbd; /* since 2.0.0 */
};

/* The caller hands over the size that it knows. */
struct migrate_opts {
	char *directory;           /* since 2.0.0 */
	bool verbose;              /* since 2.0.0 */
	bool stop;                 /* since 2.0.0 */
	char *predump_dir;         /* since 2.0.0 */
	char *pageserver_address;  /* since 2.0.0 */
	char *pageserver_port;     /* since 2.0.0 */
	bool preserves_inodes;     /* since 2.0.0 */
	char *action_script;       /* since 2.0.0 */
	bool disable_skip_in_flight; /* since 2.0.0 */
	uint64_t ghost_limit;      /* since 2.0.0; bytes */
	uint64_t features_to_check; /* since 3.0.0 */
};

/* Since 3.0.0. */
struct lxc_console_log {
	bool clear;
	bool read;
	uint64_t *read_max; /* in: bytes wanted, 0 for all; out: bytes given */
	char *data;         /* allocated by liblxc, not terminated */
};

/* Since 2.1.0. */
struct lxc_log {
	const char *name;
	const char *lxcpath;
	const char *file;
	const char *level;
	const char *prefix;
	bool quiet; /* not on stderr too */
};

struct lxc_container {
	/* Private to liblxc, but for error_num. */
	char *name;                /* since 1.0.0 */
	char *configfile;          /* since 1.0.0 */
	char *pidfile;             /* since 1.0.0 */
	struct lxc_lock *slock;    /* since 1.0.0 */
	struct lxc_lock *privlock; /* since 1.0.0 */
	int numthreads;            /* since 1.0.0 */
	struct lxc_conf *lxc_conf; /* since 1.0.0 */
	char *error_string;        /* since 1.0.0 */
	int error_num;             /* since 1.0.0 */
	bool daemonize;            /* since 1.0.0 */
	char *config_path;         /* since 1.0.0 */

	bool (*is_defined)(struct lxc_container *c); /* since 1.0.0 */
	const char *(*state)(struct lxc_container *c); /* since 1.0.0; static storage */
	bool (*is_running)(struct lxc_container *c); /* since 1.0.0 */
	bool (*freeze)(struct lxc_container *c); /* since 1.0.0 */
	bool (*unfreeze)(struct lxc_container *c); /* since 1.0.0 */
	pid_t (*init_pid)(struct lxc_container *c); /* since 1.0.0; -1 when it does not run */
	bool (*load_config)(struct lxc_container *c, const char *alt_file); /* since 1.0.0 */
	bool (*start)(struct lxc_container *c, int useinit, char *const argv[]); /* since 1.0.0 */
	bool (*startl)(struct lxc_container *c, int useinit, ...); /* since 1.0.0 */
	bool (*stop)(struct lxc_container *c); /* since 1.0.0 */
	bool (*want_daemonize)(struct lxc_container *c, bool state); /* since 1.0.0 */
	bool (*want_close_all_fds)(struct lxc_container *c, bool state); /* since 1.0.0 */
	char *(*config_file_name)(struct lxc_container *c); /* since 1.0.0; caller frees */
	bool (*wait)(struct lxc_container *c, const char *state, int timeout); /* since 1.0.0; seconds, -1 for ever */
	bool (*set_config_item)(struct lxc_container *c, const char *key, const char *value); /* since 1.0.0 */
	bool (*destroy)(struct lxc_container *c); /* since 1.0.0 */
	bool (*save_config)(struct lxc_container *c, const char *alt_file); /* since 1.0.0 */
	bool (*create)(struct lxc_container *c, const char *t, const char *bdevtype, struct bdev_specs *specs,
		       int flags, char *const argv[]); /* since 1.0.0 */
	bool (*createl)(struct lxc_container *c, const char *t, const char *bdevtype, struct bdev_specs *specs,
			int flags, ...); /* since 1.0.0 */
	bool (*rename)(struct lxc_container *c, const char *newname); /* since 1.0.0 */
	bool (*reboot)(struct lxc_container *c); /* since 1.0.0 */
	bool (*shutdown)(struct lxc_container *c, int timeout); /* since 1.0.0; seconds, -1 for ever */
	void (*clear_config)(struct lxc_container *c); /* since 1.0.0 */
	bool (*clear_config_item)(struct lxc_container *c, const char *key); /* since 1.0.0 */
	int (*get_config_item)(struct lxc_container *c, const char *key, char *retv,
			       int inlen); /* since 1.0.0; length */
	char *(*get_running_config_item)(struct lxc_container *c, const char *key); /* since 1.0.0; caller frees */
	int (*get_keys)(struct lxc_container *c, const char *key, char *retv, int inlen); /* since 1.0.0; length */
	char **(*get_interfaces)(struct lxc_container *c); /* since 1.0.0; caller frees each, and the array */
	char **(*get_ips)(struct lxc_container *c, const char *interface, const char *family,
			  int scope); /* since 1.0.0; same */
	int (*get_cgroup_item)(struct lxc_container *c, const char *subsys, char *retv,
			       int inlen); /* since 1.0.0; length */
	bool (*set_cgroup_item)(struct lxc_container *c, const char *subsys, const char *value); /* since 1.0.0 */
	const char *(*get_config_path)(struct lxc_container *c); /* since 1.0.0; the container's own */
	bool (*set_config_path)(struct lxc_container *c, const char *path); /* since 1.0.0 */
	struct lxc_container *(*clone)(struct lxc_container *c, const char *newname, const char *lxcpath, int flags,
				       const char *bdevtype, const char *bdevdata, uint64_t newsize,
				       char **hookargs); /* since 1.0.0 */
	int (*console_getfd)(struct lxc_container *c, int *ttynum, int *ptxfd); /* since 1.0.0 */
	int (*console)(struct lxc_container *c, int ttynum, int stdinfd, int stdoutfd, int stderrfd,
		       int escape); /* since 1.0.0 */
	int (*attach)(struct lxc_container *c, lxc_attach_exec_t exec_function, void *exec_payload,
		      lxc_attach_options_t *options, pid_t *attached_process); /* since 1.0.0 */
	int (*attach_run_wait)(struct lxc_container *c, lxc_attach_options_t *options, const char *program,
			       const char *const argv[]); /* since 1.0.0; wait status */
	int (*attach_run_waitl)(struct lxc_container *c, lxc_attach_options_t *options, const char *program,
				const char *arg, ...); /* since 1.0.0; wait status */
	int (*snapshot)(struct lxc_container *c, const char *commentfile); /* since 1.0.0; number of the snapshot */
	int (*snapshot_list)(struct lxc_container *c, struct lxc_snapshot **snapshots); /* since 1.0.0; how many */
	bool (*snapshot_restore)(struct lxc_container *c, const char *snapname, const char *newname); /* since 1.0.0 */
	bool (*snapshot_destroy)(struct lxc_container *c, const char *snapname); /* since 1.0.0 */
	bool (*may_control)(struct lxc_container *c); /* since 1.0.0 */
	bool (*add_device_node)(struct lxc_container *c, const char *src_path,
				const char *dest_path); /* since 1.0.0 */
	bool (*remove_device_node)(struct lxc_container *c, const char *src_path,
				   const char *dest_path); /* since 1.0.0 */
	bool (*attach_interface)(struct lxc_container *c, const char *dev, const char *dst_dev); /* since 2.0.0 */
	bool (*detach_interface)(struct lxc_container *c, const char *dev, const char *dst_dev); /* since 2.0.0 */
	bool (*checkpoint)(struct lxc_container *c, char *directory, bool stop, bool verbose); /* since 2.0.0 */
	bool (*restore)(struct lxc_container *c, char *directory, bool verbose); /* since 2.0.0 */
	bool (*destroy_with_snapshots)(struct lxc_container *c); /* since 2.0.0 */
	bool (*snapshot_destroy_all)(struct lxc_container *c); /* since 2.0.0 */
	int (*migrate)(struct lxc_container *c, unsigned int cmd, struct migrate_opts *opts,
		       unsigned int size); /* since 2.0.0 */
	int (*console_log)(struct lxc_container *c, struct lxc_console_log *log); /* since 3.0.0 */
	bool (*reboot2)(struct lxc_container *c, int timeout); /* since 3.0.0; seconds, -1 for ever */
	int (*mount)(struct lxc_container *c, const char *source, const char *target, const char *filesystemtype,
		     unsigned long mountflags, const void *data, struct lxc_mount *mnt); /* since 3.1.0 */
	int (*umount)(struct lxc_container *c, const char *target, unsigned long mountflags,
		      struct lxc_mount *mnt); /* since 3.1.0 */
	int (*seccomp_notify_fd)(struct lxc_container *c); /* since 3.2.0 */
	/* 4.0.0 to 4.0.4 had init_pidfd in this place: the one change of order in the struct's history. */
	int (*seccomp_notify_fd_active)(struct lxc_container *c); /* since 4.0.5 */
	int (*init_pidfd)(struct lxc_container *c); /* since 4.0.5; caller closes */
	int (*devpts_fd)(struct lxc_container *c); /* since 4.0.5; caller closes */
	int rcv_timeout; /* since 6.0.0 */
	bool (*set_timeout)(struct lxc_container *c, int timeout); /* since 6.0.0; seconds, for the monitor's answers */
};

struct lxc_container *lxc_container_new(const char *name, const char *configpath); /* since 1.0.0 */
int lxc_container_get(struct lxc_container *c); /* since 1.0.0; 1 if a reference was taken */
int lxc_container_put(struct lxc_container *c); /* since 1.0.0; 1 if it was the last reference, -1 for NULL */
int lxc_get_wait_states(const char **states); /* since 1.0.0; how many */
const char *lxc_get_global_config_item(const char *key); /* since 1.0.0 */
const char *lxc_get_version(void); /* since 1.0.0; "5.0.2", development versions with a tail */
int list_defined_containers(const char *lxcpath, char ***names,
			    struct lxc_container ***cret); /* since 1.0.0; how many */
int list_active_containers(const char *lxcpath, char ***names,
			   struct lxc_container ***cret); /* since 1.0.0; same */
int list_all_containers(const char *lxcpath, char ***names,
			struct lxc_container ***cret); /* since 1.0.0; same */
int lxc_log_init(struct lxc_log *log); /* since 2.1.0 */
void lxc_log_close(void); /* since 2.0.0 */
bool lxc_config_item_is_supported(const char *key); /* since 2.1.0; a prefix is enough to match */
bool lxc_has_api_extension(const char *extension); /* since 3.1.0 */

#endif
