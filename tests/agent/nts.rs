//! An agent whose server is a real chronyd by NTS: what a proof takes, and that each outlet says by whom it is.

use std::path::Path;

use clockgate::decision::Offset;
use clockgate::page::Page;
use serde_json::Value;

use super::{Host, proven};
use crate::support::liar::Liar;
use crate::support::nts_rounds::{NtsAgent, RESTORE, Rounds, SLEEP};
use crate::support::{Outcome, clockgate, ensure, expect, texts};

/// How often each is tried: what a busy machine has repeated is no round trip more.
const TIMES: usize = 4;

pub fn round_trips() -> Outcome {
    let agent = NtsAgent::start()?;
    let begun = agent.passed();
    ensure(begun.exchanges == 1, format!("keys are exchanged once: {begun:?}"))?;
    let rounds = agent.at_best(SLEEP, TIMES)?;
    ensure(rounds == Rounds { keys: 0, exchanges: 0, time: 2 }, format!("resume: {rounds:?}"))?;
    ensure(agent.passed().exchanges == 1, "the cookies that are spent come back with the answers")?;
    let rounds = agent.at_best(RESTORE, TIMES)?;
    ensure(rounds == Rounds { keys: 3, exchanges: 1, time: 2 }, format!("post-restore: {rounds:?}"))
}

pub fn outlets() -> Outcome {
    let agent = NtsAgent::start()?;
    said(&agent.agent.host.at("run/clockgate/public"), true)?;
    let truth = Liar::here(Offset::ZERO)?;
    let host = Host::new(&[&truth], "correction: none")?;
    let _agent = host.agent()?;
    host.gate("the gate is proven", proven)?;
    said(&host.page(), false)
}

/// What page, text, JSON and metrics say; the bus has a test of its own.
fn said(page: &Path, is_authenticated: bool) -> Outcome {
    let view = Page::open(page).map_err(|error| error.to_string())?.read();
    ensure(view.is_authenticated() == Some(is_authenticated), format!("{view:?}"))?;
    let status = |format: &[&str]| clockgate().arg("status").args(format).arg("--page").arg(page).output();
    let text = status(&[])?;
    let by = if is_authenticated { "by authenticated references" } else { "by plain references" };
    expect(texts(&text).0.lines().any(|line| line.contains("Proven: ") && line.ends_with(by)), &text)?;
    let json = status(&["--json"])?;
    expect(serde_json::from_slice::<Value>(&json.stdout)?["authenticated"] == is_authenticated, &json)?;
    let metrics = status(&["--format", "prometheus"])?;
    let line = format!("clockgate_proof_authenticated {}", u8::from(is_authenticated));
    expect(texts(&metrics).0.lines().any(|metric| metric == line), &metrics)
}
