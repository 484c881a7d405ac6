/* Runs a command, and has one system call of one of its processes go wrong. x86-64 only.
 *
 *     faults REPORT ROLE N NUMBER ERRNO COMMAND...
 *
 * The first process has the role 0, its second child 0.2, and so on. Before the N-th system call with this number of the
 * process with this role, counted from 1, it is killed (ERRNO 0); or the call is not made, and fails with this error.
 * "hit" goes to the file REPORT then. With N 0 nothing goes wrong, and REPORT gets a line for each process: its role, and
 * the numbers of all its calls in order. The exit status is the command's; what else it has started lives on without us.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* not in the C library's header of this name; the kernel's own does not go with it */
#define GET_SYSCALL_INFO 0x420e
#define SYSCALL_INFO_ENTRY 1
#define SYSCALL_INFO_EXIT 2

struct syscall_info {
    unsigned char op, pad[3];
    unsigned int arch;
    unsigned long long instruction_pointer, stack_pointer;
    union {
        struct {
            unsigned long long nr, args[6];
        } entry;
        unsigned char size[64];
    };
};

#define MAX_PROCESSES 256
#define MAX_CALLS 16384

static struct traced {
    int pid, children, waits; /* waits: it has stopped before we knew whose child it is */
    int failing;              /* at the exit of the call that is to fail */
    char role[64];
    unsigned long count;
    short *calls;
} processes[MAX_PROCESSES];
static int process_count;

static FILE *report;
static const char *role;
static unsigned long place;
static int number, error, done, hit;

static struct traced *find(int pid)
{
    for (int i = process_count - 1; i >= 0; i--)
        if (processes[i].pid == pid)
            return &processes[i];
    if (process_count == MAX_PROCESSES)
        exit(125);
    processes[process_count].pid = pid;
    return &processes[process_count++];
}

/* Only the calls of the process in question stop it, for they cost. */
static void resume(struct traced *p, int sig)
{
    int counts = !done && (!place || !strcmp(p->role, role));

    ptrace(counts ? PTRACE_SYSCALL : PTRACE_CONT, p->pid, 0, sig);
}

/* A process has made another one. */
static void name_child(struct traced *parent)
{
    unsigned long pid = 0;
    struct traced *child;

    if (ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &pid))
        return;
    child = find((int)pid);
    snprintf(child->role, sizeof(child->role), "%.50s.%d", parent->role, ++parent->children);
    if (child->waits)
        resume(child, 0);
    child->waits = 0;
}

static void at_call(struct traced *p)
{
    struct syscall_info info = { 0 };
    struct user_regs_struct registers;

    if (ptrace(GET_SYSCALL_INFO, p->pid, sizeof(info), &info) <= 0)
        return;
    if (info.op == SYSCALL_INFO_EXIT && p->failing) {
        if (!ptrace(PTRACE_GETREGS, p->pid, 0, &registers)) {
            registers.rax = (unsigned long)-error;
            ptrace(PTRACE_SETREGS, p->pid, 0, &registers);
        }
        p->failing = 0;
        done = 1;
    }
    if (info.op != SYSCALL_INFO_ENTRY || done)
        return;
    if (!place) {
        p->count++;
        if (!p->calls)
            p->calls = calloc(MAX_CALLS, sizeof(*p->calls));
        if (p->calls && p->count <= MAX_CALLS)
            p->calls[p->count - 1] = (short)info.entry.nr;
    } else if (!hit && !strcmp(p->role, role) && (int)info.entry.nr == number && ++p->count == place) {
        hit = 1;
        fputs("hit\n", report);
        fflush(report);
        if (!error) {
            done = 1;
            kill(p->pid, SIGKILL);
        } else if (!ptrace(PTRACE_GETREGS, p->pid, 0, &registers)) {
            registers.orig_rax = (unsigned long)-1;
            ptrace(PTRACE_SETREGS, p->pid, 0, &registers);
            p->failing = 1;
        }
    }
}

static int trace(int first)
{
    int status, pid;

    while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
        struct traced *p;
        int sig, event = status >> 16;

        if (pid <= 0)
            continue;
        if (!WIFSTOPPED(status)) {
            if (pid == first)
                return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            find(pid)->pid = -1;
            continue;
        }
        p = find(pid);
        sig = WSTOPSIG(status);
        if (!*p->role) {
            p->waits = 1;
        } else if (sig == (SIGTRAP | 0x80)) {
            at_call(p);
            resume(p, 0);
        } else if (event == PTRACE_EVENT_STOP) {
            if (sig == SIGTRAP)
                resume(p, 0);
            else
                ptrace(PTRACE_LISTEN, pid, 0, 0);
        } else if (event) {
            if (event != PTRACE_EVENT_EXEC)
                name_child(p);
            resume(p, 0);
        } else {
            resume(p, sig);
        }
    }
    return 125;
}

int main(int argc, char **argv)
{
    int pid, status;
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC;

    if (argc < 7)
        return 125;
    report = fopen(argv[1], "we");
    role = argv[2];
    place = strtoul(argv[3], NULL, 10);
    number = atoi(argv[4]);
    error = atoi(argv[5]);
    pid = report ? fork() : -1;
    if (pid < 0)
        return 125;
    if (!pid) {
        raise(SIGSTOP);
        execvp(argv[6], argv + 6);
        _exit(127);
    }
    waitpid(pid, &status, WUNTRACED);
    if (ptrace(PTRACE_SEIZE, pid, 0, options))
        return 125;
    strcpy(find(pid)->role, "0");
    kill(pid, SIGCONT);
    status = trace(pid);
    for (int i = 0; !place && i < process_count; i++) {
        fputs(processes[i].role, report);
        for (unsigned long n = 0; processes[i].calls && n < processes[i].count && n < MAX_CALLS; n++)
            fprintf(report, " %d", processes[i].calls[n]);
        fputs("\n", report);
    }
    fclose(report);
    return status;
}
