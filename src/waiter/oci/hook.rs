//! The same as an OCI hook of the stage createRuntime, for engines that run hooks: podman and CRI-O.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{OciError, OciSettings, RefusedBy, Start, count_refusal, survive_the_answer};
use crate::container::{Caller, Metadata, unused_engines};

/// A state has some kilobytes; a longer one is not a runtime's.
const SIZE_MAX: u64 = 1 << 20;

/// The container's state, as the runtime writes it to the hook's standard input (OCI runtime specification, "State").
#[derive(Default, Deserialize)]
#[serde(default)]
struct ContainerState {
    id: String,
    bundle: PathBuf,
    annotations: BTreeMap<String, String>,
}

/// Holds the container whose state comes on `input`.
///
/// # Errors
/// [`OciError::Refused`]: its text and a code that is not zero make the runtime give up.
pub fn hook(argv0: &OsStr, input: &mut dyn Read) -> Result<(), OciError> {
    let mut bytes = vec![];
    // A container whose state cannot be read is held all the same; it only cannot be exempt.
    let _ = input.take(SIZE_MAX).read_to_end(&mut bytes);
    let state: ContainerState = serde_json::from_slice(&bytes).unwrap_or_default();
    let metadata = || Metadata::of_bundle(&state.bundle).with(state.annotations.clone());
    let caller = Caller::named_in(&Metadata::default().with(state.annotations.clone())).unwrap_or(Caller::Other);
    unused_engines::came_by_hook(caller);
    let settings = OciSettings::of(Path::new(argv0));
    Start::new("start", &state.id, caller, &metadata, &settings).hold().inspect_err(|_| {
        count_refusal(&settings, RefusedBy::Hook);
        survive_the_answer();
    })
}
