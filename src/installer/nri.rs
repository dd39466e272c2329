//! The Node Resource Interface: a unit of our own that starts at boot. No runtime's file is changed; where a runtime has the interface
//! off, what to write is printed.

use std::path::Path;

use serde_json::Value;

use super::{Change, Host, InstallerError, Plan};
use crate::container::containerd::{self as engine, ContainerdRelease};
use crate::container::runtime_list;
use crate::sys::service_manager::ServiceManager;

/// systemd reads units on request.
const AFTERWARDS: &str = "after `systemctl daemon-reload` and `systemctl start clockgate-nri`, or after a reboot";
/// The unit is the package's and stays.
pub const REMOVED: &str = "after `systemctl daemon-reload` and `systemctl stop clockgate-nri`, or after a reboot";

/// Read by systemd beside the target itself.
const FILE: &str = "/etc/systemd/system/multi-user.target.d/clockgate-nri.conf";
const TEXT: &str = "# Written by `clockgate hooks install nri`, and removed by `clockgate hooks remove nri`.\n\
                    [Unit]\nWants=clockgate-nri.service\n";
const PROGRAM: &str = "clockgate-nri";
/// Where the runtimes have their socket.
const SOCKETS: [&str; 2] = ["/run/nri/nri.sock", "/var/run/nri/nri.sock"];
const PLUGIN: &str = "io.containerd.nri.v1.nri";

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    if host.program(PROGRAM).is_none() {
        let what = format!("{PROGRAM} is not installed: it comes with the package, or with `make install`");
        return Err(InstallerError::Wrong(what));
    }
    let services = host.services();
    if matches!(services, ServiceManager::Openrc | ServiceManager::Runit) {
        let what = format!(
            "`hooks install nri` has systemd start {PROGRAM}, and systemd does not start the services of this host. What does: {}",
            services.enable_and_start(PROGRAM)
        );
        return Err(InstallerError::Wrong(what));
    }
    if let Some(path) = switched_off(host)? {
        let what = format!(
            "has the Node Resource Interface off: set `disable = false` below [plugins.\"{PLUGIN}\"] in it, and restart containerd"
        );
        return Err(InstallerError::refused(path, what));
    }
    let changes = vec![Change::own_file(host, Path::new(FILE), TEXT.to_owned(), 0o644)?];
    let notes = without_systemd(services).into_iter().chain(without_socket(host)).collect();
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes })
}

/// That what was written has perhaps no reader; none where systemd runs.
fn without_systemd(services: ServiceManager) -> Option<String> {
    (services == ServiceManager::Other).then(|| {
        format!(
            "nothing shows that systemd starts the services here; where it does not, {}",
            services.enable_and_start(PROGRAM)
        )
    })
}

/// That no runtime has opened its socket; none where one has.
#[must_use]
fn without_socket(host: &Host) -> Option<String> {
    // Of another host there is nothing running to be seen.
    let is_open = SOCKETS.iter().any(|socket| host.at(socket).exists());
    (!is_open).then(|| {
        format!(
            "the socket {} does not exist: containerd 2 and CRI-O 1.30 make it when they start; containerd 1.7 does if its config.toml has \
             `disable = false` below [plugins.\"{PLUGIN}\"]",
            SOCKETS[0]
        )
    })
}

/// Whether the plugin and a runtime are connected, or why not; the plugin's list lies beside the folder of the page.
#[must_use]
pub fn connection(host: &Host, page: &Path) -> String {
    if let Some(runtime) = runtime_list::connected(&runtime_list::beside(&host.at(page))) {
        return format!("connected to {runtime}");
    }
    without_socket(host).unwrap_or_else(|| {
        let log = host.services().show(PROGRAM).map_or_else(|| "its log".to_owned(), |command| format!("`{command}`"));
        format!("not connected, so pods start at a shut gate: {log} says why")
    })
}

/// The file that turns the interface of a containerd off: the last one that names it decides.
fn switched_off(host: &Host) -> Result<Option<std::path::PathBuf>, InstallerError> {
    let root = host.files();
    for layout in engine::layouts(&root).into_iter().filter(|layout| root.has(&layout.config)) {
        let files = engine::files(&root, &layout.config, ContainerdRelease::V2_1)?;
        let said = |value: &Value| value.get("plugins")?.get(PLUGIN)?.get("disable")?.as_bool();
        let last = files.iter().rev().find_map(|file| Some((&file.path, said(&file.value)?)));
        if let Some((path, true)) = last {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}
