//! The daemon is found and reset; one that cannot be reset keeps no slew under way.

use super::{Corrector, DaemonInCharge, ResetDaemonStatus, join};
use crate::correction;
use crate::daemon::chrony::{self, Day, Forgot, Presence};
use crate::daemon::{program, timesyncd};
use crate::decision::{Authority, Forgotten};

impl Corrector {
    /// Resets the daemon that keeps the clock.
    pub(super) async fn make_forget(&self) -> (ResetDaemonStatus, Forgotten) {
        // What is not known may be an authority, and is worth a wait.
        let limit = if self.authentication.plain_count() { chrony::LOOK } else { chrony::ORDER };
        let outcome = self.with_chronyd(move |chronyd| chronyd.forget(limit)).await;
        let daemon = Some(chrony::NAME.to_owned());
        match outcome {
            Ok(Forgot::Done { said, trouble }) => {
                self.bursts.owe();
                let authority = match said {
                    Some(said) => self.authentication.receive(&said, Day::Doubtful),
                    None => self.authentication.recall(Presence::Lives).await,
                };
                (
                    ResetDaemonStatus::of(DaemonInCharge::Chronyd, None),
                    Forgotten { daemon, authority, trouble, ..Forgotten::default() },
                )
            }
            Ok(Forgot::Silent(why)) => self.keep_waiting_for_chronyd(why).await,
            Ok(Forgot::Not(why)) | Err(why) => {
                let authority = self.authentication.recall(Presence::Lives).await;
                let trouble = join([Some(why.clone()), correction::kick(&self.clock).err()]);
                let known = ResetDaemonStatus::of(DaemonInCharge::Chronyd, Some(why));
                (known, Forgotten { daemon, authority, trouble, ..Forgotten::default() })
            }
            Ok(Forgot::Absent(why)) => self.forget_without_chronyd(why).await,
        }
    }

    /// It is stopped or hangs: it is reset when it answers again, and until then it may have been reset.
    async fn keep_waiting_for_chronyd(&self, why: String) -> (ResetDaemonStatus, Forgotten) {
        let authority = self.authentication.recall(Presence::Lives).await;
        self.bursts.owe();
        self.wait_for_chronyd(why, authority)
    }

    fn wait_for_chronyd(&self, why: String, authority: Option<Authority>) -> (ResetDaemonStatus, Forgotten) {
        let trouble = join([Some(why.clone()), correction::kick(&self.clock).err()]);
        let known = ResetDaemonStatus { is_awaited: true, ..ResetDaemonStatus::of(DaemonInCharge::Chronyd, Some(why)) };
        let daemon = Some(chrony::NAME.to_owned());
        (known, Forgotten { daemon, authority, trouble, ..Forgotten::default() })
    }

    async fn forget_without_chronyd(&self, why: Option<String>) -> (ResetDaemonStatus, Forgotten) {
        let presence = self.authentication.presence().await;
        // Another daemon in its place: what chronyd said is set aside.
        let another = match presence {
            Presence::Ended => Some(self.keeper_beside_chronyd().await),
            Presence::Lives => None,
        };
        let has_another = matches!(another, Some(Some(_)));
        if !has_another && let Some(authority) = self.authentication.recall(presence).await {
            let why = why.unwrap_or_else(|| format!("{} does not run, and may be starting", chrony::NAME));
            return self.wait_for_chronyd(why, Some(authority));
        }
        // It marks the clock unsynchronised, and removes what a daemon had left to the kernel to slew (ntp_clear() in the kernel's ntp.c).
        let kicked = correction::kick(&self.clock);
        let keeper = match another {
            Some(keeper) => keeper,
            None => self.keeper_beside_chronyd().await,
        };
        match keeper {
            Some(DaemonInCharge::Timesyncd) => {
                let restarted = match &kicked {
                    Ok(()) => Ok(()),
                    Err(_) => {
                        self.timesyncd.restart().await.map_err(|e| format!("cannot restart {}: {e}", timesyncd::NAME))
                    }
                };
                let untrue = restarted.clone().err();
                let trouble = join([kicked.err(), restarted.err()]);
                let daemon = Some(timesyncd::NAME.to_owned());
                (
                    ResetDaemonStatus::of(DaemonInCharge::Timesyncd, untrue),
                    Forgotten { daemon, trouble, ..Forgotten::default() },
                )
            }
            Some(DaemonInCharge::Another(keeping)) => {
                let daemon = Some(keeping.daemon.facts().name.to_owned());
                let authority = keeping.authority.clone();
                let known = ResetDaemonStatus {
                    is_void: true,
                    ..ResetDaemonStatus::of(DaemonInCharge::Another(keeping), None)
                };
                (known, Forgotten { daemon, authority, trouble: kicked.err(), ..Forgotten::default() })
            }
            Some(DaemonInCharge::Chronyd | DaemonInCharge::Absent) | None => {
                correction::reset_rate_if(|| program::no_daemon_slews(&self.root.join("proc")));
                let trouble = join([why, kicked.err()]);
                let known = ResetDaemonStatus::of(DaemonInCharge::Absent, Some("no time daemon runs here".to_owned()));
                (known, Forgotten { daemon: None, trouble, ..Forgotten::default() })
            }
        }
    }

    /// Who keeps the clock where chronyd does not.
    async fn keeper_beside_chronyd(&self) -> Option<DaemonInCharge> {
        if self.timesyncd.runs().await {
            return Some(DaemonInCharge::Timesyncd);
        }
        self.others.keeper().await.map(DaemonInCharge::Another)
    }
}
