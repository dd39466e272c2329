//! One exchange with every reference at once: blocking, with a deadline, told as it goes on.

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

use super::caller::Caller;
use super::hardware;
use super::ntp::conversation::Error;
use super::ntp::wire;
use super::participant::{Heard, Participant};
use super::question::Question;
use super::references::Shared;
use super::server_name::ServerName;
use super::server_pool::{Invited, LookUp, Unresolved};
use crate::decision::{Boottime, Failure, Gate, Measurement, Reading, Voice, Waiting};
use crate::sys::adjtimex;
use crate::sys::clock::boottime;
use crate::sys::timerfd::Alarm;

/// How long a name or a caller is waited for once somebody has answered; as long as a server that was never heard.
const PATIENCE_OTHERS: Duration = Duration::from_secs(1);

/// Asks everybody, and reports the whole of what is known whenever something came, whenever somebody's time was up, and at the
/// end, until it is told to break off. The last report has nobody waiting.
pub fn exchange(shared: &Arc<Shared>, question: Question, report: &mut dyn FnMut(Measurement) -> ControlFlow<()>) {
    let hardware = question.hardware.clone();
    let mut exchange = Exchange::begin(shared, question);
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

/// One exchange under way.
#[derive(Debug)]
struct Exchange<'a> {
    shared: &'a Arc<Shared>,
    began: Boottime,
    deadline: Boottime,
    gate: Gate,
    /// At the beginning: the daemon may be made to forget meanwhile, and its rate with it.
    rate_ppm: u32,
    readings: Vec<Reading>,
    /// Who is not asked, and who of this machine's own clocks and of the callers did not answer.
    failures: Vec<Failure>,
    participants: Vec<Participant>,
    names: Vec<Name>,
    /// Those who have not answered.
    callers: Vec<Caller>,
    callers_are_waited_for: bool,
    /// Rings when a look-up ends; none where no name matters.
    looked_up: Option<Arc<EventFd>>,
    /// Whether something is to be told; at first that there is nobody to ask.
    news: bool,
}

/// A name whose look-up may bring somebody in.
#[derive(Debug)]
struct Name {
    name: ServerName,
    /// Whether somebody is asked for it meanwhile, at an address known otherwise.
    is_asked: bool,
    /// Whether it is waited for: only where nobody's address was known.
    is_waited_for: bool,
}

impl<'a> Exchange<'a> {
    fn begin(shared: &'a Arc<Shared>, question: Question) -> Self {
        let began = boottime();
        // Before anybody is looked for, so that no look-up ends unheard.
        let looked_up = shared.listen();
        let invited = shared.pool().invite(began, question.gate);
        let nobody_is_known = invited.targets.is_empty() && invited.failures.is_empty();
        let mut exchange = Self {
            shared,
            began,
            deadline: began + question.timeout,
            gate: question.gate,
            rate_ppm: rate_ppm(),
            readings: vec![],
            failures: vec![],
            participants: vec![],
            names: vec![],
            callers: question.callers,
            callers_are_waited_for: true,
            looked_up,
            news: false,
        };
        exchange.names = invited.names.iter().map(|n| Name::new(n, nobody_is_known)).collect();
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

    /// Where nobody's address is known every name is looked up anew, otherwise those that never were.
    fn look_up_names(&mut self) {
        let nobody_is_known = self.names.iter().any(|n| n.is_waited_for);
        let mut pool = self.shared.pool();
        let names = if nobody_is_known { pool.take_names() } else { pool.take_new_names() };
        drop(pool);
        self.shared.look_up(names);
        self.see_names();
    }

    fn ask_hardware(&mut self, root: &Path) {
        let local = hardware::measure(root);
        self.news |= local != Measurement::default();
        self.readings.extend(local.readings);
        self.failures.extend(local.failures);
    }

    /// Hears, asks again and reports, until nobody can answer any more or the time has come.
    fn run(&mut self, report: &mut dyn FnMut(Measurement) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
        // The alarm counts time asleep, which poll's own timeout does not.
        let alarm = Alarm::new()?;
        loop {
            let now = boottime();
            self.repeat(now);
            self.end_patience(now);
            if !self.is_open() || now >= self.deadline {
                return Ok(ControlFlow::Continue(()));
            }
            if std::mem::take(&mut self.news) && report(self.so_far()).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            alarm.set(self.next_at())?;
            self.wait(&alarm)?;
            // Read first and look at the time afterwards: what came in time counts, however late we are scheduled.
            self.hear();
        }
    }

    /// Waits until there is something to be read, or to be done.
    fn wait(&self, alarm: &Alarm) -> io::Result<()> {
        let mut fds = vec![PollFd::new(alarm.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.looked_up.iter().map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN)));
        fds.extend(self.callers.iter().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
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

    /// Who has been waited for long enough no longer is. As long as nobody has answered everybody is: the packets were lost.
    fn end_patience(&mut self, now: Boottime) {
        if self.readings.is_empty() {
            return;
        }
        for participant in self.participants.iter_mut().filter(|p| p.time_is_up_at() <= now) {
            overdue(self.shared, participant, now);
            self.news = true;
        }
        if now >= self.began + PATIENCE_OTHERS {
            self.give_up_others();
        }
    }

    /// Whether a name or a caller is waited for.
    fn others_are_waited_for(&self) -> bool {
        self.names.iter().any(|n| n.is_waited_for) || (self.callers_are_waited_for && !self.callers.is_empty())
    }

    fn give_up_others(&mut self) {
        self.news |= self.others_are_waited_for();
        self.names.iter_mut().for_each(|name| name.is_waited_for = false);
        self.callers_are_waited_for = false;
    }

    /// Whether anybody can still answer.
    fn is_open(&self) -> bool {
        self.participants.iter().any(|p| p.conversation().is_some())
            || !self.callers.is_empty()
            || !self.names.is_empty()
    }

    /// When there is something to be done, if nothing comes.
    fn next_at(&self) -> Boottime {
        let mut next = self.participants.iter().map(Participant::repeats_at).min().unwrap_or(Boottime::NEVER);
        if !self.readings.is_empty() {
            let patience = self.participants.iter().map(Participant::time_is_up_at).min();
            next = next.min(patience.unwrap_or(Boottime::NEVER));
            if self.others_are_waited_for() {
                next = next.min(self.began + PATIENCE_OTHERS);
            }
        }
        next.min(self.deadline)
    }

    /// Reads all that has come.
    fn hear(&mut self) {
        for participant in &mut self.participants {
            let Some(heard) = participant.hear() else { continue };
            self.news = true;
            let mut pool = self.shared.pool();
            let address = pool.at(participant.target.socket);
            match heard {
                Heard::InTime(answer) => {
                    address.answered(answer.took);
                    self.readings.push(participant.reading(&answer));
                }
                Heard::Late(answer) => {
                    address.answered_late(answer.took);
                    self.readings.push(participant.reading(&answer));
                }
                Heard::Failure(error) => {
                    address.failed();
                    if let Error::Refused(wire::Error::Kiss(kiss)) = error {
                        address.heed(kiss, boottime());
                    }
                }
            }
        }
        self.hear_callers();
        if self.looked_up.as_ref().is_some_and(|ring| ring.read().is_ok()) {
            self.see_names();
        }
    }

    fn hear_callers(&mut self) {
        let (readings, failures, news) = (&mut self.readings, &mut self.failures, &mut self.news);
        self.callers.retain(|caller| {
            match caller.hear() {
                None => return true,
                Some(Ok(reading)) => readings.push(reading),
                Some(Err(failure)) => failures.push(failure),
            }
            *news = true;
            false
        });
    }

    /// Asks those whose names were found, and lets go of the names that were not.
    fn see_names(&mut self) {
        for name in std::mem::take(&mut self.names) {
            let look_up = self.shared.pool().look_up(&name.name);
            match look_up {
                LookUp::UnderWay | LookUp::Never => self.names.push(name),
                LookUp::Found => {
                    let asked: Vec<SocketAddr> = self.participants.iter().map(|p| p.target.socket).collect();
                    let invited = self.shared.pool().invite_found(&name.name, &asked, boottime(), self.gate);
                    self.take_in(invited);
                    self.news = true;
                }
                LookUp::Failed(why) => {
                    self.failures.extend((!name.is_asked).then(|| name.failure(&why)));
                    self.news = true;
                }
            }
        }
    }

    /// The time has come, or nobody is left: nobody is waited for any longer.
    fn end(&mut self, now: Boottime) {
        for participant in self.participants.iter_mut().filter(|p| p.is_waiting()) {
            overdue(self.shared, participant, now);
            self.news = true;
        }
        self.give_up_others();
    }

    /// We can listen to nobody.
    fn break_off(&mut self, error: &io::Error) {
        let local = || Error::Local { what: "poll(2)", source: io::Error::from(error.kind()) };
        self.participants.iter_mut().filter(|p| p.conversation().is_some()).for_each(|p| p.fail(&local()));
        self.news = true;
        self.end(boottime());
    }

    /// All that is known now.
    fn so_far(&self) -> Measurement {
        let names = |waited_for: bool| self.names.iter().filter(move |n| n.is_waited_for == waited_for && !n.is_asked);
        let mut failures = self.failures.clone();
        failures.extend(self.participants.iter().filter_map(Participant::failure));
        failures.extend(names(false).map(|name| name.failure("its name is still being resolved")));
        let mut waiting: Vec<Waiting> = self.participants.iter().filter_map(Participant::waiting).collect();
        waiting.extend(names(true).map(Name::waiting));
        if self.callers_are_waited_for {
            waiting.extend(self.callers.iter().map(|c| c.waiting.clone()));
        } else {
            failures.extend(self.callers.iter().map(|c| c.failure("does not answer")));
        }
        Measurement { readings: self.readings.clone(), failures, waiting, rate_ppm: self.rate_ppm.max(rate_ppm()) }
    }
}

impl Name {
    fn new(unresolved: &Unresolved, nobody_is_known: bool) -> Self {
        let Unresolved { name, is_asked } = unresolved.clone();
        Self { name, is_asked, is_waited_for: nobody_is_known }
    }

    fn waiting(&self) -> Waiting {
        Waiting { source: self.name.to_string(), voice: Voice::server(self.name.to_string()) }
    }

    fn failure(&self, why: &str) -> Failure {
        let voice = Some(Voice::server(self.name.to_string()));
        Failure { voice, asked: false, ..Failure::remark(self.name.to_string(), why) }
    }
}

fn overdue(shared: &Shared, participant: &mut Participant, now: Boottime) {
    let mut pool = shared.pool();
    let address = pool.at(participant.target.socket);
    participant.be_overdue(now, address.reach());
    address.failed();
}

fn rate_ppm() -> u32 {
    adjtimex::read().map_or(0, |clock| clock.rate_ppm())
}
