//! The machine that was measured on, as far as it bears on the numbers.

use std::fs::read_to_string;

/// One paragraph.
pub fn describe() -> String {
    let file = |path: &str| read_to_string(path).unwrap_or_default();
    let cpus = file("/proc/cpuinfo");
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kind = if cpus.contains(" hypervisor") { "virtual machine" } else { "machine" };
    let memory_gib = value(&file("/proc/meminfo"), "MemTotal:") / 1024 / 1024;
    let release = file("/proc/sys/kernel/osrelease");
    let kernel: Vec<&str> = release.trim().split(['.', '-']).take(2).collect();
    let os = file("/etc/os-release");
    let name = os.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux").trim_matches('"');
    format!(
        "A {kind} ({arch}) with {cores} cores and {memory_gib} GiB, Linux {kernel}, {name}. \
         clockgate {version} as released: one static binary.",
        arch = std::env::consts::ARCH,
        kernel = kernel.join("."),
        version = env!("CARGO_PKG_VERSION"),
    )
}

/// The number behind `key` in a file of /proc.
pub fn value(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
