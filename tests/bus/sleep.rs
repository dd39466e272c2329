//! disruption::logind against a logind on a private bus: every order of signals, and each way to lose one another.

use std::time::Duration;

use clockgate::decision::{Event, Notifier, Snapshot};
use clockgate::disruption::logind;
use clockgate::disruption::notice::{Notice, NoticeAnswer};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::daemon::system_bus;
use crate::logind::Logind;
use crate::support::private_bus::PrivateBus;
use crate::{nothing_within, soon};

pub const SLEEPING: Event = Event::Sleeping(Notifier::Logind);
pub const WOKEN: Event = Event::Woken(Notifier::Logind);
const LOST: Event = Event::SourceLost("logind");

/// The agent's side: notices come in, answers go out.
struct Agent {
    notices: mpsc::Receiver<Notice>,
    watch: JoinHandle<()>,
}

impl Agent {
    fn start(bus: &PrivateBus) -> Self {
        let (sender, notices) = mpsc::channel(4);
        let watch = tokio::spawn(logind::watch(Some(bus.address()), sender));
        Self { notices, watch }
    }

    async fn told(&mut self, event: Event) -> oneshot::Sender<NoticeAnswer> {
        let notice = soon(self.notices.recv()).await.unwrap();
        assert_eq!(notice.event, event);
        notice.answer
    }
}

fn answer(question: oneshot::Sender<NoticeAnswer>) {
    question.send(Ok(Snapshot::default())).unwrap();
}

pub async fn the_machine_sleeps_only_after_the_answer_and_the_next_sleep_is_held_again() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    for _ in 0..3 {
        let mut inhibitor = soon(logind.given()).await;
        assert_eq!(inhibitor.asked[0..2], ["sleep", "clockgate"]);
        assert_eq!(inhibitor.asked[3], "delay");
        logind.prepare_for_sleep(true).await;
        let question = agent.told(SLEEPING).await;
        assert!(inhibitor.is_held());
        answer(question);
        soon(inhibitor.released()).await;
        assert!(!logind.gave_another(), "while the machine sleeps, logind gives none");
        logind.prepare_for_sleep(false).await;
        agent.told(WOKEN).await;
    }
}

pub async fn a_second_announcement_without_a_wake_up_between_is_announced_too() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    logind.prepare_for_sleep(true).await;
    let first = agent.told(SLEEPING).await;
    logind.prepare_for_sleep(true).await;
    let second = agent.told(SLEEPING).await;
    // The first question is dropped unanswered by now; only the second one counts.
    drop(first);
    assert!(inhibitor.is_held());
    answer(second);
    soon(inhibitor.released()).await;
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    assert!(soon(logind.given()).await.is_held());
}

pub async fn a_wake_up_without_a_sleep_is_passed_on_and_leaves_an_inhibitor() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut first = soon(logind.given()).await;
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    let second = soon(logind.given()).await;
    soon(first.released()).await;
    assert!(second.is_held());
}

pub async fn a_wake_up_before_the_answer_ends_the_wait() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut first = soon(logind.given()).await;
    logind.prepare_for_sleep(true).await;
    let question = agent.told(SLEEPING).await;
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    let second = soon(logind.given()).await;
    soon(first.released()).await;
    drop(question.send(Ok(Snapshot::default())));
    logind.prepare_for_sleep(true).await;
    let question = agent.told(SLEEPING).await;
    assert!(second.is_held(), "the late answer to the first question let go of the second inhibitor");
    answer(question);
}

pub async fn without_an_answer_the_inhibitor_is_let_go_before_logind_loses_patience() {
    let bus = system_bus();
    let patience = Duration::from_millis(1600);
    let mut logind = Logind::start_as(&bus.address(), patience, false).await;
    let mut agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    let begun = Instant::now();
    logind.prepare_for_sleep(true).await;
    let question = agent.told(SLEEPING).await;
    soon(inhibitor.released()).await;
    let held = begun.elapsed();
    assert!(held >= patience / 2 && held < patience, "held for {held:?}");
    drop(question);
}

pub async fn an_agent_that_drops_the_question_does_not_hold_the_sleep_back() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    logind.prepare_for_sleep(true).await;
    drop(agent.told(SLEEPING).await);
    soon(inhibitor.released()).await;
}

pub async fn an_agent_that_starts_during_a_sleep_is_told_of_it() {
    let bus = system_bus();
    let mut logind = Logind::start_as(&bus.address(), Duration::from_secs(5), true).await;
    let mut agent = Agent::start(&bus);
    answer(agent.told(SLEEPING).await);
    assert!(!logind.gave_another());
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    assert!(soon(logind.given()).await.is_held());
}

pub async fn a_bus_that_dies_is_said_once_and_found_again() {
    let mut bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    bus.kill();
    agent.told(LOST).await;
    soon(inhibitor.released()).await;
    bus.restart().unwrap();
    let mut logind = Logind::start(&bus.address()).await;
    let mut inhibitor = soon(logind.given()).await;
    assert!(agent.notices.try_recv().is_err(), "the loss was said twice");
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    soon(inhibitor.released()).await;
}

pub async fn a_wake_up_that_was_missed_while_the_bus_was_away_is_made_up_for() {
    let mut bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    soon(inhibitor.released()).await;
    bus.kill();
    agent.told(LOST).await;
    bus.restart().unwrap();
    let mut logind = Logind::start(&bus.address()).await;
    assert!(soon(logind.given()).await.is_held());
    agent.told(WOKEN).await;
}

pub async fn a_bus_that_is_not_there_at_first_is_waited_for() {
    let mut bus = system_bus();
    bus.kill();
    let mut agent = Agent::start(&bus);
    agent.told(LOST).await;
    bus.restart().unwrap();
    let mut logind = Logind::start(&bus.address()).await;
    assert!(soon(logind.given()).await.is_held());
}

pub async fn a_logind_that_leaves_and_comes_back_gives_a_new_inhibitor() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut first = soon(logind.given()).await;
    logind.leave().await;
    agent.told(LOST).await;
    // A logind that is restarted still knows it: it is kept until there is another.
    assert!(first.is_held());
    let mut logind = Logind::start(&bus.address()).await;
    let mut second = soon(logind.given()).await;
    soon(first.released()).await;
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    soon(second.released()).await;
}

pub async fn a_logind_that_comes_back_and_cannot_be_asked_may_have_seen_a_sleep() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    soon(logind.given()).await;
    logind.leave().await;
    agent.told(LOST).await;
    let mut mute = Logind::start_mute(&bus.address()).await;
    assert!(soon(mute.given()).await.is_held());
    agent.told(Event::Unseen("logind")).await;
    // One that was announced has ended, for all that is known.
    mute.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    mute.leave().await;
    agent.told(LOST).await;
    let _mute = Logind::start_mute(&bus.address()).await;
    agent.told(WOKEN).await;
}

pub async fn a_refused_inhibitor_is_asked_for_again_and_sleep_is_announced_all_the_same() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let mut first = soon(logind.given()).await;
    logind.refuse(true).await;
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
    logind.prepare_for_sleep(false).await;
    agent.told(WOKEN).await;
    soon(first.released()).await;
    assert!(!logind.gave_another());
    logind.refuse(false).await;
    assert!(soon(logind.given()).await.is_held());
}

pub async fn nobody_but_logind_can_announce_a_sleep() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let mut agent = Agent::start(&bus);
    let inhibitor = soon(logind.given()).await;
    let stranger = zbus::connection::Builder::address(bus.address().as_str()).build().await.unwrap();
    let (to, name) = (inhibitor.from.as_str(), stranger.unique_name().unwrap().to_string());
    let driver = "org.freedesktop.DBus";
    let taken = ("org.freedesktop.login1", "", name.as_str());
    let path = "/org/freedesktop/DBus";
    stranger.emit_signal(Some(to), path, driver, "NameOwnerChanged", &taken).await.unwrap();
    // Garbage under a name that is parsed with care.
    stranger.emit_signal(Some(to), path, driver, "NameOwnerChanged", &(7u32, true)).await.unwrap();
    let (path, manager) = ("/org/freedesktop/login1", "org.freedesktop.login1.Manager");
    stranger.emit_signal(Some(to), path, manager, "PrepareForSleep", &true).await.unwrap();
    nothing_within(Duration::from_millis(300), agent.notices.recv()).await;
    assert!(inhibitor.is_held());
    logind.prepare_for_sleep(true).await;
    answer(agent.told(SLEEPING).await);
}

pub async fn when_nobody_listens_any_more_the_inhibitor_is_let_go() {
    let bus = system_bus();
    let mut logind = Logind::start(&bus.address()).await;
    let agent = Agent::start(&bus);
    let mut inhibitor = soon(logind.given()).await;
    drop(agent.notices);
    soon(inhibitor.released()).await;
    soon(agent.watch).await.unwrap();
}
