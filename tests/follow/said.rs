//! What `status` says beside the gate.

use std::time::Duration;

use clockgate::decision::{Cause, Epoch, Snapshot};
use clockgate::page::boot_id;
use clockgate::sys::clock::boottime;
use serde_json::{Value, json};

use crate::HOUR;
use crate::follower::status;
use crate::support::gate_page::{self, proven};
use crate::support::host::HostFolder;
use crate::support::{Outcome, ensure, texts};

fn text(host: &HostFolder) -> Outcome<String> {
    let output = status(host.path(), &gate_page::public(host.path()), &[]).output()?;
    Ok(texts(&output).0)
}

fn object(host: &HostFolder) -> Outcome<Value> {
    let output = status(host.path(), &gate_page::public(host.path()), &["--json"]).output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn has(text: &str, wanted: &str) -> Outcome {
    ensure(text.contains(wanted), format!("`{wanted}` is not in:\n{text}"))
}

pub fn beside_the_gate() -> Outcome {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &Snapshot { next: boottime() + HOUR, ..proven() })?;
    page.alive(boottime() + HOUR)?;
    let said = text(&host)?;
    has(&said, "     Next: measurement in 35")?;
    has(&said, "   Daemon: none is seen to run\n")?;
    ensure(!said.contains("Disrupted:"), &said)?;
    for (pid, name) in [("100", "chronyd"), ("101", "systemd-timesyncd")] {
        // The kernel has room for 15 letters.
        let comm = name.get(..15).unwrap_or(name);
        host.put(&format!("proc/{pid}/comm"), &format!("{comm}\n"))?;
        host.put(&format!("proc/{pid}/status"), &format!("Name:\t{comm}\nNSpid:\t{pid}\nCapPrm:\t0000000002000000\n"))?;
    }
    has(&text(&host)?, "   Daemon: chronyd and systemd-timesyncd\n")?;
    let said = object(&host)?;
    ensure(said["daemons"] == json!(["chronyd", "systemd-timesyncd"]), format!("{said:#}"))?;
    ensure(said["last_disruption"].is_null(), format!("{said:#}"))?;
    // What is due and not over is under way; what is not planned is not said.
    page.publish(&Snapshot { next: boottime(), ..proven() })?;
    has(&text(&host)?, "     Next: measuring now\n")?;
    // What was due long ago does not happen: the agent was killed or hangs, and is not known to be gone yet.
    let late = clockgate::decision::Boottime::from_nanos(boottime().as_nanos().saturating_sub(30_000_000_000));
    page.publish(&Snapshot { next: late, ..proven() })?;
    has(&text(&host)?, "     Next: measurement was due 3")?;
    page.publish(&proven())?;
    let said = text(&host)?;
    ensure(!said.contains("Next:") && object(&host)?["next_measurement_boottime_ns"].is_null(), said)
}

pub fn last_disruption() -> Outcome {
    let host = HostFolder::new(&[])?;
    let now = boottime();
    let nanos = |ago: u64| now.as_nanos().saturating_sub(ago * 1_000_000_000);
    let since = clockgate::decision::Boottime::from_nanos(nanos(100));
    let slept = Cause::Resume { slept: Duration::from_secs(9) };
    let resumed = Snapshot { epoch: Epoch::new(4), cause: slept, since, ..proven() };
    let mut page = gate_page::publish(host.path(), &resumed)?;
    page.alive(now + HOUR)?;
    // Nothing but the page says so.
    has(&text(&host)?, "Disrupted: resume, 1 min 4")?;
    let said = object(&host)?["last_disruption"].clone();
    ensure(said["since_boottime_ns"] == since.as_nanos() && said["time_ns"].is_null(), format!("{said:#}"))?;
    ensure(said["epoch"] == 4 && said["cause"] == "resume" && said["shut_ns"].is_null(), format!("{said:#}"))?;
    // The history is behind: it knows the disruption before.
    let boot: String = boot_id().unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
    let record = |boot: &str, epoch: u64, event: &str, more: &str| {
        let after = if event == "gate-open" { 24_000_000 } else { 0 };
        format!(
            "{{\"version\":1,\"boot_id\":\"{boot}\",\"boottime_ns\":{},\"realtime_ns\":5,\"epoch\":{epoch},\"since_boottime_ns\":{},\
             \"event\":\"{event}\",\"cause\":\"restore\"{more}}}\n",
            nanos(100) + after,
            nanos(100)
        )
    };
    let proof = ",\"gate\":\"open\",\"offset_ns\":0,\"real_minus_boot_ns\":0,\"stepped_ns\":2460000000000";
    let events = "var/lib/clockgate/history/events.jsonl";
    host.put(events, &record(&boot, 3, "gate-shut", ""))?;
    has(&text(&host)?, "Disrupted: resume, ")?;
    // Then it knows this one, and how it ended.
    host.put(events, &[record(&boot, 4, "gate-shut", ""), record(&boot, 4, "gate-open", proof)].concat())?;
    has(&text(&host)?, "Disrupted: restore, 1 min 4")?;
    has(&text(&host)?, " ago: the clock was stepped by +2460.000000s; the gate was shut for 24 ms\n")?;
    let said = object(&host)?["last_disruption"].clone();
    ensure(said["stepped_ns"] == 2_460_000_000_000_u64 && said["shut_ns"] == 24_000_000, format!("{said:#}"))?;
    ensure(said["dated_by"] == "proof" && said["time_ns"] == nanos(100), format!("{said:#}"))?;
    // Since this agent was started there was none; one of an earlier boot has a date alone.
    page.publish(&proven())?;
    host.put(events, &record("another", 9, "gate-shut", ""))?;
    has(&text(&host)?, "Z by a clock that no proof confirms\n")?;
    let said = object(&host)?["last_disruption"].clone();
    ensure(said["since_boottime_ns"].is_null() && said["dated_by"] == "clock", format!("{said:#}"))
}
