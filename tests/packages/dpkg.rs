//! What people do to the deb and the tarball, by the real dpkg where no systemd runs: images, chroots, and hosts with another init.

use std::path::PathBuf;
use std::sync::OnceLock;

use clockgate::decision::Offset;
use tempfile::TempDir;

use super::debian;
use super::support::liar::Liar;
use super::support::{Outcome, packages};

/// Each with the script that shows it.
pub const TRIALS: &[(&str, &str)] = &[
    ("dpkg_lays_an_image_out_and_takes_it_away_again_without_touching_the_host", IMAGE),
    ("the_deb_twice_an_older_one_and_one_after_a_removal_keep_what_was_changed", KEPT),
    ("the_deb_is_purged_where_files_were_deleted_by_hand", DELETED),
    ("an_upgrade_on_a_read_only_usr_leaves_the_version_of_before", READ_ONLY),
    ("the_deb_is_installed_without_sysusers_and_tmpfiles_and_where_nothing_may_start", BARE),
    ("a_user_of_our_groups_name_stays_with_his_group", USER),
    ("a_state_folder_that_is_a_file_system_or_a_link_is_emptied", STATE),
    ("an_agent_that_another_init_has_started_keeps_the_package", ANOTHER_INIT),
    ("neither_the_deb_nor_the_tarball_is_laid_over_the_other", OVER),
    ("the_tarball_is_taken_away_from_each_prefix_once_its_agent_has_ended", TARBALL),
];

/// `files` is what nothing may be left in; the second of two lines with the same path is what it has in it.
const BEGIN: &str = r#"set -eux
    cd /
    export DEBIAN_FRONTEND=noninteractive
    dpkg() { command dpkg --force-unsafe-io --force-downgrade "$@"; }
    lay() { dpkg -i /mnt/clockgate_*-"$1"_amd64.deb; }
    files() (
        cd "$1"
        others="( -path ./proc -o -path ./run/mount -o -path ./mnt -o -path ./target -o -path ./tmp -o -path ./var/log -o -path ./var/lib/dpkg
            -o -name .pwd.lock -o -name group- -o -name gshadow- -o -name passwd- -o -name shadow- ) -prune -o"
        find . $others -printf '%p %u:%g %m %l\n' | sort
        find ./etc ./var $others -type f -exec sha256sum {} + | sort
    )
    refused() { ! "$@" >/tmp/said 2>&1; }
    said() { grep -F "$1" /tmp/said; }
    is_installed() { dpkg -s clockgate | grep -x "Status: .* ok installed"; }
    # An agent that neither sets a clock nor looks for a bus.
    start() {
        mkdir -p /etc/clockgate
        printf 'servers: [%s]\ncorrection: none\nthreshold: 5s\nbus: {system: false}\n' "$SERVER" >/etc/clockgate/config.yaml
        "$1" agent &
        agent=$!
        "$1" wait --max-wait 30s
    }
    files / >/tmp/before
    as_before() { files / >/tmp/after; diff /tmp/before /tmp/after; }
"#;

/// The host runs clockgate, and its /run is in the image, as image builders mount it; so is /proc, the second time.
const IMAGE: &str = r#"
    mkdir -p /run/systemd/system /run/clockgate/public /run/containerd/io.containerd.runtime.v2.task/moby/0123456789abcdef
    echo theirs >/run/clockgate/public/gate
    echo /usr/lib/clockgate/clockgate-runc >/run/containerd/io.containerd.runtime.v2.task/moby/0123456789abcdef/runtime
    files / >/tmp/host
    mount --bind /run /target/run
    files /target >/tmp/before
    for mounted in 'test -d' 'mount -t proc proc'; do
        $mounted /target/proc
        for revision in 1 2 1 1; do dpkg --root=/target -i /mnt/clockgate_*-"$revision"_amd64.deb; done
        test -L /target/etc/systemd/system/multi-user.target.wants/clockgate.service
        grep ^clockgate: /target/etc/group
        dpkg --root=/target --purge clockgate
        files /target >/tmp/after
        diff /tmp/before /tmp/after
    done
    files / | diff /tmp/host -
"#;

const KEPT: &str = r#"
    lay 1
    echo '# ours' >>/etc/apparmor.d/clockgate-agent
    mkdir -p /etc/clockgate
    echo 'threshold: 150ms' >/etc/clockgate/config.yaml
    systemctl disable clockgate.service
    is_kept() {
        [ "$(tail -n 1 /etc/apparmor.d/clockgate-agent)" = '# ours' ]
        [ "$(cat /etc/clockgate/config.yaml)" = 'threshold: 150ms' ]
        [ ! -e /etc/systemd/system/multi-user.target.wants/clockgate.service ]
    }
    for revision in 1 2 1; do
        lay "$revision"
        is_kept
    done
    dpkg --remove clockgate
    [ ! -e /usr/bin/clockgate ]
    is_kept
    lay 2
    is_kept
    dpkg --purge clockgate
    as_before
"#;

const DELETED: &str = r#"
    lay 1
    rm -r /run/clockgate /etc/apparmor.d/clockgate-agent /usr/lib/sysusers.d/clockgate.conf /usr/share/clockgate
    rm /usr/lib/systemd/system/clockgate-wait.service /usr/lib/systemd/system-sleep/clockgate
    groupdel clockgate
    dpkg --purge clockgate
    as_before
    # Without the program, what it wrote into the engines' files cannot be taken out.
    lay 1
    mv /usr/bin/clockgate /tmp/
    refused dpkg --purge clockgate
    said 'clockgate: /usr/bin/clockgate is missing'
    is_installed
    touch /run/clockgate/force-remove
    dpkg --purge clockgate
    as_before
"#;

const READ_ONLY: &str = r#"
    lay 1
    mount --bind /usr /usr
    mount -o remount,bind,ro /usr
    refused lay 2
    refused dpkg --purge clockgate
    umount -l /usr
    clockgate --version
    lay 2
    is_installed
    dpkg --purge clockgate
    as_before
    tar -xzf /mnt/clockgate-*-linux.tar.gz -C /tmp
    mount --bind /usr /usr
    mount -o remount,bind,ro /usr
    refused /tmp/clockgate-*/install.sh PREFIX=/opt/clockgate
    said 'clockgate: cannot write to /usr'
    umount -l /usr
    as_before
"#;

const BARE: &str = r#"
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 755 /usr/sbin/policy-rc.d
    mv /usr/bin/systemd-sysusers /usr/bin/systemd-tmpfiles /tmp/
    files / >/tmp/before
    lay 1
    getent group clockgate
    lay 2
    dpkg --purge clockgate
    as_before
    mv /usr/sbin/groupadd /usr/sbin/groupdel /tmp/
    files / >/tmp/before
    lay 1 2>/tmp/said
    said 'There is no group clockgate'
    is_installed
    dpkg --purge clockgate
    as_before
"#;

const USER: &str = r#"
    useradd --create-home clockgate
    files / >/tmp/before
    lay 1
    dpkg --purge clockgate
    as_before
    [ "$(id -gn clockgate)" = clockgate ]
"#;

const STATE: &str = r#"
    lay 1
    mkdir -p /var/lib/clockgate
    mount -t tmpfs tmpfs /var/lib/clockgate
    mkdir /var/lib/clockgate/history
    echo a night >/var/lib/clockgate/history/1
    dpkg --purge clockgate
    [ -z "$(ls -A /var/lib/clockgate)" ]
    umount /var/lib/clockgate
    rmdir /var/lib/clockgate
    as_before
    lay 1
    mkdir -p /srv/clockgate/history
    ln -s /srv/clockgate /var/lib/clockgate
    dpkg --purge clockgate
    rmdir /srv/clockgate
    as_before
"#;

const ANOTHER_INIT: &str = r#"
    lay 1
    start clockgate
    refused dpkg --purge clockgate
    said 'clockgate: stop the agent that runs'
    is_installed
    clockgate status
    # The old program goes on until its init starts it again.
    lay 2
    clockgate status
    kill "$agent"
    wait "$agent"
    dpkg --purge clockgate
    as_before
"#;

const OVER: &str = r#"
    tar -xzf /mnt/clockgate-*-linux.tar.gz -C /tmp
    script=$(echo /tmp/clockgate-*/install.sh)
    for prefix in /usr /usr/local; do
        "$script" PREFIX="$prefix"
        refused lay 1
        said "clockgate: it was installed below $prefix by"
        "$script" uninstall
        as_before
        lay 1
        refused "$script" PREFIX="$prefix"
        said 'clockgate: a package has installed it below /usr'
        dpkg --purge clockgate
        as_before
    done
"#;

const TARBALL: &str = r#"
    tar -xzf /mnt/clockgate-*-linux.tar.gz -C /tmp
    script=$(echo /tmp/clockgate-*/install.sh)
    for prefix in /usr /usr/local /opt/clockgate; do
        "$script" PREFIX="$prefix"
        start "$prefix/bin/clockgate"
        # An upgrade leaves the old program to run.
        "$script" PREFIX="$prefix"
        refused "$script" uninstall
        said 'clockgate: stop the agent that runs'
        "$prefix/bin/clockgate" status
        kill "$agent"
        wait "$agent"
        # The unit says where it was installed; without it, the user does.
        if [ "$prefix" = /opt/clockgate ]; then
            rm /usr/lib/systemd/system/clockgate.service
            refused "$script" uninstall
        fi
        "$script" uninstall PREFIX="$prefix"
        rm -r /etc/clockgate
        as_before
    done
"#;

/// Runs one of them.
pub fn shown_by(script: &str) -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let mut run = debian::run(None, &[(&packed()?.1, "/mnt")], &[BEGIN, script].concat())?;
    packages::run(run.env("SERVER", truth.address().to_string()))
}

/// Two revisions of the deb and the tarball of the programs under test, made once; the folder goes when the program ends.
fn packed() -> Outcome<&'static (TempDir, PathBuf)> {
    static MADE: OnceLock<Result<(TempDir, PathBuf), String>> = OnceLock::new();
    let made = MADE.get_or_init(|| pack().map_err(|failed| failed.message().unwrap_or("failed").to_owned()));
    made.as_ref().map_err(|error| error.as_str().into())
}

fn pack() -> Outcome<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let dist = packages::of_this_build(folder.path(), &[("1", &["deb", "tarball"]), ("2", &["deb"])])?;
    Ok((folder, dist))
}
