/* System calls that Python 3.11's os module lacks. Each returns what it should, or a negative errno. */
int linux_unshare(uint64_t flags);
int linux_setns(int fd, int type);
int linux_mount(const char *source, const char *target, const char *type, uint64_t flags, const char *data);
int linux_umount2(const char *target, int flags);
int linux_open_tree(int dir, const char *path, unsigned int flags);
int linux_mount_setattr(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear,
			uint64_t propagation, uint64_t userns_fd);
int linux_move_mount(int fd, int target);
int linux_close_range(unsigned int first, unsigned int last, unsigned int flags);
int linux_pidfd_getfd(int pidfd, int fd);
int linux_prctl(int option, unsigned long a, unsigned long b);
int linux_namespace_type(int fd);
int linux_clearenv(void);
