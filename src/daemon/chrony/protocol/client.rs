//! The blocking client: one request after another until a deadline.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::random;

use super::error::{ChronyError, Problem};
use super::reports::{Activity, AuthMode, NtpData, SourceData, SourceMode, Tracking, source_count, source_name};
use super::select::SelectData;
use super::socket::Socket;
use super::status::Status;
use super::wire::{Command, Malformed, REPLY_MAX, ReplyFields, SourceAddress, decode, encode};

/// chronyc's own time limit. chronyd is one thread that answers within 20 µs unless it is stopped or looks up a name.
const PATIENCE: Duration = Duration::from_millis(500);
const ATTEMPTS: u16 = 3;

/// A conversation with one chronyd that ends at its deadline, answered or not.
#[derive(Debug)]
pub struct ChronyClient {
    place: CommandAddress,
    deadline: Boottime,
    socket: Option<Socket>,
    sequence: u32,
    /// Where the connection comes from, and goes to when it was answered last.
    spare: Option<Spare>,
    was_answered: bool,
    /// Whether the connection was left by an earlier conversation, and nothing was sent in this one.
    is_reused: bool,
}

/// A connection that outlives its conversation, for the next one: to connect takes longer than to ask.
#[derive(Clone, Debug, Default)]
pub struct Spare(Arc<Mutex<Option<Socket>>>);

impl Spare {
    fn take(&self) -> Option<Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, socket: Socket) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(socket);
    }
}

#[derive(Debug)]
enum CommandAddress {
    Unix(PathBuf),
    Udp(SocketAddr),
}

impl ChronyClient {
    /// Over the Unix socket: everything, for root and chronyd's own user. Connects with the first request.
    #[must_use]
    pub fn unix(socket: &Path, deadline: Boottime) -> Self {
        Self::new(CommandAddress::Unix(socket.to_owned()), deadline)
    }

    /// Over UDP: `tracking`, `activity`, `sources` and their names, for every user of this host.
    #[must_use]
    pub fn udp(address: SocketAddr, deadline: Boottime) -> Self {
        Self::new(CommandAddress::Udp(address), deadline)
    }

    fn new(place: CommandAddress, deadline: Boottime) -> Self {
        Self { place, deadline, socket: None, sequence: 0, spare: None, was_answered: false, is_reused: false }
    }

    /// Continues over the connection of an earlier conversation, if that still exists, and leaves its own for the next one.
    #[must_use]
    pub fn reusing(mut self, spare: &Spare) -> Self {
        self.socket = spare.take().filter(Socket::can_be_answered);
        self.is_reused = self.socket.is_some();
        self.spare = Some(spare.clone());
        self
    }

    /// What chronyd believes of the clock.
    ///
    /// # Errors
    /// [`ChronyError`]; so for all below.
    pub fn tracking(&mut self) -> Result<Tracking, ChronyError> {
        self.ask(Command::Tracking, &[], Tracking::parse)
    }

    /// Every source; one that goes away meanwhile is left out.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn sources(&mut self) -> Result<Vec<SourceData>, ChronyError> {
        let count = self.source_count()?;
        let each = (0..count).map(|i| self.ask(Command::SourceData, &i.to_be_bytes(), SourceData::parse));
        each.filter_map(unless_removed).collect()
    }

    /// How every source is selected, in the order of [`ChronyClient::sources`]; one that goes away meanwhile is left out.
    ///
    /// # Errors
    /// [`ChronyError`]; `Invalid` before 4.0, `Unauthorised` over UDP.
    pub fn select_data(&mut self) -> Result<Vec<SelectData>, ChronyError> {
        let count = self.source_count()?;
        let each = (0..count).map(|i| self.ask(Command::SelectData, &i.to_be_bytes(), SelectData::parse));
        each.filter_map(unless_removed).collect()
    }

    fn source_count(&mut self) -> Result<u32, ChronyError> {
        self.ask(Command::SourceCount, &[], source_count)
    }

    /// How a source is authenticated; reference clocks are not.
    ///
    /// # Errors
    /// [`ChronyError`]; `Invalid` before 4.0, `Unauthorised` over UDP.
    pub fn authentication(&mut self, source: &SourceData) -> Result<AuthMode, ChronyError> {
        match source.mode {
            SourceMode::RefClock => Ok(AuthMode::None),
            SourceMode::Client | SourceMode::Peer => {
                self.ask(Command::AuthData, &source.address.encode(), AuthMode::parse)
            }
        }
    }

    /// The name that a source was configured with; that of a pool for each of the pool's.
    ///
    /// # Errors
    /// [`ChronyError`]; `Invalid` before 4.0.
    pub fn name(&mut self, source: SourceAddress) -> Result<String, ChronyError> {
        self.ask(Command::SourceName, &source.encode(), source_name)
    }

    /// A source's port, and how often it answered.
    ///
    /// # Errors
    /// [`ChronyError`]; `Unauthorised` over UDP.
    pub fn ntp_data(&mut self, source: SourceAddress) -> Result<NtpData, ChronyError> {
        self.ask(Command::NtpData, &source.encode(), NtpData::parse)
    }

    /// How many sources are in which state.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn activity(&mut self) -> Result<Activity, ChronyError> {
        self.ask(Command::Activity, &[], Activity::parse)
    }

    /// Makes chronyd forget every sample and any slew in progress; until it has measured again it says that it is not synchronised.
    ///
    /// # Errors
    /// [`ChronyError`]; `Invalid` before 4.0.
    pub fn reset_sources(&mut self) -> Result<(), ChronyError> {
        self.order(Command::ResetSources, &[])
    }

    /// Polls every source again.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn online(&mut self) -> Result<(), ChronyError> {
        self.order(Command::Online, &every_source())
    }

    /// Polls every source quickly until `good` answers of at most `total`; a burst under way continues as it is.
    ///
    /// # Errors
    /// [`ChronyError`].
    pub fn burst(&mut self, good: u32, total: u32) -> Result<(), ChronyError> {
        let mut body = every_source();
        body.extend(good.to_be_bytes());
        body.extend(total.to_be_bytes());
        self.order(Command::Burst, &body)
    }

    /// Steps the clock by what chronyd believes just now, which is nothing after a reset.
    ///
    /// # Errors
    /// [`ChronyError`]; `Failed` where chronyd may not set the clock, and then what it says afterwards is untrue until it has
    /// measured again (4.3: offset zero, synchronised).
    pub fn makestep(&mut self) -> Result<(), ChronyError> {
        self.order(Command::Makestep, &[])
    }

    fn order(&mut self, command: Command, body: &[u8]) -> Result<(), ChronyError> {
        self.ask(command, body, |_| Ok(()))
    }

    fn ask<T>(
        &mut self,
        command: Command,
        body: &[u8],
        parse: impl FnOnce(&ReplyFields<'_>) -> Result<T, Malformed>,
    ) -> Result<T, ChronyError> {
        let mut buffer = [0; REPLY_MAX];
        self.exchange(command, body, &mut buffer)
            .and_then(|reply| parse(&reply).map_err(Problem::Malformed))
            .map_err(|problem| ChronyError { command: command.name(), socket: self.place(), problem })
    }

    /// Sends until a reply to this very request comes. What else comes is ignored: a late reply to the last request, garbage.
    fn exchange<'a>(
        &mut self,
        command: Command,
        body: &[u8],
        buffer: &'a mut [u8],
    ) -> Result<ReplyFields<'a>, Problem> {
        self.sequence = random::number().map_err(Problem::Io)? as u32;
        let began = boottime();
        let mut ignored = None;
        self.was_answered = false;
        for attempt in 0..ATTEMPTS {
            let until = self.deadline.min(boottime() + PATIENCE);
            if until <= boottime() {
                break;
            }
            let sequence = self.sequence;
            if !self.send(&encode(command, sequence, attempt, body), until)? {
                continue;
            }
            let socket = self.connected()?;
            while boottime() < until {
                match socket.receive(buffer, until.since(boottime())).map(<[u8]>::len) {
                    Ok(len) => match decode(&buffer[..len], command, sequence) {
                        Ok((status, _)) => {
                            self.was_answered = true;
                            if status == Status::Success {
                                return reply(&buffer[..len], command, sequence);
                            }
                            return Err(Problem::Refused(status));
                        }
                        Err(malformed) => ignored = Some(malformed),
                    },
                    Err(error) if is_pause(&error) => {}
                    Err(error) => return Err(socket.problem(error)),
                }
            }
        }
        Err(Problem::Silent { waited: boottime().since(began), ignored })
    }

    /// Whether it could be sent until then. The other end of a reused connection may be a chronyd that has ended: then anew.
    fn send(&mut self, packet: &[u8], until: Boottime) -> Result<bool, Problem> {
        let is_reused = std::mem::take(&mut self.is_reused);
        let socket = self.connected()?;
        match socket.send(packet, until.since(boottime())) {
            Ok(()) => Ok(true),
            Err(error) if is_pause(&error) => Ok(false),
            Err(_) if is_reused => {
                self.socket = None;
                self.send(packet, until)
            }
            Err(error) => Err(socket.problem(error)),
        }
    }

    fn connected(&mut self) -> Result<&Socket, Problem> {
        let socket = match (self.socket.take(), &self.place) {
            (Some(socket), _) => socket,
            (None, CommandAddress::Unix(path)) => Socket::unix(path)?,
            (None, CommandAddress::Udp(address)) => Socket::udp(*address)?,
        };
        Ok(self.socket.insert(socket))
    }

    fn place(&self) -> String {
        match &self.place {
            CommandAddress::Unix(path) => path.display().to_string(),
            CommandAddress::Udp(address) => format!("UDP {address}"),
        }
    }
}

impl Drop for ChronyClient {
    fn drop(&mut self) {
        if let (true, Some(spare), Some(socket)) = (self.was_answered, &self.spare, self.socket.take()) {
            spare.put(socket);
        }
    }
}

/// Decoded a second time, since a borrow that is returned from a loop cannot be given back in it.
fn reply<'a>(packet: &'a [u8], command: Command, sequence: u32) -> Result<ReplyFields<'a>, Problem> {
    decode(packet, command, sequence).map(|(_, fields)| fields).map_err(Problem::Malformed)
}

/// No mask and no address: every source.
fn every_source() -> Vec<u8> {
    [SourceAddress::Unspecified.encode(), SourceAddress::Unspecified.encode()].concat()
}

fn unless_removed<T>(outcome: Result<T, ChronyError>) -> Option<Result<T, ChronyError>> {
    let gone = |e: &ChronyError| matches!(e.problem, Problem::Refused(Status::NoSuchSource));
    match outcome {
        Err(error) if gone(&error) => None,
        outcome => Some(outcome),
    }
}

/// A timeout of a socket, or a signal: nothing came yet.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
