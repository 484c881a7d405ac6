/*
 * What lxcri calls of libsystemd.so.0, its D-Bus client, as declarations for cffi: sd-bus(3) and the pages named
 * there. What is said over it is in lxcri/cgroup/systemd.py.
 */

typedef struct sd_bus sd_bus;
typedef struct sd_bus_message sd_bus_message;

typedef struct {
	const char *name;
	const char *message;
	int _need_free;
} sd_bus_error;

int sd_bus_open_system(sd_bus **ret);
int sd_bus_open_user(sd_bus **ret);
int sd_bus_new(sd_bus **ret);
int sd_bus_set_address(sd_bus *bus, const char *address);
int sd_bus_start(sd_bus *bus);
sd_bus *sd_bus_flush_close_unref(sd_bus *bus);

int sd_bus_call(sd_bus *bus, sd_bus_message *m, uint64_t usec, sd_bus_error *ret_error, sd_bus_message **reply);
int sd_bus_process(sd_bus *bus, sd_bus_message **ret);
int sd_bus_wait(sd_bus *bus, uint64_t timeout_usec);
void sd_bus_error_free(sd_bus_error *e);

int sd_bus_message_new_method_call(sd_bus *bus, sd_bus_message **m, const char *destination, const char *path,
				   const char *interface, const char *member);
sd_bus_message *sd_bus_message_unref(sd_bus_message *m);
int sd_bus_message_is_signal(sd_bus_message *m, const char *interface, const char *member);

int sd_bus_message_append_basic(sd_bus_message *m, char type, const void *p);
int sd_bus_message_open_container(sd_bus_message *m, char type, const char *contents);
int sd_bus_message_close_container(sd_bus_message *m);

int sd_bus_message_enter_container(sd_bus_message *m, char type, const char *contents);
int sd_bus_message_read_basic(sd_bus_message *m, char type, void *p);
