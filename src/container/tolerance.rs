//! What the labels or annotations of a container say of a clock that is off: how far off it may be, and for what.

use std::time::Duration;

use super::Metadata;
use crate::tolerance;

/// How far off the clock may be for a container: a duration, or a class of [`tolerance::CLASSES`].
pub const LABEL: &str = "clockgate.tolerance";

/// Where it is `true`, the container asks for its thaw by that tolerance too, and not for its start alone.
pub const THAW_LABEL: &str = "clockgate.tolerance-thaw";

/// How far off the clock may be for it; none where no label says so.
#[must_use]
pub fn of(metadata: &Metadata) -> Option<Result<Duration, String>> {
    metadata.labels.get(LABEL).map(|label| tolerance::parse(label))
}

/// How far off the clock may be for its thaw; none where it does not ask to be thawed by a tolerance.
#[must_use]
pub fn for_thaw(metadata: &Metadata) -> Option<Duration> {
    let asks = metadata.labels.get(THAW_LABEL).is_some_and(|value| value == "true");
    of(metadata)?.ok().filter(|_| asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thaw_is_asked_for_by_a_label_of_its_own() {
        let with = |labels: &[(&str, &str)]| Metadata {
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ..Metadata::default()
        };
        let minute = Duration::from_secs(60);
        let start = with(&[(LABEL, "60s")]);
        assert_eq!((of(&start), for_thaw(&start)), (Some(Ok(minute)), None));
        assert_eq!(for_thaw(&with(&[(LABEL, "60s"), (THAW_LABEL, "true")])), Some(minute));
        assert_eq!(for_thaw(&with(&[(LABEL, "60s"), (THAW_LABEL, "yes")])), None);
        assert_eq!(for_thaw(&with(&[(LABEL, "60"), (THAW_LABEL, "true")])), None, "no duration");
        assert_eq!((of(&with(&[(THAW_LABEL, "true")])), for_thaw(&with(&[(THAW_LABEL, "true")]))), (None, None));
    }
}
