//! An action that is requested thirty times in a second and is done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::sleep;

/// A request while one is pending adds nothing.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    is_due: Arc<AtomicBool>,
}

impl Gathered {
    /// Acts after so long, unless a request within the same time before has already scheduled it.
    pub fn after(&self, pause: Duration, act: impl FnOnce() + Send + 'static) {
        if self.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let is_due = self.is_due.clone();
        tokio::spawn(async move {
            sleep(pause).await;
            // Before the act: a request from here on may be too late for it.
            is_due.store(false, Ordering::Release);
            act();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn thirty_network_events_in_six_tenths_of_a_second_are_one_refresh_and_what_comes_later_is_another() {
        let (gathered, done, notify) = (Gathered::default(), Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let want = || {
            let (done, notify) = (done.clone(), notify.clone());
            gathered.after(Duration::from_millis(900), move || {
                done.fetch_add(1, Ordering::AcqRel);
                notify.notify_one();
            });
        };
        for _ in 0..30 {
            want();
            sleep(Duration::from_millis(20)).await;
        }
        notify.notified().await;
        assert_eq!(done.load(Ordering::Acquire), 1);
        want();
        notify.notified().await;
        assert_eq!(done.load(Ordering::Acquire), 2);
    }
}
