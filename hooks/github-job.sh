#!/bin/sh
# ACTIONS_RUNNER_HOOK_JOB_STARTED of a self-hosted runner, which runs it before each job: a job begins when the gate is open,
# and fails if the gate is still shut after ten minutes. The runner takes names that end in .sh only.
exec /usr/bin/clockgate wait --max-wait 10min
