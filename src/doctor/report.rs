//! The diagnosis, for people and for programs.

use std::path::Path;

use serde_json::{Value, json as value};

use super::cause::{LikelyCause, likely};
use super::check::{Check, CheckOutcome, CheckSection};
use super::checks::{judge, selects};
use super::facts::{DoctorFacts, MeasuredNow};
use crate::decision::{bound_in_words, nanos_u64};

/// The version of what `--json` prints; raised when a field changes its meaning or goes.
const JSON_VERSION: u32 = 2;
/// One cause, and a second one where that is as serious.
const CAUSES_SHOWN: usize = 2;

/// Everything there is to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// What the references agree on, where they do.
    pub now: Option<MeasuredNow>,
    /// The checks that were made and wanted.
    pub checks: Vec<Check>,
    /// The likely causes, the likeliest first.
    pub causes: Vec<LikelyCause>,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// A line a check.
    Lines,
    /// The evidence too.
    Evidence,
}

impl Diagnosis {
    /// Judges the facts; `only` and `skip` select checks by id, by the part before the point, or by section.
    #[must_use]
    pub fn of(facts: &DoctorFacts, only: &[String], skip: &[String]) -> Self {
        let selected = |check: &Check, list: &[String]| list.iter().any(|one| selects(one, check.id, check.section));
        let mut checks = judge(facts);
        checks.retain(|check| (only.is_empty() || selected(check, only)) && !selected(check, skip));
        let now = facts.network.measured.as_ref().and_then(|measured| measured.as_ref().ok()).copied();
        Self { now, causes: likely(&checks), checks }
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, outcome: CheckOutcome) -> usize {
        self.checks.iter().filter(|check| check.verdict.outcome == outcome).count()
    }

    fn headline(&self) -> String {
        let clock = self.checks.iter().find(|check| check.id == "clock.offset").map(|check| check.verdict.outcome);
        match (self.now, clock) {
            (Some(now), Some(CheckOutcome::Fail | CheckOutcome::Warn)) => {
                format!("The clock is {} (to {}).", now.offset.in_words(), bound_in_words(now.root_distance))
            }
            (Some(now), _) => format!(
                "The clock is right, to {}.",
                bound_in_words(now.offset.abs().saturating_add(now.root_distance))
            ),
            (None, _) if self.count(CheckOutcome::Fail) > 0 => "The clock was not measured.".to_owned(),
            (None, _) => "The clock was not measured; no check failed.".to_owned(),
        }
    }
}

/// For people.
#[must_use]
pub fn text(diagnosis: &Diagnosis, detail: Detail) -> String {
    let mut lines = vec![diagnosis.headline()];
    for (at, cause) in diagnosis.causes.iter().take(CAUSES_SHOWN).enumerate() {
        let begins = if at == 0 { "Cause, most likely" } else { "Or else" };
        lines.push(format!("{begins}: {} ({}).", cause.words, cause.checks.join(", ")));
        lines.extend(cause.command.as_ref().map(|command| format!("    {command}")));
    }
    lines.push(String::new());
    let width = diagnosis.checks.iter().map(|check| check.id.len()).max().unwrap_or_default();
    let mut section: Option<CheckSection> = None;
    for check in &diagnosis.checks {
        let heading = if section == Some(check.section) { "" } else { check.section.name() };
        section = Some(check.section);
        let verdict = &check.verdict;
        let title = match verdict.outcome {
            CheckOutcome::Skip => format!("({})", verdict.title),
            CheckOutcome::Ok | CheckOutcome::Note | CheckOutcome::Warn | CheckOutcome::Fail => verdict.title.clone(),
        };
        lines.push(format!("{heading:<11}{:<5}{:<width$}  {title}", verdict.outcome.name(), check.id));
        if detail == Detail::Evidence {
            lines.extend(verdict.evidence.iter().map(|evidence| format!("{:16}. {evidence}", "")));
            lines.extend(verdict.fix.iter().map(|fix| format!("{:16}> {fix}", "")));
        }
    }
    lines.push(String::new());
    lines.push(format!(
        "{} failed, {} warned, {} skipped, {} made.",
        diagnosis.count(CheckOutcome::Fail),
        diagnosis.count(CheckOutcome::Warn),
        diagnosis.count(CheckOutcome::Skip),
        diagnosis.checks.len()
    ));
    lines.join("\n") + "\n"
}

/// For programs.
#[must_use]
pub fn json(diagnosis: &Diagnosis, root: &Path) -> Value {
    let causes: Vec<Value> = diagnosis
        .causes
        .iter()
        .map(|cause| value!({ "id": cause.id, "words": cause.words, "checks": cause.checks, "command": cause.command }))
        .collect();
    let checks: Vec<Value> = diagnosis
        .checks
        .iter()
        .map(|check| {
            value!({
                "id": check.id,
                "section": check.section.name(),
                "result": check.verdict.outcome.name().to_lowercase(),
                "title": check.verdict.title,
                "evidence": check.verdict.evidence,
                "fix": check.verdict.fix,
            })
        })
        .collect();
    value!({
        "version": JSON_VERSION,
        "root": root.display().to_string(),
        "offset_ns": diagnosis.now.map(|now| now.offset.as_nanos()),
        "bound_ns": diagnosis.now.map(|now| nanos_u64(now.offset.abs().saturating_add(now.root_distance))),
        "causes": causes,
        "checks": checks,
    })
}
