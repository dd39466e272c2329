//! Signs of a restore or a pause. Several may be of the same one: each begins an epoch, for it may be of another, and voids what was measured
//! before it; but they are counted as one disruption.

use std::time::Duration;

use super::super::event::RestoreSign;
use super::super::published::Gate;
use super::super::time::{Boottime, Epoch};

/// How long after the first sign another one may be of the same: a host's script needs seconds, and a busy machine sees them late.
pub(super) const SAME_WITHIN: Duration = Duration::from_secs(10);

/// What was seen of the last restore or pause.
#[derive(Clone, Debug, Default)]
pub(super) struct RestoreSigns {
    first: Option<(Epoch, Boottime)>,
    seen: Vec<RestoreSign>,
}

impl RestoreSigns {
    /// Takes what begins an epoch at a gate that was so. The epoch of the first sign, where this one is of the same restore or pause.
    pub(super) fn take(
        &mut self,
        sign: Option<RestoreSign>,
        gate: Gate,
        (epoch, now): (Epoch, Boottime),
    ) -> Option<Epoch> {
        let Some(sign) = sign else {
            // Something else came in between.
            *self = Self::default();
            return None;
        };
        let first = self.first.filter(|(_, at)| now.since(*at) <= SAME_WITHIN && self.may_have(sign, gate));
        if first.is_none() {
            *self = Self { first: Some((epoch, now)), seen: vec![] };
        }
        self.seen.push(sign);
        first.map(|(epoch, _)| epoch)
    }

    /// Whether the same restore may have this sign, too.
    fn may_have(&self, sign: RestoreSign, gate: Gate) -> bool {
        match sign {
            // There may be several such clocks, and what one misses after a proof was missed after that.
            RestoreSign::OutsideClock => gate == Gate::Shut,
            RestoreSign::Notice | RestoreSign::KernelLine | RestoreSign::Marker | RestoreSign::Timeout => {
                !self.seen.contains(&sign)
            }
        }
    }

    /// Forgets what is too old to be of the same.
    pub(super) fn forget_old(&mut self, now: Boottime) {
        if self.first.is_some_and(|(_, at)| now.since(at) > SAME_WITHIN) {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_of_another_kind_is_of_the_same_restore_and_one_that_was_seen_is_of_another() {
        let mut signs = RestoreSigns::default();
        let mut take = |sign, gate, epoch: u64| {
            let at = Boottime::from_nanos(epoch * 1_000_000_000);
            signs.take(sign, gate, (Epoch::new(epoch), at)).map(Epoch::get)
        };
        let (line, marker, outside) = (RestoreSign::KernelLine, RestoreSign::Marker, RestoreSign::OutsideClock);
        assert_eq!(take(Some(line), Gate::Proven, 2), None);
        assert_eq!(take(Some(marker), Gate::Shut, 3), Some(2));
        assert_eq!(take(Some(outside), Gate::Shut, 4), Some(2));
        assert_eq!(take(Some(outside), Gate::Shut, 5), Some(2), "another clock beside that one");
        assert_eq!(take(Some(RestoreSign::Notice), Gate::Proven, 6), Some(2));
        assert_eq!(take(Some(line), Gate::Proven, 7), None, "restored again");
        assert_eq!(take(Some(outside), Gate::Proven, 8), None, "paused after the proof");
        assert_eq!(take(None, Gate::Shut, 9), None);
        assert_eq!(take(Some(marker), Gate::Shut, 10), None, "something else came in between");
        assert_eq!(take(Some(line), Gate::Shut, 21), None, "too late");
    }
}
