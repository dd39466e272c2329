//! One exchange with every reference at once: blocking, with a deadline, reported as it proceeds.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::local;
use super::ntp::address::Address;
use super::ntp::conversation::ExchangeError;
use super::ntp::packet;
use super::ntp::participant::{Participant, ServerOutcome};
use super::ntp::server_pool::{Invited, LookUp, is_anothers};
use super::pending::Joining;
use super::question::Question;
use super::shared::Shared;
use crate::decision::{AwaitedSource, Boottime, Failure, Gate, Measurement, Reading};
use crate::sys::adjtimex;
use crate::sys::clock::boottime;
use crate::sys::timerfd::Alarm;

/// Asks every reference, and reports the whole of what is known whenever an answer arrived, when the time of a server was up, and at the
/// end, until `report` breaks it off. The last report has no outstanding answers.
pub fn exchange(shared: &Arc<Shared>, question: Question, report: &mut dyn FnMut(Measurement) -> ControlFlow<()>) {
    let hardware = question.hardware.clone();
    let mut exchange = RunningExchange::begin(shared, question);
    if let Some(root) = hardware {
        // Beside the servers: their answers are on the way.
        exchange.ask_hardware(&root);
    }
    exchange.look_up_names();
    match exchange.run(report) {
        Ok(ControlFlow::Break(())) => return,
        Ok(ControlFlow::Continue(())) => exchange.end(boottime()),
        Err(error) => exchange.break_off(&error),
    }
    if exchange.news {
        // It was the last report anyhow.
        let _ = report(exchange.so_far());
    }
}

/// How long authenticated servers are waited for before plain ones are asked, if the configuration says so.
const PATIENCE_AUTHENTICATED: Duration = Duration::from_secs(1);

/// One exchange under way.
#[derive(Debug)]
struct RunningExchange<'a> {
    shared: &'a Arc<Shared>,
    began: Boottime,
    deadline: Boottime,
    gate: Gate,
    /// At the beginning: the daemon may be reset meanwhile, and its rate with it.
    rate_ppm: u32,
    readings: Vec<Reading>,
    /// Who is not asked, and who of this machine's own clocks and of the callers did not answer.
    failures: Vec<Failure>,
    participants: Vec<Participant>,
    others: Joining,
    /// Rings when a look-up ends; none where the kernel had no descriptor left.
    looked_up: Option<Arc<EventFd>>,
    /// Whether plain servers are not asked yet: no authenticated one has failed to answer.
    holds_plain_back: bool,
    /// Whether something is to be reported; at first that there is no server to ask.
    news: bool,
}

impl<'a> RunningExchange<'a> {
    fn begin(shared: &'a Arc<Shared>, question: Question) -> Self {
        let began = boottime();
        // Before the first look-up, so that the end of none is missed.
        let looked_up = shared.listen();
        let invited = shared.pool().invite(began, question.gate);
        let holds_plain_back = shared.pool().holds_plain_back();
        let no_address_is_known = invited.targets.is_empty() && invited.failures.is_empty();
        let mut exchange = Self {
            shared,
            began,
            deadline: began + question.timeout,
            gate: question.gate,
            rate_ppm: rate_ppm(),
            readings: vec![],
            failures: vec![],
            participants: vec![],
            others: Joining::new(&invited.names, no_address_is_known, question.callers),
            looked_up,
            holds_plain_back,
            news: false,
        };
        exchange.take_in(invited);
        exchange.news |= !exchange.is_open();
        exchange
    }

    /// Asks those who are invited.
    fn take_in(&mut self, invited: Invited) {
        self.news |= !invited.failures.is_empty();
        self.failures.extend(invited.failures);
        for target in invited.targets {
            let participant = Participant::ask(target, boottime());
            if participant.failure().is_some() {
                self.shared.pool().at(participant.target.socket).unsent();
                self.news = true;
            }
            self.participants.push(participant);
        }
    }

    /// Where no address is known every name is looked up anew, otherwise those that never were.
    fn look_up_names(&mut self) {
        let mut pool = self.shared.pool();
        let names = if self.others.names_are_waited_for() {
            pool.take_unfound_names(self.began)
        } else {
            pool.take_new_names()
        };
        drop(pool);
        self.shared.look_up(names);
        self.see_names();
    }

    fn ask_hardware(&mut self, root: &Path) {
        let local = local::measure(root);
        self.news |= local != Measurement::default();
        self.readings.extend(local.readings);
        self.failures.extend(local.failures);
    }

    /// Receives, asks again and reports, until no answer can come any more or the time is up.
    fn run(&mut self, report: &mut dyn FnMut(Measurement) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
        // The alarm counts time asleep, which poll's own timeout does not.
        let alarm = Alarm::new()?;
        loop {
            let now = boottime();
            self.repeat(now);
            self.end_patience(now);
            self.release_plain(now);
            if !self.is_open() || now >= self.deadline {
                return Ok(ControlFlow::Continue(()));
            }
            if std::mem::take(&mut self.news) && report(self.so_far()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            alarm.set(self.next_at())?;
            self.wait(&alarm)?;
            // Read first and look at the time afterwards: what came in time counts, however late we are scheduled.
            self.receive();
        }
    }

    /// Waits until there is something to be read, or to be done.
    fn wait(&self, alarm: &Alarm) -> io::Result<()> {
        let mut fds = vec![PollFd::new(alarm.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.looked_up.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.others.callers().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        let open = self.participants.iter().filter_map(Participant::conversation);
        fds.extend(open.map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Repeats what is due, as far as good manners allow.
    fn repeat(&mut self, now: Boottime) {
        for participant in self.participants.iter_mut().filter(|p| p.repeats_at() <= now) {
            let socket = participant.target.socket;
            let may = self.shared.pool().at(socket).repeat(now);
            if participant.repeat(may).is_err() {
                self.shared.pool().at(socket).unsent();
                self.news = true;
            }
        }
    }

    /// Ends the wait for servers whose time is up. As long as none has answered, all are waited for: the packets were lost.
    fn end_patience(&mut self, now: Boottime) {
        if self.readings.is_empty() {
            return;
        }
        // A clock of the machine's own says nothing of the network.
        let has_answered = self.participants.iter().any(Participant::has_answered);
        let note = if has_answered { Address::failed_beside_others } else { Address::failed };
        for participant in self.participants.iter_mut().filter(|p| p.time_is_up_at() <= now) {
            overdue(self.shared, participant, now, note);
            self.news = true;
        }
        if now >= self.began + self.others.patience() {
            self.news |= self.others.give_up();
        }
    }

    /// Asks the plain servers that were held back, once no authenticated one is likely to answer.
    fn release_plain(&mut self, now: Boottime) {
        if !self.holds_plain_back {
            return;
        }
        if self.participants.iter().any(Participant::has_answered) {
            self.holds_plain_back = false;
        } else if !self.is_open() || now >= self.began + PATIENCE_AUTHENTICATED {
            self.holds_plain_back = false;
            let invited = self.shared.pool().invite_plain(now, self.gate);
            self.take_in(invited);
        }
    }

    /// Whether any answer can still come.
    fn is_open(&self) -> bool {
        self.participants.iter().any(|p| p.conversation().is_some()) || !self.others.have_ended()
    }

    /// When there is something to be done, if nothing comes.
    fn next_at(&self) -> Boottime {
        let mut next = self.participants.iter().map(Participant::repeats_at).min().unwrap_or(Boottime::NEVER);
        if self.holds_plain_back {
            next = next.min(self.began + PATIENCE_AUTHENTICATED);
        }
        if !self.readings.is_empty() {
            let patience = self.participants.iter().map(Participant::time_is_up_at).min();
            next = next.min(patience.unwrap_or(Boottime::NEVER));
            if self.others.are_waited_for() {
                next = next.min(self.began + self.others.patience());
            }
        }
        next.min(self.deadline)
    }

    /// Reads all that has come.
    fn receive(&mut self) {
        for participant in &mut self.participants {
            let Some(outcome) = participant.receive() else { continue };
            self.news = true;
            let mut pool = self.shared.pool();
            let address = pool.at(participant.target.socket);
            match outcome {
                ServerOutcome::InTime(answer) => {
                    address.answered(answer.took);
                    self.readings.push(participant.reading(&answer));
                }
                ServerOutcome::Late(answer) => {
                    address.answered_late(answer.took);
                    self.readings.push(participant.reading(&answer));
                }
                ServerOutcome::Failure(error) => {
                    address.failed();
                    if let ExchangeError::Refused(packet::PacketError::Kiss(kiss)) = error {
                        address.heed(kiss, boottime());
                    }
                }
            }
        }
        self.renew_keys();
        for outcome in self.others.receive_callers() {
            self.news = true;
            match outcome {
                Ok(reading) => self.readings.push(reading),
                Err(failure) => self.failures.push(failure),
            }
        }
        if self.looked_up.as_ref().is_some_and(|ring| ring.read().is_ok()) {
            self.see_names();
        }
    }

    /// Exchanges keys anew with servers that say that they cannot read our cookie. That is not authenticated, so their answer
    /// is waited for all the same.
    fn renew_keys(&mut self) {
        let refused: Vec<_> =
            self.participants.iter().filter(|p| p.is_refused()).map(|p| p.target.name.clone()).collect();
        for name in refused {
            let taken = self.shared.pool().take_void(&name);
            if let Some(name) = taken {
                self.others.await_keys(name.clone());
                self.shared.look_up(vec![name]);
            }
        }
    }

    /// Asks those whose names were found, and drops the names that were not.
    fn see_names(&mut self) {
        for name in self.others.take_names() {
            let look_up = self.shared.pool().look_up(&name.name);
            match look_up {
                LookUp::UnderWay | LookUp::Never => self.others.keep(name),
                LookUp::Found => {
                    // Under the new keys it is asked anew.
                    self.participants.retain(|p| p.target.name != name.name || !p.is_refused());
                    let asked: Vec<SocketAddr> = self.participants.iter().map(|p| p.target.socket).collect();
                    let invited = self.shared.pool().invite_found(&name.name, &asked, boottime(), self.gate);
                    let none_new = invited.targets.is_empty() && invited.failures.is_empty();
                    self.failures.extend((none_new && !name.is_asked).then(|| is_anothers(&name.name)));
                    self.take_in(invited);
                    self.news = true;
                }
                LookUp::Failed(why) => {
                    self.failures.extend(name.failure(&why));
                    self.news = true;
                }
            }
        }
    }

    /// The time is up, or no server is left: no answer is waited for any longer.
    fn end(&mut self, now: Boottime) {
        for participant in self.participants.iter_mut().filter(|p| p.is_waiting()) {
            overdue(self.shared, participant, now, Address::failed);
            self.news = true;
        }
        self.news |= self.others.give_up();
    }

    /// No socket can be read.
    fn break_off(&mut self, error: &io::Error) {
        let local = || ExchangeError::Local { what: "poll(2)", source: io::Error::from(error.kind()) };
        self.participants.iter_mut().filter(|p| p.conversation().is_some()).for_each(|p| p.fail(&local()));
        self.news = true;
        self.end(boottime());
    }

    /// All that is known now.
    fn so_far(&self) -> Measurement {
        let mut failures = self.failures.clone();
        failures.extend(self.participants.iter().filter_map(Participant::failure));
        failures.extend(self.others.failures());
        let mut waiting: Vec<AwaitedSource> = self.participants.iter().filter_map(Participant::waiting).collect();
        waiting.extend(self.others.waiting());
        let of_participants = self.participants.iter().map(|p| &p.target).filter(|t| t.association.is_authenticated());
        let mut authenticated: BTreeSet<String> = of_participants.map(|target| target.voice.name.clone()).collect();
        authenticated.extend(self.shared.pool().authenticated());
        let refused = self.participants.iter().filter_map(Participant::refused).collect();
        let rate_ppm = self.rate_ppm.max(rate_ppm());
        Measurement { readings: self.readings.clone(), failures, refused, waiting, authenticated, rate_ppm }
    }
}

fn overdue(shared: &Shared, participant: &mut Participant, now: Boottime, note: fn(&mut Address)) {
    let mut pool = shared.pool();
    let address = pool.at(participant.target.socket);
    participant.be_overdue(now, address.reach());
    note(address);
}

fn rate_ppm() -> u32 {
    adjtimex::read().map_or(0, |clock| clock.rate_ppm())
}
