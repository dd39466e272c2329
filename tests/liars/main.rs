//! Servers that are far, wrong, vague, silent or strict, as `clockgate measure` sees them: on loopback, where nothing is stepped.

#[path = "../support/mod.rs"]
mod support;

use std::process::Output;
use std::time::Duration;

use clockgate::decision::{Offset, nanos_u64};
use clockgate::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::liar::{Answer, Liar, Manner};
use support::{Outcome, clockgate, expect, texts};

const FAR: Duration = Duration::from_millis(150);

fn main() {
    let trials = vec![
        Trial::test("a_far_servers_delay_is_its_round_trip_and_its_time_is_right_all_the_same", far),
        Trial::test("a_server_that_answers_twice_is_one_reference", twice),
        Trial::test("a_kiss_of_death_is_no_time_and_is_said", kiss),
        Trial::test("a_server_with_a_guard_time_is_silent_to_who_comes_too_soon", guard),
        Trial::test("a_server_that_says_that_it_is_vague_is_as_vague", vague),
        Trial::test("a_near_liar_does_not_speak_for_three_far_ones", near_liar),
        Trial::test("a_twin_that_lies_does_not_silence_the_one_that_it_copies", twin),
        Trial::test("the_era_of_ntp_that_begins_in_2036_is_read_right", era_of_2036),
        Trial::test("a_time_beyond_the_eras_is_refused_as_one_before_the_release", beyond_the_eras),
        Trial::test("a_server_one_half_of_whose_packets_are_lost_is_heard_when_it_answers", lossy),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn measure(servers: &[&Liar]) -> Result<(Output, Value), Failed> {
    let mut command = clockgate();
    command.args(["measure", "--json"]).env_remove("CLOCKGATE_SERVERS");
    for server in servers {
        command.arg("--server").arg(server.address().to_string());
    }
    let output = command.output()?;
    let json = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {:?}", texts(&output)))?;
    Ok((output, json))
}

fn nanos(value: &Value) -> Result<i64, Failed> {
    value.as_i64().ok_or_else(|| format!("not a number of nanoseconds: {value}").into())
}

fn within(value: &Value, wanted: Offset, by: Duration) -> Result<bool, Failed> {
    Ok(nanos(value)?.abs_diff(wanted.as_nanos()) <= nanos_u64(by))
}

fn far() -> Outcome {
    let far = Liar::here_as(Manner::far(FAR))?;
    let (output, json) = measure(&[&far])?;
    let only = &json["references"][0];
    expect(within(&only["delay_ns"], Offset::from_nanos(150_000_000), Duration::from_millis(50))?, &output)?;
    expect(within(&only["offset_ns"], Offset::ZERO, Duration::from_millis(40))?, &output)?;
    expect(nanos(&only["bound_ns"])? >= 75_000_000, &output)
}

fn twice() -> Outcome {
    let twice = Liar::here_as(Manner { answer: Answer::TimeTwice, ..Manner::default() })?;
    let (output, json) = measure(&[&twice])?;
    expect(json["references"].as_array().is_some_and(|all| all.len() == 1), &output)?;
    expect(json["agreement"]["supporters"] == 1, &output)
}

fn kiss() -> Outcome {
    let strict = Liar::here_as(Manner { answer: Answer::Kiss { code: *b"RATE", poll: 3 }, ..Manner::default() })?;
    let (output, json) = measure(&[&strict])?;
    expect(output.status.code() == Some(75) && json["agreement"].is_null(), &output)?;
    expect(json["failures"][0]["why"].as_str().is_some_and(|why| why.contains("RATE")), &output)
}

fn guard() -> Outcome {
    let strict = Liar::here_as(Manner { guard: Duration::from_secs(3600), ..Manner::default() })?;
    let (first, heard) = measure(&[&strict])?;
    expect(heard["agreement"]["supporters"] == 1, &first)?;
    let (second, unheard) = measure(&[&strict])?;
    expect(second.status.code() == Some(75) && unheard["agreement"].is_null(), &second)?;
    // Silence is no failure of the test's own: it was asked.
    expect(strict.asked().len() >= 2, &second)
}

fn vague() -> Outcome {
    // 0.9 s, in units of 2^-16 s.
    let vague = Liar::here_as(Manner { root_dispersion: 58_982, ..Manner::default() })?;
    let (output, json) = measure(&[&vague])?;
    expect(nanos(&json["references"][0]["bound_ns"])? >= 899_000_000, &output)
}

fn near_liar() -> Outcome {
    let near = Liar::here_as(Manner::far(Duration::from_millis(2)).off(Offset::from_secs(30 * 86_400)))?;
    let others = [Liar::here_as(Manner::far(FAR))?, Liar::here_as(Manner::far(FAR))?, Liar::here_as(Manner::far(FAR))?];
    let (output, json) = measure(&[&near, &others[0], &others[1], &others[2]])?;
    expect(json["agreement"]["supporters"] == 3, &output)?;
    expect(within(&json["agreement"]["offset_ns"], Offset::ZERO, Duration::from_millis(100))?, &output)
}

fn twin() -> Outcome {
    let copied = Manner {
        reference_id: Some([203, 0, 113, 7]),
        reference_time: Some(clockgate::sys::clock::realtime() + Offset::from_nanos(-20_123_456_789)),
        ..Manner::default()
    };
    let honest = Liar::here_as(Manner { round_trip: FAR, ..copied.clone() })?;
    let twin = Liar::here_as(copied.off(Offset::from_secs(700)))?;
    let (output, json) = measure(&[&honest, &twin])?;
    // One against one: nobody is believed, and the honest one is not gone.
    expect(json["agreement"].is_null(), &output)?;
    expect(json["references"].as_array().is_some_and(|all| all.len() == 2), &output)?;
    expect(!texts(&output).0.contains("counted once"), &output)
}

fn lossy() -> Outcome {
    let lossy = Liar::here_as(Manner { loses_each: 2, ..Manner::default() })?;
    let from = boottime();
    let mut heard = 0;
    for _ in 0..4 {
        let (_, json) = measure(&[&lossy])?;
        heard += usize::from(!json["agreement"].is_null());
    }
    let asked = lossy.asked_since(from);
    if heard >= 2 && asked >= 4 { Ok(()) } else { Err(format!("heard {heard} times of {asked} questions").into()) }
}

/// Two servers that agree, and what is made of them.
fn from_now_on(secs: i64) -> Result<(Output, Value, Output), Failed> {
    let off = Offset::from_secs(secs - clockgate::sys::clock::realtime().as_secs());
    let both = [Liar::here(off)?, Liar::here(off)?];
    let (output, json) = measure(&[&both[0], &both[1]])?;
    let host = support::host::HostFolder::new(&[])?;
    let mut sync = clockgate();
    sync.args(["sync", "--dry-run", "--root"]).arg(host.path()).env_remove("CLOCKGATE_SERVERS");
    for server in &both {
        sync.arg("--server").arg(server.address().to_string());
    }
    Ok((output, json, sync.output()?))
}

fn era_of_2036() -> Outcome {
    // Its first second is 2036-02-07 06:28:16 UTC (RFC 5905 section 6).
    const FIRST: i64 = 2_085_978_496;
    for secs in [FIRST - 86_400, FIRST - 1, FIRST, FIRST + 86_400, 2_500_000_000] {
        let (output, json, sync) = from_now_on(secs)?;
        let off = Offset::from_secs(secs - clockgate::sys::clock::realtime().as_secs());
        expect(within(&json["agreement"]["offset_ns"], off, Duration::from_secs(60))?, &output)?;
        expect(texts(&sync).0.contains("the clock would be stepped by +"), &sync)?;
    }
    Ok(())
}

fn beyond_the_eras() -> Outcome {
    // 2100-01-01: more than 68 years after the release, NTP's 32 bits of seconds are those of 1963.
    let (_, _, sync) = from_now_on(4_102_444_800)?;
    expect(sync.status.code() == Some(75) && texts(&sync).0.contains("the step would be refused"), &sync)?;
    expect(texts(&sync).0.contains("release"), &sync)
}
