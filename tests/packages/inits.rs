//! The scripts for OpenRC and runit, run by the real ones in a root of their own: the guest's with theirs laid over it, and this program.

use std::path::Path;

use clockgate::decision::Offset;

use super::debian;
use super::support::liar::Liar;
use super::support::{CLOCKGATE, Outcome, packages};

/// What both begin with. No cgroups are mounted there, and no clock can be set.
const BEGIN: &str = "set -eux
    cd /
    install -m 755 /media/clockgate /media/clockgate-nri /usr/bin
    mkdir -p /etc/clockgate
    config() { printf 'servers: [%s]\\ncorrection: none\\nbus: {system: false}\\n%s\\n' \"$SERVER\" \"$1\" >/etc/clockgate/config.yaml; }
    gate() { clockgate status --json; }
    has() { gate | grep -q \"$1\"; }
    until_true() { tries=300; until \"$@\"; do tries=$((tries - 1)); [ $tries != 0 ] || { gate; exit 9; }; sleep 0.1; done; }
    config 'threshold: 5s'
";

/// In the folder that OpenRC has at boot.
const OPENRC: &str = "
    for name in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do
        mkdir -p /run/openrc/$name
    done
    echo default >/run/openrc/softlevel
    install -m 755 /mnt/openrc/clockgate /etc/init.d/clockgate
    config 'treshold: 5s'
    ! rc-service clockgate start
    config 'threshold: 5s'
    rc-service clockgate start
    clockgate wait --max-wait 30s
    rc-service clockgate status
    # Another keeper of the clock has it proven anew.
    config 'chrony: {socket: /run/none, udp: none}'
    rc-service clockgate reload
    until_true has '\"epoch\": *2'
    config 'treshold: 5s'
    ! rc-service clockgate reload
    config 'threshold: 5s'
    kill -s KILL $(cat /run/openrc/options/clockgate/child_pid)
    until_true has '\"epoch\": *3'
    clockgate wait --max-wait 30s
    rc-service clockgate stop
    until_true has '\"state\": *\"Ended\"'
    # One that was killed has its gate shut by the script.
    rc-service clockgate start
    clockgate wait --max-wait 30s
    kill -s STOP $(cat /run/clockgate.pid)
    kill -s KILL $(cat /run/openrc/options/clockgate/child_pid)
    kill -s KILL $(cat /run/clockgate.pid)
    rc-service clockgate zap
    RC_SVCNAME=clockgate
    . /mnt/openrc/clockgate
    # The kernel ends a killed process in its own time, and until then its lock holds.
    until_true stop_post
    until_true has '\"state\": *\"Ended\"'
    # The start gate of pods waits for the runtime's socket, and for ever.
    install -m 755 /mnt/openrc/clockgate-nri /etc/init.d/clockgate-nri
    rc-update add clockgate-nri default
    rc-service clockgate-nri start
    until_true test -s /run/openrc/options/clockgate-nri/child_pid
    before=$(cat /run/openrc/options/clockgate-nri/child_pid)
    kill -s KILL $before
    another() { rc-service clockgate-nri status && [ $(cat /run/openrc/options/clockgate-nri/child_pid) != $before ]; }
    until_true another
    rc-service clockgate-nri stop
    ! pidof clockgate-nri
";

const RUNIT: &str = "
    mkdir -p /run/sv/clockgate
    cp /mnt/runit/clockgate/* /run/sv/clockgate
    cd /run/sv/clockgate
    runsv . &
    until_true clockgate wait --max-wait 30s
    config 'chrony: {socket: /run/none, udp: none}'
    sv hup .
    until_true has '\"epoch\": *2'
    kill -s KILL $(cat supervise/pid)
    until_true has '\"epoch\": *3'
    clockgate wait --max-wait 30s
    sv -w 30 down .
    has '\"state\": *\"Ended\"'
    # The same wrong configuration again would say the same again.
    config 'treshold: 5s'
    sv up .
    until_true grep -q down supervise/stat
    sv status . | grep -v 'want up'
    sv exit .
    wait
    # The start gate of pods waits for the runtime's socket, and for ever.
    cp -r /mnt/runit/clockgate-nri /run/sv/
    cd /run/sv/clockgate-nri
    runsv . &
    until_true grep -q run supervise/stat
    before=$(cat supervise/pid)
    kill -s KILL $before
    another() { grep -q run supervise/stat && [ $(cat supervise/pid) != $before ]; }
    until_true another
    # A wrong command line stays down.
    echo 'exec /usr/bin/clockgate-nri --tea' >>run
    sed -i '/nice/d' run
    sv term .
    stays_down() { grep -q down supervise/stat && ! sv status . | grep 'want up'; }
    until_true stays_down
    sv exit .
    wait
";

pub fn openrc() -> Outcome {
    started_by(OPENRC)
}

pub fn runit() -> Outcome {
    started_by(RUNIT)
}

/// Runs the script where what `inits` has is installed, and this program.
fn started_by(script: &str) -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let packaging = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    let programs = Path::new(CLOCKGATE).parent().ok_or("it lies in no folder")?;
    let folders = [(&*packaging, "/mnt"), (programs, "/media")];
    let mut run = debian::run(Some("inits/tree"), &folders, &[BEGIN, script].concat())?;
    packages::run(run.env("SERVER", truth.address().to_string()))
}
