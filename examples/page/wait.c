/* wait [FOLDER [SECONDS]]: waits for a gate that is open on a proof. cc -I crates/clockgate-page/include wait.c */
#include "clockgate-page.h"

int main(int argc, char **argv) {
    const char *folder = argc > 1 ? argv[1] : CLOCKGATE_DIRECTORY;
    uint64_t seconds = argc > 2 ? strtoull(argv[2], NULL, 10) : 60;
    uint64_t deadline = clockgate_boottime() + seconds * CLOCKGATE_SECOND;
    struct clockgate_page page;
    struct clockgate_view view;
    enum clockgate_error error = clockgate_open(&page, folder);
    if (error != CLOCKGATE_OK) {
        fprintf(stderr, "%s\n", clockgate_error_text(error));
        return 69;
    }
    clockgate_read(&page, &view);
    while (view.gate != CLOCKGATE_PROVEN && clockgate_boottime() < deadline)
        clockgate_wait_for_change(&page, &view, deadline - clockgate_boottime(), &view);
    clockgate_close(&page);
    if (view.gate != CLOCKGATE_PROVEN) {
        fprintf(stderr, "still shut: %s\n", view.why);
        return 75;
    }
    printf("wrong by at most %.3f ms\n", (double)view.bound_now / 1e6);
    return 0;
}
