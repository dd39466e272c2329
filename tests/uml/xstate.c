/*
 * User-mode Linux on a processor with AMX. Up to Linux 6.12 it keeps 2696 bytes of a process's registers, as many as AVX-512 and PKRU take
 * (arch/x86/um/user-offsets.c), and the host's kernel takes the whole state or nothing (xstateregs_set in arch/x86/kernel/fpu/regset.c):
 * with AMX that is 11008 bytes, and no guest boots. This is loaded into linux.uml (ld.so(8), LD_PRELOAD) and fills up what is missing
 * with zeros. The header in front says which parts count, and of AMX it has none: nobody in a guest asks for it (arch_prctl(2)).
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* More than any processor has today; CPUID leaf 13 says how many bytes this one has. */
#define LARGEST 65536

long ptrace(enum __ptrace_request request, ...)
{
    va_list rest;
    va_start(rest, request);
    pid_t pid = va_arg(rest, pid_t);
    void *address = va_arg(rest, void *);
    void *data = va_arg(rest, void *);
    va_end(rest);

    if (request >= PTRACE_PEEKTEXT && request <= PTRACE_PEEKUSER) {
        /* As glibc has it: the kernel writes the word to where data points. */
        long word;
        long failed = syscall(SYS_ptrace, request, pid, address, &word);
        if (!failed)
            errno = 0;
        return failed ? failed : word;
    }
    long done = syscall(SYS_ptrace, request, pid, address, data);
    if (done == 0 || errno != EFAULT || request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE)
        return done;

    static __thread char whole[LARGEST];
    struct iovec *part = data, all = {whole, sizeof whole};
    done = syscall(SYS_ptrace, PTRACE_GETREGSET, pid, address, &all);
    if (done != 0 || all.iov_len <= part->iov_len)
        return done;
    memset(whole, 0, all.iov_len);
    memcpy(whole, part->iov_base, part->iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, address, &all);
}
