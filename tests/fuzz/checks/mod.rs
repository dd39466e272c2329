//! What each target checks of its input: `check(data)` panics where something does not hold. libFuzzer calls it (`fuzz/`), and so does
//! `make test` on the inputs that are kept.

#![allow(missing_docs, reason = "a test's parts")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "a check that does not hold panics")]

pub mod bus_messages;
pub mod bus_replies;
pub mod cgroup_events;
pub mod chronyd_reply;
pub mod config_yaml;
pub mod engine_json;
pub mod engine_toml;
pub mod explain_patterns;
pub mod explain_text;
pub mod gate_page;
pub mod history;
mod host;
pub mod http_reply;
pub mod journal_entry;
pub mod kernel_texts;
pub mod kubeconfig;
pub mod ledger;
pub mod nri_messages;
pub mod ntp_key_file;
pub mod ntp_packet;
pub mod ntpd_control;
pub mod ntpd_rs_report;
pub mod ntpd_variables;
pub mod nts_fields;
pub mod nts_records;
pub mod oci_bundle;
pub mod oci_call;
pub mod openntpd_report;
pub mod portal_reply;
pub mod server_lines;
pub mod user_credentials;
pub mod vmclock_page;
pub mod vsock_lines;

/// How far a target is searched in the night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of fixed fields: so many runs.
    Binary,
    /// Of words: fewer runs, or until half an hour brings no new edge.
    Text,
}

/// A target: its name, which is that of its folders too, and its check.
#[derive(Clone, Copy, Debug)]
pub struct FuzzTarget {
    pub name: &'static str,
    pub format: Format,
    pub check: fn(&[u8]),
}

const fn target(name: &'static str, format: Format, check: fn(&[u8])) -> FuzzTarget {
    FuzzTarget { name, format, check }
}

/// All of them.
pub static TARGETS: [FuzzTarget; 32] = [
    target("ntp_packet", Format::Binary, ntp_packet::check),
    target("nts_records", Format::Binary, nts_records::check),
    target("nts_fields", Format::Binary, nts_fields::check),
    target("chronyd_reply", Format::Binary, chronyd_reply::check),
    target("ntpd_control", Format::Binary, ntpd_control::check),
    target("gate_page", Format::Binary, gate_page::check),
    target("nri_messages", Format::Binary, nri_messages::check),
    target("vmclock_page", Format::Binary, vmclock_page::check),
    target("bus_messages", Format::Binary, bus_messages::check),
    target("bus_replies", Format::Binary, bus_replies::check),
    target("ntp_key_file", Format::Text, ntp_key_file::check),
    target("config_yaml", Format::Text, config_yaml::check),
    target("explain_patterns", Format::Text, explain_patterns::check),
    target("explain_text", Format::Text, explain_text::check),
    target("ledger", Format::Text, ledger::check),
    target("history", Format::Text, history::check),
    target("oci_call", Format::Text, oci_call::check),
    target("oci_bundle", Format::Text, oci_bundle::check),
    target("vsock_lines", Format::Text, vsock_lines::check),
    target("http_reply", Format::Text, http_reply::check),
    target("ntpd_variables", Format::Text, ntpd_variables::check),
    target("journal_entry", Format::Text, journal_entry::check),
    target("cgroup_events", Format::Text, cgroup_events::check),
    target("kernel_texts", Format::Text, kernel_texts::check),
    target("ntpd_rs_report", Format::Text, ntpd_rs_report::check),
    target("openntpd_report", Format::Text, openntpd_report::check),
    target("portal_reply", Format::Text, portal_reply::check),
    target("server_lines", Format::Text, server_lines::check),
    target("user_credentials", Format::Text, user_credentials::check),
    target("kubeconfig", Format::Text, kubeconfig::check),
    target("engine_json", Format::Text, engine_json::check),
    target("engine_toml", Format::Text, engine_toml::check),
];

/// Text alone, as most readers take it; what is not UTF-8 is refused before them.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
