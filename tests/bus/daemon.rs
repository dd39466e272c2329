//! A private dbus-daemon with the rules of a system bus and the file that we ship.

use std::path::Path;

use crate::support::private_bus::PrivateBus;

/// What dbus-daemon(1)'s own `system.conf` allows, and what logind and polkit bring.
const POLICIES: &str = r#"<policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.login1"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>"#;

pub fn system_bus() -> PrivateBus {
    let ours = "packaging/usr/share/dbus-1/system.d/org.clockgate.Agent1.conf";
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join(ours);
    PrivateBus::with(&format!("{POLICIES}\n  <include>{}</include>", ours.display())).unwrap()
}
