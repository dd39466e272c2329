#!/bin/sh
# wait.sh [FOLDER [SECONDS]]: waits for a gate that is open on a proof, by od(1) alone. It sees that a proof has expired. It does not
# see a step, a slew or a sleep before the agent does; `clockgate wait` does.
gate=${1:-/run/clockgate/public}/gate
seconds=${2:-60}
# number TYPE OFFSET: a number of the page.
number() { od -A n -t "$1" -j "$2" -N "${1#?}" "$gate" | tr -d ' '; }
while :; do
    # All zero, or no file: no agent has been here.
    [ "$(number u8 0 2>/dev/null)" = "$(printf 'CLKGATE\0' | od -A n -t u8 | tr -d ' ')" ] || { echo "no gate page" >&2; exit 69; }
    [ "$(number u4 8)" = 1 ] || { echo "a gate page of version $(number u4 8), and this reader knows 1" >&2; exit 69; }
    sequence=$(number u4 36) word=$(number u4 32) valid_until=$(number u8 88)
    # CLOCK_BOOTTIME in hundredths of a second, and the proof's end in the same.
    now=$(tr -d . </proc/uptime | cut -d ' ' -f 1) end=$((valid_until / 10000000))
    if [ "$sequence" = "$(number u4 36)" ] && [ $((sequence % 2)) = 0 ] && [ "$word" = 1 ] && [ "$now" -lt "$end" ]; then
        echo "open on a proof for $(((end - now) / 100)) s"
        exit 0
    fi
    [ "$seconds" -gt 0 ] || { echo "still shut: $(dd if="$gate" bs=8 skip=15 count=32 2>/dev/null | tr -d '\0')" >&2; exit 75; }
    seconds=$((seconds - 1))
    sleep 1
done
