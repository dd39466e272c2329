//! A start that is held.

use std::process::{Child, Command, Output, Stdio};

use libtest_mimic::Failed;

use crate::support::Outcome;

/// A command that is expected to be held, with both its outputs kept.
pub struct Waiting(pub Option<Child>);

impl Waiting {
    pub fn spawn(command: &mut Command) -> Result<Self, Failed> {
        Ok(Self(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)))
    }

    pub fn is_held(&mut self) -> Outcome {
        if self.0.as_mut().ok_or("ended")?.try_wait()?.is_none() {
            return Ok(());
        }
        let output = self.0.take().ok_or("ended")?.wait_with_output()?;
        Err(format!("was not held: {output:?}").into())
    }

    pub fn end(mut self) -> Result<Output, Failed> {
        Ok(self.0.take().ok_or("ended")?.wait_with_output()?)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
