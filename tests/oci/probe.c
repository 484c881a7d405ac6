/* Runs in a test's container: makes one system call, prints what came of it.
 *
 *     probe NAME [ARGUMENT...]     an argument is a number (any base), or @text for a pointer to text
 *     probe notify TEXT            sends a datagram to the socket that $NOTIFY_SOCKET names
 *
 * Output: "ok VALUE" or "errno NUMBER".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static const struct { const char *name; long number; } calls[] = {
    {"getpriority", SYS_getpriority}, {"keyctl", SYS_keyctl},       {"kill", SYS_kill},
    {"mkdirat", SYS_mkdirat},         {"mknodat", SYS_mknodat},     {"mount", SYS_mount},
    {"personality", SYS_personality}, {"ptrace", SYS_ptrace},       {"reboot", SYS_reboot},
    {"setdomainname", SYS_setdomainname}, {"sethostname", SYS_sethostname}, {"setpriority", SYS_setpriority},
    {"setuid", SYS_setuid},           {"socket", SYS_socket},       {"sync", SYS_sync},
    {"umount2", SYS_umount2},         {"unshare", SYS_unshare},     {"lseek", SYS_lseek},
};

static void report(long value)
{
    if (value < 0)
        printf("errno %d\n", errno);
    else
        printf("ok %ld\n", value);
}

static long notify(const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("NOTIFY_SOCKET");

    if (!path || strlen(path) >= sizeof(address.sun_path)) {
        errno = EINVAL;
        return -1;
    }
    strcpy(address.sun_path, path);
    return sendto(socket(AF_UNIX, SOCK_DGRAM, 0), text, strlen(text), 0, (void *)&address, sizeof(address));
}

int main(int argc, char **argv)
{
    long args[6] = {0};

    if (argc == 3 && strcmp(argv[1], "notify") == 0) {
        report(notify(argv[2]));
        return 0;
    }
    for (int i = 2; i < argc && i < 8; i++)
        args[i - 2] = argv[i][0] == '@' ? (long)(argv[i] + 1) : (long)strtoull(argv[i], NULL, 0);
    for (size_t i = 0; argc > 1 && i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i].name, argv[1]) != 0)
            continue;
        report(syscall(calls[i].number, args[0], args[1], args[2], args[3], args[4], args[5]));
        return 0;
    }
    fputs("probe: unknown call\n", stderr);
    return 125;
}
