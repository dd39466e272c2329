/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * clockgate-page.h: reads the gate page of clockgate's agent, with the judgement of the crate clockgate-page.
 *
 * This header is all there is: no library is linked. It is C99 and C++11 for Linux, by GCC or Clang. Include it before the system's
 * headers, or compile with -D_GNU_SOURCE.
 *
 *     struct clockgate_page page;
 *     struct clockgate_view view;
 *     if (clockgate_open(&page, CLOCKGATE_DIRECTORY) == CLOCKGATE_OK) {
 *         clockgate_read(&page, &view);
 *         if (view.gate == CLOCKGATE_PROVEN)
 *             printf("wrong by at most %llu ns\n", (unsigned long long)view.bound_now);
 *         clockgate_close(&page);
 *     }
 *
 * Times are nanoseconds, on CLOCK_BOOTTIME of the host where they are moments. A struct clockgate_page belongs to one thread at a time.
 */
#ifndef CLOCKGATE_PAGE_H
#define CLOCKGATE_PAGE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef CLOCK_BOOTTIME
#error "include clockgate-page.h before the system's headers, or compile with -D_GNU_SOURCE"
#endif

/* The folder of the page on this host. */
#define CLOCKGATE_DIRECTORY "/run/clockgate/public"
#define CLOCKGATE_SECOND UINT64_C(1000000000)
/* "Not known", in bound and bound_now. */
#define CLOCKGATE_UNKNOWN UINT64_MAX

/* Why there is no page to read. */
enum clockgate_error {
    CLOCKGATE_OK = 0,
    CLOCKGATE_ABSENT,       /* no agent has been here, or its folder is not mounted */
    CLOCKGATE_OTHER_KERNEL, /* of an earlier boot, or of the host of this virtual machine */
    CLOCKGATE_UNREADABLE,   /* see errno */
    CLOCKGATE_FOREIGN       /* not a gate page, or of another version */
};

enum clockgate_gate { CLOCKGATE_SHUT = 0, CLOCKGATE_PROVEN = 1, CLOCKGATE_UNPROVEN = 2 };

/* The agent behind the page. */
enum clockgate_agent {
    CLOCKGATE_ALIVE,
    CLOCKGATE_STARTING, /* it has not begun to measure */
    CLOCKGATE_ENDED,    /* at agent_at, for the reason in why */
    CLOCKGATE_SILENT,   /* killed, stopped or hanging, since agent_at */
    CLOCKGATE_PAGE_GONE /* the page was removed, truncated or replaced: open it again */
};

/* Why a proof on the page is none by our own clocks. */
enum clockgate_doubt {
    CLOCKGATE_NO_DOUBT,
    CLOCKGATE_EXPIRED,
    CLOCKGATE_SLEPT,   /* the kernel counted a sleep since */
    CLOCKGATE_STEPPED, /* a program set the clock */
    CLOCKGATE_SLEWED,  /* a program slewed the clock */
    CLOCKGATE_VAGUE    /* reading the clocks took too long */
};

/* What the page said at one moment, judged by our own clocks; docs/interfaces.md of clockgate has each field. */
struct clockgate_view {
    enum clockgate_gate gate; /* shut where the proof is void by our clocks, whatever the page says */
    uint32_t word;            /* the gate as the page has it */
    uint64_t now;             /* when we looked */
    enum clockgate_agent agent;
    uint64_t agent_at;
    enum clockgate_doubt doubt;
    uint64_t epoch;
    uint32_t state, cause;
    int64_t offset;     /* not known while bound is CLOCKGATE_UNKNOWN */
    uint64_t bound;     /* the most the clock was wrong at as_of */
    uint64_t bound_now; /* the most it is wrong now */
    uint64_t as_of, threshold, valid_until, since, deadline;
    uint32_t max_drift; /* parts per million */
    int has_differences;
    int64_t real_minus_boot;
    uint64_t boot_minus_mono;
    int64_t mono_minus_raw;
    uint64_t leap_at;
    int64_t leap;  /* 0: no leap second is expected */
    char why[257]; /* why the gate is not open on a proof; UTF-8 without control characters */
};

/* A page that is mapped. */
struct clockgate_page {
    int fd;
    const void *map;
    unsigned char boot_id[16];
    int64_t mono_shift, boot_shift; /* of our time namespace */
};

/* The clocks as the host has them, and how long it took to read them. */
struct clockgate_clocks {
    int64_t real, boot, asleep, raw, width;
};

#define CLOCKGATE_LENGTH 4096
#define CLOCKGATE_USED 424
/* Differences of clocks that were read one after the other are equal to so much. */
#define CLOCKGATE_NOISE UINT64_C(1000000)

static inline int64_t clockgate_clock(clockid_t clock) {
    struct timespec now = {0, 0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * INT64_C(1000000000) + (int64_t)now.tv_nsec;
}

/* CLOCK_BOOTTIME of this process. */
static inline uint64_t clockgate_boottime(void) { return (uint64_t)clockgate_clock(CLOCK_BOOTTIME); }

static inline uint64_t clockgate_size(int64_t value) { return value < 0 ? UINT64_C(0) - (uint64_t)value : (uint64_t)value; }

static inline uint64_t clockgate_plus(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

static inline uint64_t clockgate_after(uint64_t later, uint64_t earlier) { return later > earlier ? later - earlier : 0; }

static inline int64_t clockgate_minus(int64_t a, int64_t b) {
    if (b > 0 && a < INT64_MIN + b)
        return INT64_MIN;
    if (b < 0 && a > INT64_MAX + b)
        return INT64_MAX;
    return a - b;
}

static inline int64_t clockgate_not_negative(int64_t value) { return value < 0 ? 0 : value; }

/* What a clock can lose or win in so long. */
static inline uint64_t clockgate_drift(uint64_t elapsed, uint32_t ppm) {
    uint64_t millionths = elapsed / 1000000;
    if (ppm != 0 && millionths > UINT64_MAX / ppm)
        return UINT64_MAX;
    return clockgate_plus(millionths * ppm, elapsed % 1000000 * ppm / 1000000);
}

static inline struct clockgate_clocks clockgate_attempt(const struct clockgate_page *page) {
    struct clockgate_clocks now;
    int64_t before = clockgate_clock(CLOCK_MONOTONIC);
    int64_t real = clockgate_clock(CLOCK_REALTIME);
    int64_t boot = clockgate_clock(CLOCK_BOOTTIME) - page->boot_shift;
    int64_t raw = clockgate_clock(CLOCK_MONOTONIC_RAW) - page->mono_shift;
    int64_t after = clockgate_clock(CLOCK_MONOTONIC);
    int64_t mono = before + (after - before) / 2 - page->mono_shift;
    now.real = real;
    now.boot = clockgate_not_negative(boot);
    now.asleep = clockgate_not_negative(boot - mono);
    now.raw = clockgate_not_negative(raw);
    now.width = (int64_t)clockgate_size(after - before);
    return now;
}

/* The narrowest of five attempts; one within a microsecond, or two that took about as long, are enough. */
static inline struct clockgate_clocks clockgate_clocks_now(const struct clockgate_page *page) {
    struct clockgate_clocks best = clockgate_attempt(page);
    int i;
    for (i = 1; i < 5 && best.width > 1000; i++) {
        struct clockgate_clocks next = clockgate_attempt(page);
        uint64_t differ = clockgate_size(next.width - best.width);
        if (next.width < best.width)
            best = next;
        if (differ <= (uint64_t)best.width / 4)
            break;
    }
    return best;
}

/* What of a change of the clock is not the leap second's, which moves the truth with the clock. */
static inline int64_t clockgate_without_leap(const struct clockgate_view *view, int64_t moved, uint64_t now) {
    int64_t leapt = clockgate_minus(moved, view->leap);
    /* A second that is inserted is the first of the next day too, until the kernel leaps. */
    uint64_t twice = view->leap < 0 ? clockgate_size(view->leap) : 0;
    uint64_t last = clockgate_plus(clockgate_plus(view->leap_at, twice), CLOCKGATE_NOISE);
    if (view->leap == 0 || clockgate_plus(now, CLOCKGATE_NOISE) < view->leap_at)
        return moved;
    return now < last && clockgate_size(moved) < clockgate_size(leapt) ? moved : leapt;
}

/* What the proof of a view is worth by these clocks; sets bound_now where it is one. */
static inline enum clockgate_doubt clockgate_judge(struct clockgate_view *view, const struct clockgate_clocks *now) {
    uint64_t boot = (uint64_t)now->boot, width = (uint64_t)now->width;
    uint64_t growth = clockgate_drift(clockgate_after(boot, view->as_of), view->max_drift);
    uint64_t noise = width > CLOCKGATE_NOISE ? width : CLOCKGATE_NOISE;
    uint64_t asleep = (uint64_t)now->asleep, bound, distance;
    int64_t offset = view->bound == CLOCKGATE_UNKNOWN ? 0 : view->offset, stepped, bent, slewed;
    if (boot >= view->valid_until)
        return CLOCKGATE_EXPIRED;
    if (!view->has_differences) {
        view->bound_now = clockgate_plus(view->bound, growth);
        return CLOCKGATE_NO_DOUBT;
    }
    if ((asleep > view->boot_minus_mono ? asleep - view->boot_minus_mono : view->boot_minus_mono - asleep) > noise)
        return CLOCKGATE_SLEPT;
    stepped = clockgate_without_leap(view, clockgate_minus(now->real - now->boot, view->real_minus_boot), boot);
    /* Up to the known rate a bend is the crystal's correction; beyond it is a slew, which moves the clock. */
    bent = clockgate_minus(now->boot - now->asleep - now->raw, view->mono_minus_raw);
    slewed = (int64_t)(clockgate_after(clockgate_size(bent), growth) & INT64_MAX);
    slewed = bent < 0 ? -slewed : slewed;
    distance = clockgate_after(view->bound, clockgate_size(offset));
    bound = clockgate_size(clockgate_minus(clockgate_minus(offset, stepped), slewed));
    bound = clockgate_plus(clockgate_plus(clockgate_plus(bound, distance), growth), width);
    if (bound <= view->threshold) {
        view->bound_now = bound;
        return CLOCKGATE_NO_DOUBT;
    }
    if (clockgate_size(stepped) > noise)
        return CLOCKGATE_STEPPED;
    if (clockgate_size(slewed) > noise)
        return CLOCKGATE_SLEWED;
    return width > CLOCKGATE_NOISE ? CLOCKGATE_VAGUE : CLOCKGATE_EXPIRED;
}

static inline const char *clockgate_doubt_text(enum clockgate_doubt doubt) {
    switch (doubt) {
    case CLOCKGATE_NO_DOUBT:
        return "";
    case CLOCKGATE_EXPIRED:
        return "the proof has expired and the agent has not renewed it";
    case CLOCKGATE_SLEPT:
        return "the machine slept since the proof, and the clock was not measured again";
    case CLOCKGATE_STEPPED:
        return "the clock was set since the proof, and not measured again";
    case CLOCKGATE_SLEWED:
        return "the clock was slewed since the proof, and not measured again";
    case CLOCKGATE_VAGUE:
        return "the clocks of this machine cannot be read at once";
    }
    return "";
}

static inline const char *clockgate_error_text(enum clockgate_error error) {
    switch (error) {
    case CLOCKGATE_OK:
        return "";
    case CLOCKGATE_ABSENT:
        return "there is no gate page: no clockgate agent runs here, or its folder is not mounted";
    case CLOCKGATE_OTHER_KERNEL:
        return "the gate page is of another kernel: of an earlier boot, or of the host of this virtual machine";
    case CLOCKGATE_UNREADABLE:
        return strerror(errno);
    case CLOCKGATE_FOREIGN:
        return "this is not a gate page of version 1";
    }
    return "";
}

/* The beginning of a small file, as text. */
static inline int clockgate_small_file(const char *path, char *text, size_t room) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);
    if (fd >= 0)
        close(fd);
    text[length < 0 ? 0 : length] = 0;
    return length < 0 ? -1 : 0;
}

/* The id of this boot; -1 where /proc is not mounted. */
static inline int clockgate_boot_id(unsigned char id[16]) {
    char text[64];
    int digits = 0, i;
    memset(id, 0, 16);
    if (clockgate_small_file("/proc/sys/kernel/random/boot_id", text, sizeof text) != 0)
        return -1;
    for (i = 0; text[i] != 0 && digits < 32; i++) {
        const char *hex = "0123456789abcdef", *found = strchr(hex, text[i]);
        if (found == NULL)
            continue;
        id[digits / 2] = (unsigned char)(id[digits / 2] << 4 | (found - hex));
        digits++;
    }
    return digits == 32 ? 0 : -1;
}

/* Reads the shift of our time namespace anew; none where it cannot be known (time_namespaces(7)). */
static inline void clockgate_read_shift(struct clockgate_page *page) {
    char own[64], of_children[64], text[256], *line = text;
    ssize_t a = readlink("/proc/self/ns/time", own, sizeof own);
    ssize_t b = readlink("/proc/self/ns/time_for_children", of_children, sizeof of_children);
    page->mono_shift = page->boot_shift = 0;
    /* The file shows the namespace of our children. */
    if (a <= 0 || a != b || memcmp(own, of_children, (size_t)a) != 0)
        return;
    if (clockgate_small_file("/proc/self/timens_offsets", text, sizeof text) != 0)
        return;
    while (*line != 0) {
        char name[16];
        long long seconds, nanos;
        int length = 0;
        if (sscanf(line, "%15s %lld %lld%n", name, &seconds, &nanos, &length) < 3)
            return;
        if (strcmp(name, "monotonic") == 0 || strcmp(name, "1") == 0)
            page->mono_shift = (int64_t)seconds * INT64_C(1000000000) + nanos;
        else
            page->boot_shift = (int64_t)seconds * INT64_C(1000000000) + nanos;
        line += length;
        line += strspn(line, "\n");
    }
}

/* Maps the page in this folder, CLOCKGATE_DIRECTORY on the host itself. */
static inline enum clockgate_error clockgate_open(struct clockgate_page *page, const char *directory) {
    char path[4096];
    unsigned char header[32], boot_id[16];
    struct stat found;
    uint64_t magic;
    uint32_t version;
    enum clockgate_error error = CLOCKGATE_OK;
    int length = snprintf(path, sizeof path, "%s/gate", directory);
    memset(page, 0, sizeof *page);
    /* A FIFO in its place would wait for a writer. */
    page->fd = length < (int)sizeof path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (page->fd < 0)
        return errno == ENOENT ? CLOCKGATE_ABSENT : CLOCKGATE_UNREADABLE;
    if (fstat(page->fd, &found) != 0)
        error = CLOCKGATE_UNREADABLE;
    else if (!S_ISREG(found.st_mode))
        error = CLOCKGATE_FOREIGN;
    else if (found.st_size == 0)
        error = CLOCKGATE_ABSENT;
    else if (found.st_size < CLOCKGATE_LENGTH)
        error = CLOCKGATE_FOREIGN;
    /* Not through the mapping: touching a page that was never written may ask for memory that there is none of. */
    else if (pread(page->fd, header, sizeof header, 0) != (ssize_t)sizeof header)
        error = CLOCKGATE_UNREADABLE;
    if (error == CLOCKGATE_OK) {
        memcpy(&magic, header, 8);
        memcpy(&version, header + 8, 4);
        memcpy(page->boot_id, header + 16, 16);
        if (magic == 0)
            error = CLOCKGATE_ABSENT;
        else if (memcmp(header, "CLKGATE", 8) != 0 || version != 1)
            error = CLOCKGATE_FOREIGN;
        else if (clockgate_boot_id(boot_id) == 0 && memcmp(boot_id, page->boot_id, 16) != 0)
            error = CLOCKGATE_OTHER_KERNEL;
    }
    if (error == CLOCKGATE_OK) {
        void *map = mmap(NULL, CLOCKGATE_LENGTH, PROT_READ, MAP_SHARED, page->fd, 0);
        page->map = map;
        if (map == MAP_FAILED)
            error = CLOCKGATE_UNREADABLE;
    }
    if (error != CLOCKGATE_OK) {
        int saved = errno;
        close(page->fd);
        errno = saved;
        return error;
    }
    clockgate_read_shift(page);
    return CLOCKGATE_OK;
}

static inline void clockgate_close(struct clockgate_page *page) {
    munmap((void *)(uintptr_t)page->map, CLOCKGATE_LENGTH);
    close(page->fd);
}

/* A word of the mapping; later loads stay later. */
static inline uint32_t clockgate_word(const struct clockgate_page *page, size_t at) {
    return __atomic_load_n((const uint32_t *)page->map + at / 4, __ATOMIC_ACQUIRE);
}

static inline void clockgate_gone(struct clockgate_view *view, uint64_t now, const char *why) {
    memset(view, 0, sizeof *view);
    view->now = now;
    view->agent = CLOCKGATE_PAGE_GONE;
    view->bound = view->bound_now = CLOCKGATE_UNKNOWN;
    strncpy(view->why, why, sizeof view->why - 1);
}

/* From the bytes of a page that was read whole. */
static inline void clockgate_fields(const unsigned char *bytes, uint64_t now, struct clockgate_view *view) {
    uint32_t size;
    uint64_t alive_until;
    size_t i;
    memset(view, 0, sizeof *view);
    view->now = now;
    memcpy(&size, bytes + 12, 4);
    memcpy(&view->word, bytes + 32, 4);
    memcpy(&view->epoch, bytes + 40, 8);
    memcpy(&view->state, bytes + 48, 4);
    memcpy(&view->cause, bytes + 52, 4);
    memcpy(&view->offset, bytes + 56, 8);
    memcpy(&view->bound, bytes + 64, 8);
    memcpy(&view->as_of, bytes + 72, 8);
    memcpy(&view->threshold, bytes + 80, 8);
    memcpy(&view->valid_until, bytes + 88, 8);
    memcpy(&view->since, bytes + 96, 8);
    memcpy(&view->deadline, bytes + 104, 8);
    memcpy(&view->max_drift, bytes + 112, 4);
    memcpy(view->why, bytes + 120, 256);
    for (i = 0; i < 256 && view->why[i] != 0; i++)
        if ((unsigned char)view->why[i] < 0x20 || view->why[i] == 0x7f)
            view->why[i] = '?';
    memcpy(&alive_until, bytes + 376, 8);
    memcpy(&view->real_minus_boot, bytes + 384, 8);
    memcpy(&view->boot_minus_mono, bytes + 392, 8);
    memcpy(&view->mono_minus_raw, bytes + 400, 8);
    memcpy(&view->leap_at, bytes + 408, 8);
    memcpy(&view->leap, bytes + 416, 8);
    /* An older agent's page ends earlier. */
    view->has_differences = size >= 408;
    view->leap = size >= 424 ? view->leap : 0;
    view->gate = view->word == 1 ? CLOCKGATE_PROVEN : view->word == 2 ? CLOCKGATE_UNPROVEN : CLOCKGATE_SHUT;
    view->agent_at = alive_until;
    if (size < 384)
        view->agent = CLOCKGATE_ALIVE;
    else if (view->state == 7)
        view->agent = CLOCKGATE_ENDED;
    else if (now >= alive_until)
        view->agent = CLOCKGATE_SILENT;
    else
        view->agent = view->state == 0 ? CLOCKGATE_STARTING : CLOCKGATE_ALIVE;
    view->bound_now = clockgate_plus(view->bound, clockgate_drift(clockgate_after(now, view->as_of), view->max_drift));
}

/* One consistent look with the shift that we know of. */
static inline void clockgate_look(const struct clockgate_page *page, struct clockgate_view *view) {
    unsigned char bytes[CLOCKGATE_USED];
    struct clockgate_clocks now = clockgate_clocks_now(page);
    struct stat found;
    int tries;
    size_t at;
    /* Behind the end of a file that was cut short there is nothing to load: the kernel would end us (SIGBUS). */
    if (fstat(page->fd, &found) != 0 || found.st_size < CLOCKGATE_LENGTH || found.st_nlink == 0) {
        clockgate_gone(view, (uint64_t)now.boot, "the gate page was removed or truncated");
        return;
    }
    for (tries = 0; tries < 1000; tries++) {
        uint32_t before = clockgate_word(page, 36), version;
        now = clockgate_clocks_now(page);
        for (at = 0; at < sizeof bytes; at += 4) {
            uint32_t word = clockgate_word(page, at);
            memcpy(bytes + at, &word, 4);
        }
        if (before % 2 != 0 || clockgate_word(page, 36) != before)
            continue;
        memcpy(&version, bytes + 8, 4);
        if (memcmp(bytes, "CLKGATE", 8) != 0 || version != 1)
            clockgate_gone(view, (uint64_t)now.boot, "it has become a page of another version");
        else if (memcmp(bytes + 16, page->boot_id, 16) != 0)
            clockgate_gone(view, (uint64_t)now.boot, "it has become the page of another kernel");
        else
            clockgate_fields(bytes, (uint64_t)now.boot, view);
        /* What was opened without a proof is the word of an agent that lives. */
        if (view->gate == CLOCKGATE_UNPROVEN && (view->agent == CLOCKGATE_ENDED || view->agent == CLOCKGATE_SILENT))
            view->gate = CLOCKGATE_SHUT;
        if (view->gate == CLOCKGATE_PROVEN)
            view->doubt = clockgate_judge(view, &now);
        if (view->doubt != CLOCKGATE_NO_DOUBT) {
            view->gate = CLOCKGATE_SHUT;
            strncpy(view->why, clockgate_doubt_text(view->doubt), sizeof view->why - 1);
        }
        return;
    }
    /* Killed inside the lock; the next agent repairs it. */
    clockgate_fields(bytes, (uint64_t)now.boot, view);
    view->gate = CLOCKGATE_SHUT;
    strncpy(view->why, "the agent died while it wrote the page", sizeof view->why - 1);
}

/* What the page says now, and what our own clocks say of it. */
static inline void clockgate_read(struct clockgate_page *page, struct clockgate_view *view) {
    clockgate_look(page, view);
    if (view->doubt == CLOCKGATE_EXPIRED || view->doubt == CLOCKGATE_SLEPT || view->doubt == CLOCKGATE_STEPPED) {
        /* We may have been taken into another time namespace since. */
        clockgate_read_shift(page);
        clockgate_look(page, view);
    }
}

/* Sleeps until the word is no longer that of the view, or so many nanoseconds; it may return early. */
static inline void clockgate_wait(const struct clockgate_page *page, const struct clockgate_view *seen, uint64_t at_most) {
    struct timespec timeout;
    timeout.tv_sec = (time_t)(at_most / CLOCKGATE_SECOND);
    timeout.tv_nsec = (long)(at_most % CLOCKGATE_SECOND);
    if (seen->agent == CLOCKGATE_PAGE_GONE) {
        nanosleep(&timeout, NULL);
        return;
    }
#ifdef SYS_futex
    {
        /* 0 is FUTEX_WAIT, without FUTEX_PRIVATE_FLAG; the kernel's own timespec has two longs. */
        long pair[2];
        pair[0] = (long)timeout.tv_sec;
        pair[1] = timeout.tv_nsec;
        syscall(SYS_futex, (const uint32_t *)page->map + 8, 0, seen->word, pair, NULL, 0);
    }
#else
    syscall(SYS_futex_time64, (const uint32_t *)page->map + 8, 0, seen->word, &timeout, NULL, 0);
#endif
}

/* Reads until the gate, the agent or the epoch is another than in seen, or so many nanoseconds have passed. */
static inline void clockgate_wait_for_change(struct clockgate_page *page, const struct clockgate_view *seen,
                                             uint64_t at_most, struct clockgate_view *view) {
    uint64_t deadline = clockgate_plus(clockgate_boottime(), at_most);
    /* The caller may read into what it has seen. */
    const struct clockgate_view then = *seen;
    for (;;) {
        uint64_t left = clockgate_after(deadline, clockgate_boottime());
        clockgate_read(page, view);
        if (view->gate != then.gate || view->word != then.word || view->epoch != then.epoch || view->agent != then.agent ||
            left == 0)
            return;
        /* Nothing wakes us when a proof ends, a clock is set or an agent is killed. */
        clockgate_wait(page, view, left < CLOCKGATE_SECOND ? left : CLOCKGATE_SECOND);
    }
}

#endif
