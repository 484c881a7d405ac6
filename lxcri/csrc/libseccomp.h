/*
 * What lxcri calls of libseccomp.so.2 (2.5 and later), as declarations for cffi: seccomp_init(3) and the
 * pages named there. The names of actions, operators and architectures are in lxcri/seccomp.py.
 */

enum { SCMP_ERROR = -1 }; /* __NR_SCMP_ERROR: no such syscall */

enum { SCMP_FLTATR_CTL_OPTIMIZE = 8 };

struct scmp_version {
	unsigned int major;
	unsigned int minor;
	unsigned int micro;
};

struct scmp_arg_cmp {
	unsigned int arg;
	unsigned int op;
	uint64_t datum_a;
	uint64_t datum_b;
};

const struct scmp_version *seccomp_version(void);
unsigned int seccomp_api_get(void);

void *seccomp_init(uint32_t def_action);
void seccomp_release(void *ctx);
int seccomp_attr_set(void *ctx, int attr, uint32_t value);

uint32_t seccomp_arch_native(void);
uint32_t seccomp_arch_resolve_name(const char *arch_name);
int seccomp_arch_add(void *ctx, uint32_t arch_token);

int seccomp_syscall_resolve_name(const char *name);
int seccomp_syscall_resolve_name_arch(uint32_t arch_token, const char *name);
int seccomp_rule_add_array(void *ctx, uint32_t action, int syscall, unsigned int arg_cnt,
			   const struct scmp_arg_cmp *arg_array);

int seccomp_export_bpf(const void *ctx, int fd);
