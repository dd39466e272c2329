//! Where a value belongs: what may be written there, and how it is printed.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::ListenAddress;
use super::yaml::Value;
use crate::container::Engine;
use crate::decision::{AtDeadline, AuthenticationPolicy, ContainerNaming, Correction};
use crate::duration;
use crate::reference::http::HttpUrl;
use crate::reference::{CertificateTime, ServerName};
use crate::workload::Exclusion;

/// `sun_path` of unix(7) less its closing zero.
const SOCKET_PATH_MAX: usize = 107;
/// More servers than this give no better time, and cost a packet each at every measurement.
const SERVERS_MAX: usize = 32;
/// One is enough, and each takes seconds.
const HTTP_URLS_MAX: usize = 8;
/// Each pattern is compared with each container.
const PATTERNS_MAX: usize = 256;

/// The field of one key in the configuration.
pub enum KeyValue<'a> {
    /// A duration from the first to the last.
    Duration(&'a mut Duration, Duration, Duration),
    /// A whole number from the first to the last.
    Count(&'a mut usize, usize, usize),
    /// Parts per million from the first to the last.
    Ppm(&'a mut u32, u32, u32),
    /// On or off.
    Switch(&'a mut bool),
    /// Who corrects the clock.
    Correction(&'a mut Correction),
    /// What plain references are for.
    Authentication(&'a mut AuthenticationPolicy),
    /// When certificates have to hold.
    CertificateTime(&'a mut CertificateTime),
    /// What becomes of the gate.
    AtDeadline(&'a mut AtDeadline),
    /// Whether what carries the network is thawed first.
    Carriers(&'a mut bool),
    /// How much of containers is written down.
    Naming(&'a mut ContainerNaming),
    /// A path from the root.
    Path(&'a mut PathBuf),
    /// A path from the root that fits a socket's address.
    Socket(&'a mut PathBuf),
    /// An address and a port, or `none`.
    Address(&'a mut Option<SocketAddr>),
    /// The servers.
    Servers(&'a mut Vec<ServerName>),
    /// The web servers.
    HttpUrls(&'a mut Vec<HttpUrl>),
    /// A path from the root, or `none`.
    OptionalPath(&'a mut Option<PathBuf>),
    /// An address and a port, or a path from the root that fits a socket's address, or `none`.
    Listen(&'a mut Option<ListenAddress>),
    /// The engines whose containers are frozen.
    Engines(&'a mut Vec<Engine>),
    /// Which containers are not.
    Patterns(&'a mut Vec<Exclusion>),
}

/// What is wrong with a value; the line is that of a list's item.
pub type Wrong = (Option<u64>, String);

impl KeyValue<'_> {
    /// Takes a value, if it is one for this field.
    pub fn take(self, value: &Value) -> Result<(), Vec<Wrong>> {
        let whole = |what: String| vec![(None, what)];
        match self {
            Self::Duration(setting, least, most) => *setting = duration_within(value, least, most).map_err(whole)?,
            Self::Count(setting, least, most) => *setting = number_within(value, least, most).map_err(whole)?,
            Self::Ppm(setting, least, most) => *setting = number_within(value, least, most).map_err(whole)?,
            Self::Switch(setting) => {
                let Value::Switch(on) = value else { return Err(whole(unfit(value, "`true` or `false`"))) };
                *setting = *on;
            }
            Self::Correction(setting) => *setting = word(value, &CORRECTIONS).map_err(whole)?,
            Self::Authentication(setting) => *setting = word(value, &AUTHENTICATIONS).map_err(whole)?,
            Self::CertificateTime(setting) => *setting = word(value, &CERTIFICATE_TIMES).map_err(whole)?,
            Self::AtDeadline(setting) => *setting = word(value, &AT_DEADLINE).map_err(whole)?,
            Self::Carriers(setting) => *setting = word(value, &CARRIERS).map_err(whole)?,
            Self::Naming(setting) => *setting = word(value, &NAMINGS).map_err(whole)?,
            Self::Path(setting) => *setting = path(value).map_err(whole)?,
            Self::Socket(setting) => *setting = socket(value).map_err(whole)?,
            Self::Address(setting) => *setting = address(value).map_err(whole)?,
            Self::Servers(setting) => *setting = list(value, SERVERS_MAX, "[ntp.example, 192.0.2.1:123]", server)?,
            Self::HttpUrls(setting) => *setting = list(value, HTTP_URLS_MAX, "[https://sts.amazonaws.com]", http_url)?,
            Self::OptionalPath(setting) => *setting = optional_path(value).map_err(whole)?,
            Self::Listen(setting) => *setting = listen(value).map_err(whole)?,
            Self::Engines(setting) => *setting = list(value, Engine::ALL.len(), "[docker, podman]", engine)?,
            Self::Patterns(setting) => *setting = list(value, PATTERNS_MAX, "[vpn, example.tier=infra]", pattern)?,
        }
        Ok(())
    }

    /// The value as it would be written in a file.
    pub fn print(self) -> String {
        match self {
            Self::Duration(setting, ..) => duration::print(*setting),
            Self::Count(setting, ..) => setting.to_string(),
            Self::Ppm(setting, ..) => setting.to_string(),
            Self::Switch(setting) => setting.to_string(),
            Self::Correction(setting) => name_of(*setting, &CORRECTIONS),
            Self::Authentication(setting) => name_of(*setting, &AUTHENTICATIONS),
            Self::CertificateTime(setting) => name_of(*setting, &CERTIFICATE_TIMES),
            Self::AtDeadline(setting) => name_of(*setting, &AT_DEADLINE),
            Self::Carriers(setting) => name_of(*setting, &CARRIERS),
            Self::Naming(setting) => name_of(*setting, &NAMINGS),
            Self::Path(setting) | Self::Socket(setting) => quoted(&setting.to_string_lossy()),
            Self::Address(setting) => setting.map_or_else(|| NO_ADDRESS.to_owned(), |a| quoted(&a.to_string())),
            Self::Servers(setting) => listed(setting),
            Self::HttpUrls(setting) => listed(setting),
            Self::OptionalPath(setting) => {
                setting.as_ref().map_or_else(|| NO_ADDRESS.to_owned(), |path| quoted(&path.to_string_lossy()))
            }
            Self::Listen(setting) => match setting {
                None => NO_ADDRESS.to_owned(),
                Some(ListenAddress::Tcp(address)) => quoted(&address.to_string()),
                Some(ListenAddress::Unix(path)) => quoted(&path.to_string_lossy()),
            },
            Self::Engines(setting) => listed(setting),
            Self::Patterns(setting) => listed(setting),
        }
    }

    /// What may be written here, in words.
    pub fn allows(&self) -> String {
        match self {
            Self::Duration(_, least, most) => range(duration::print(*least), duration::print(*most)),
            Self::Count(_, least, most) => range(least, most),
            Self::Ppm(_, least, most) => range(least, most),
            Self::Switch(_) => "true, false".to_owned(),
            Self::Correction(_) => names(&CORRECTIONS),
            Self::Authentication(_) => names(&AUTHENTICATIONS),
            Self::CertificateTime(_) => names(&CERTIFICATE_TIMES),
            Self::AtDeadline(_) => names(&AT_DEADLINE),
            Self::Carriers(_) => names(&CARRIERS),
            Self::Naming(_) => names(&NAMINGS),
            Self::Path(_) | Self::Socket(_) => "a path from the root".to_owned(),
            Self::Address(_) => format!("an address and a port, or {NO_ADDRESS}"),
            Self::Servers(_) => {
                format!(
                    "a list of at most {SERVERS_MAX} names or addresses, each with or without a port, nts:// or ?key=N"
                )
            }
            Self::HttpUrls(_) => format!("a list of at most {HTTP_URLS_MAX} URLs, https:// or http://"),
            Self::OptionalPath(_) => format!("a path from the root, or {NO_ADDRESS}"),
            Self::Listen(_) => format!("an address and a port, a path from the root, or {NO_ADDRESS}"),
            Self::Engines(_) => format!("a list of {}", engine_names()),
            Self::Patterns(_) => format!("a list of at most {PATTERNS_MAX} patterns"),
        }
    }
}

const CORRECTIONS: [(&str, Correction); 4] = [
    ("auto", Correction::Auto),
    ("clockgate", Correction::Clockgate),
    ("daemon", Correction::Daemon),
    ("none", Correction::None),
];
const AUTHENTICATIONS: [(&str, AuthenticationPolicy); 3] = [
    ("mix", AuthenticationPolicy::Mix),
    ("prefer", AuthenticationPolicy::Prefer),
    ("require", AuthenticationPolicy::Require),
];
const CERTIFICATE_TIMES: [(&str, CertificateTime); 2] =
    [("measured", CertificateTime::Measured), ("strict", CertificateTime::Strict)];
const AT_DEADLINE: [(&str, AtDeadline); 2] = [("open", AtDeadline::Open), ("hold", AtDeadline::Hold)];
const CARRIERS: [(&str, bool); 2] = [("thaw", true), ("never", false)];
const NAMINGS: [(&str, ContainerNaming); 3] =
    [("names", ContainerNaming::Names), ("ids", ContainerNaming::Ids), ("none", ContainerNaming::None)];
const NO_ADDRESS: &str = "none";

fn duration_within(value: &Value, least: Duration, most: Duration) -> Result<Duration, String> {
    let Value::Text(text) = value else {
        return Err(unfit(value, "a whole number with its unit, as in 50ms, 30s, 2min, 1h"));
    };
    let allowed = || format!("allowed: {}", range(duration::print(least), duration::print(most)));
    let duration = duration::parse(text).map_err(|what| format!("{what}; {}", allowed()))?;
    if !(least..=most).contains(&duration) {
        return Err(format!("`{text}` is out of range; {}", allowed()));
    }
    Ok(duration)
}

fn number_within<N>(value: &Value, least: N, most: N) -> Result<N, String>
where
    N: TryFrom<i64> + PartialOrd + std::fmt::Display + Copy,
{
    let number = if let Value::Number(number) = value { N::try_from(*number).ok() } else { None };
    number
        .filter(|n| *n >= least && *n <= most)
        .ok_or_else(|| unfit(value, &format!("a whole number, {}", range(least, most))))
}

fn word<T: Copy>(value: &Value, words: &[(&str, T)]) -> Result<T, String> {
    let Value::Text(text) = value else { return Err(unfit(value, &format!("one of {}", names(words)))) };
    let found = words.iter().find(|(name, _)| name == text);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| unfit(value, &format!("one of {}", names(words))))
}

fn path(value: &Value) -> Result<PathBuf, String> {
    if let Value::Text(text) = value
        && text.starts_with('/')
        && text.len() > 1
        && !text.contains('\0')
    {
        return Ok(PathBuf::from(text));
    }
    Err(unfit(value, "an absolute path, as in /run/clockgate"))
}

fn optional_path(value: &Value) -> Result<Option<PathBuf>, String> {
    match value {
        Value::Text(text) if text == NO_ADDRESS => Ok(None),
        Value::Nothing
        | Value::Switch(_)
        | Value::Number(_)
        | Value::Odd(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => path(value).map(Some).map_err(|why| format!("{why}, or `{NO_ADDRESS}`")),
    }
}

fn socket(value: &Value) -> Result<PathBuf, String> {
    let path = path(value)?;
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        return Err(format!("the path of a socket has at most {SOCKET_PATH_MAX} bytes"));
    }
    Ok(path)
}

fn address(value: &Value) -> Result<Option<SocketAddr>, String> {
    let wanted = "an address and a port, as in 127.0.0.1:323 or [::1]:323, or `none`";
    let Value::Text(text) = value else { return Err(unfit(value, wanted)) };
    if text == NO_ADDRESS {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| unfit(value, wanted))
}

fn listen(value: &Value) -> Result<Option<ListenAddress>, String> {
    let wanted = "an address and a port, as in 127.0.0.1:9990, the path of a socket, or `none`";
    let Value::Text(text) = value else { return Err(unfit(value, wanted)) };
    if text == NO_ADDRESS {
        return Ok(None);
    }
    if text.starts_with('/') {
        return Ok(Some(ListenAddress::Unix(socket(value)?)));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(Some(ListenAddress::Tcp(address))),
        Ok(_) | Err(_) => Err(unfit(value, wanted)),
    }
}

/// A list without duplicates; every item that is wrong is named with its line.
fn list<T: PartialEq + std::fmt::Display>(
    value: &Value,
    most: usize,
    example: &str,
    item: fn(&Value) -> Result<T, String>,
) -> Result<Vec<T>, Vec<Wrong>> {
    let Value::List(items) = value else {
        return Err(vec![(None, unfit(value, &format!("a list, as in {example}")))]);
    };
    let (mut taken, mut wrong) = (vec![], vec![]);
    for node in items {
        match item(&node.value) {
            Ok(one) if taken.contains(&one) => wrong.push((Some(node.line), format!("`{one}` is named twice"))),
            Ok(one) => taken.push(one),
            Err(what) => wrong.push((Some(node.line), what)),
        }
    }
    if taken.len() > most {
        wrong.push((None, format!("found {} entries, at most {most} are allowed", taken.len())));
    }
    if wrong.is_empty() { Ok(taken) } else { Err(wrong) }
}

fn engine(value: &Value) -> Result<Engine, String> {
    let Value::Text(text) = value else { return Err(unfit(value, &format!("one of {}", engine_names()))) };
    let found = Engine::ALL.into_iter().find(|engine| engine.name() == text);
    found.ok_or_else(|| unfit(value, &format!("one of {}", engine_names())))
}

fn engine_names() -> String {
    Engine::ALL.map(Engine::name).join(", ")
}

fn pattern(value: &Value) -> Result<Exclusion, String> {
    let text = match value {
        Value::Text(text) => text.clone(),
        // The id of a container may be all digits.
        Value::Number(number) => number.to_string(),
        Value::Odd(text) => text.clone(),
        Value::Nothing | Value::Switch(_) | Value::List(_) | Value::Map(_) => {
            return Err(unfit(value, "a container's name, id or /cgroup, or LABEL=VALUE"));
        }
    };
    text.parse().map_err(|why| format!("`{text}` {why}"))
}

fn server(value: &Value) -> Result<ServerName, String> {
    let Value::Text(text) = value else { return Err(unfit(value, "a server's name or address")) };
    text.parse().map_err(|why: crate::reference::ServerNameError| why.to_string())
}

fn http_url(value: &Value) -> Result<HttpUrl, String> {
    let Value::Text(text) = value else { return Err(unfit(value, "a URL, as in https://sts.amazonaws.com")) };
    text.parse().map_err(|why: crate::reference::http::HttpUrlError| crate::error_chain::in_full(&why))
}

fn listed<T: std::fmt::Display>(items: &[T]) -> String {
    format!("[{}]", items.iter().map(|item| quoted(&item.to_string())).collect::<Vec<_>>().join(", "))
}

fn unfit(value: &Value, wanted: &str) -> String {
    match value {
        Value::Nothing => format!("has no value; expected {wanted}"),
        Value::List(_) | Value::Map(_) => format!("expected {wanted}, found {value}"),
        Value::Switch(_) | Value::Number(_) => format!("expected {wanted}, found `{value}`"),
        Value::Odd(_) | Value::Text(_) => format!("expected {wanted}, found {value}"),
    }
}

fn range(least: impl std::fmt::Display, most: impl std::fmt::Display) -> String {
    format!("{least} to {most}")
}

fn names<T>(words: &[(&str, T)]) -> String {
    words.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn name_of<T: PartialEq>(meaning: T, words: &[(&str, T)]) -> String {
    words.iter().find(|(_, m)| *m == meaning).map_or_else(String::new, |(name, _)| (*name).to_owned())
}

/// Plain where YAML reads it back as the same text, in double quotes elsewhere.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    // Not as a text, by any YAML (YAML 1.2.2 section 10.3.2).
    let is_other = ["true", "false", "null"].iter().any(|word| text.eq_ignore_ascii_case(word));
    if !is_other && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' | '\u{a0}'..='\u{1fff}' | '\u{3000}'..='\u{d7ff}' | '\u{10000}'.. => quoted.push(c),
            // What YAML does not allow as it is, a terminal obeys, or no person sees.
            _ => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}
