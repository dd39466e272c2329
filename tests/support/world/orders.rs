//! Nothing acts twice: an order is of the epoch that is, and is not repeated while it is under way.

use std::time::Duration;

use clockgate::decision::{Action, Boottime, Epoch, Event, OrderId, Snapshot};

/// A step that was not answered by then is given up.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// Orders that were given in this epoch.
#[derive(Clone, Debug, Default)]
pub struct UnderWay {
    /// The newest epoch that was ever published.
    pub epoch: Epoch,
    /// The step that is under way, and when it was ordered.
    step: Option<(OrderId, Boottime)>,
    /// The number of the last order to step, freeze or thaw.
    pub orders: u32,
    /// The daemon was told to forget, or asked.
    reset: bool,
    asks_daemon: bool,
}

impl UnderWay {
    /// Takes what has happened, and judges it.
    pub fn watch(&mut self, event: &Event, actions: &[Action], after: &Snapshot, now: Boottime) {
        if after.epoch > self.epoch {
            *self = Self { epoch: after.epoch, orders: self.orders, ..Self::default() };
        }
        match event {
            Event::Stepped(order, _) if self.step.is_some_and(|(of, _)| of == *order) => self.step = None,
            Event::DaemonAsked(epoch, _) if *epoch == self.epoch => self.asks_daemon = false,
            _ => {}
        }
        let count = |of: fn(&Action) -> bool| actions.iter().filter(|action| of(action)).count();
        assert!(count(|a| matches!(a, Action::Measure(..))) <= 1, "asked twice at once: {actions:?}");
        assert!(count(|a| matches!(a, Action::AllowSleep)) <= 1, "allowed twice at once: {actions:?}");
        for action in actions {
            match action {
                Action::Step { order, .. } => {
                    assert_eq!(order.epoch, after.epoch, "a step of another epoch");
                    let is_under_way = self.step.is_some_and(|(_, at)| now < at + LOST_AFTER);
                    assert!(!is_under_way, "stepped again while that is under way");
                    self.step = Some((*order, now));
                    self.orders = self.orders.max(order.number);
                }
                Action::ResetDaemon(epoch, _) => {
                    assert_eq!(*epoch, after.epoch, "a reset of another epoch");
                    assert!(!std::mem::replace(&mut self.reset, true), "reset twice in an epoch");
                }
                Action::AskDaemon(epoch) => {
                    assert_eq!(*epoch, after.epoch, "a question of another epoch");
                    assert!(!std::mem::replace(&mut self.asks_daemon, true), "the daemon is asked again meanwhile");
                }
                Action::Measure(epoch, ..) | Action::ResyncDaemon(epoch) => {
                    assert_eq!(*epoch, after.epoch, "a question of another epoch");
                }
                Action::Freeze(order, _) | Action::Thaw(order) => {
                    assert_eq!(order.epoch, after.epoch, "an order of another epoch");
                    self.orders = self.orders.max(order.number);
                }
                _ => {}
            }
        }
    }
}
