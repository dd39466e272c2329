//! The journal: one entry a record, with fields of its own and a `MESSAGE_ID` that the catalog explains.

use std::io;
use std::path::Path;

use tracing::Level;

use crate::sys::foreign::shown;
use crate::sys::journal::{JournalFields, JournalSocket};
use crate::sys::output;
use crate::transition::{Fact, Transition, Urgency};

/// What the journal calls us.
const IDENTIFIER: &str = "clockgate";

/// The journal that standard error goes to.
#[derive(Debug)]
pub struct JournalOutlet(JournalSocket);

impl JournalOutlet {
    /// The journal of the host at `root`; none where standard error is something else, or no journald receives entries.
    pub fn of_standard_error(root: &Path) -> Option<Self> {
        if !output::is_journal() {
            return None;
        }
        JournalSocket::connect(root).ok().map(Self)
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// As [`JournalSocket::send`].
    pub fn record(&self, happened: &Transition) -> io::Result<()> {
        if happened.kind().urgency() == Urgency::Debug && !tracing::enabled!(Level::DEBUG) {
            return Ok(());
        }
        self.0.send(&entry(happened))
    }
}

fn entry(happened: &Transition) -> JournalFields {
    let kind = happened.kind();
    let mut entry = JournalFields::default();
    entry.add("MESSAGE", &shown(&happened.line()));
    entry.add("MESSAGE_ID", kind.message_id());
    entry.add("PRIORITY", &kind.urgency().priority().to_string());
    entry.add("SYSLOG_IDENTIFIER", IDENTIFIER);
    for (name, fact) in happened.facts() {
        let name = format!("CLOCKGATE_{}", name.to_ascii_uppercase());
        match fact {
            Fact::Number(number) => entry.add(&name, &number.to_string()),
            Fact::Text(text) => entry.add(&name, &text),
            // A field may be there several times.
            Fact::Texts(texts) => texts.iter().for_each(|text| entry.add(&name, text)),
            Fact::Containers(all) => all.iter().for_each(|one| entry.add(&name, &one.to_string())),
            Fact::Answers(answers) => answers.iter().for_each(|answer| entry.add(&name, &answer.to_string())),
        }
    }
    entry
}
