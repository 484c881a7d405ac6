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
int linux_device_filter_load(const char *name, const uint8_t *instructions, unsigned int count);
int linux_device_filter_attach(int cgroup, int program, int replaced);
int linux_device_filter_detach(int cgroup, int program);
int linux_device_filter_ids(int cgroup, uint32_t *ids, unsigned int count);
int linux_program_open(uint32_t id);
int linux_program_name(int program, char *name);
