/* Prints how clockgate-page.h judges a page, for tests/readers to compare with the crate; also compiled as C++. */
#include "clockgate-page.h"

int main(int argc, char **argv) {
    struct clockgate_page page;
    struct clockgate_view view;
    enum clockgate_error error = clockgate_open(&page, argv[argc - 1]);
    if (error != CLOCKGATE_OK) {
        printf("error %d\n", (int)error);
        return 0;
    }
    clockgate_read(&page, &view);
    clockgate_close(&page);
    printf("%d %u %d %llu %d %llu %u %u %lld %llu %llu %llu %llu %llu %llu %llu %u %lld\n%s\n", (int)view.gate, view.word,
           (int)view.agent, (unsigned long long)view.agent_at, (int)view.doubt, (unsigned long long)view.epoch, view.state,
           view.cause, (long long)view.offset, (unsigned long long)view.bound, (unsigned long long)view.bound_now,
           (unsigned long long)view.as_of, (unsigned long long)view.threshold, (unsigned long long)view.valid_until,
           (unsigned long long)view.since, (unsigned long long)view.deadline, view.max_drift, (long long)view.leap, view.why);
    return 0;
}
