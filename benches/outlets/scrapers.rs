//! Scrapers of every slow kind.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::lab::{Outcome, fail, pass};

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: guest\r\n\r\n";
const EVERY: Duration = Duration::from_millis(200);
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

/// Scrapers that are sent away and come again.
pub struct SlowScrapers {
    ended: Arc<AtomicBool>,
    are_at_work: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
}

/// One of them. A quarter says nothing, one stops within the request, one sends it byte by byte, one never reads the answer.
struct Scraper {
    stream: TcpStream,
    manner: usize,
    sent: usize,
}

impl SlowScrapers {
    /// Connects so many, and keeps them connected.
    pub fn start(agent: SocketAddr, count: usize) -> Outcome<Self> {
        let mut all = (0..count).map(|n| Scraper::connect(agent, n % 4)).collect::<Result<Vec<_>, _>>()?;
        let ended = Arc::new(AtomicBool::new(false));
        let are_at_work = Arc::new(AtomicBool::new(true));
        let (is_ended, at_work) = (ended.clone(), are_at_work.clone());
        let thread = std::thread::spawn(move || {
            while !is_ended.load(Ordering::Relaxed) {
                if at_work.load(Ordering::Relaxed) {
                    all.iter_mut().try_for_each(|scraper| scraper.go_on(agent)).map_err(|error| error.to_string())?;
                }
                pass(EVERY);
            }
            Ok(())
        });
        Ok(Self { ended, are_at_work, thread })
    }

    /// Whether they go on, or stay as they are.
    pub fn go_on(&self, on: bool) {
        self.are_at_work.store(on, Ordering::Relaxed);
    }

    /// Disconnects all of them.
    pub fn end(self) -> Outcome {
        self.ended.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => fail(format!("a scraper could not connect: {error}")),
            Err(_) => fail("the scrapers panicked"),
        }
    }
}

impl Scraper {
    fn connect(agent: SocketAddr, manner: usize) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&agent, CONNECTED_WITHIN)?;
        match manner {
            1 => stream.write_all(&REQUEST[..8])?,
            3 => stream.write_all(REQUEST)?,
            _ => {}
        }
        stream.set_nonblocking(true)?;
        Ok(Self { stream, manner, sent: 0 })
    }

    fn go_on(&mut self, agent: SocketAddr) -> std::io::Result<()> {
        let is_gone = match self.manner {
            // Whoever reads nothing sees no end: its answer is in the kernel's buffers, and it asks anew.
            3 => self.stream.write_all(b"\r\n").is_err(),
            2 => {
                self.sent += 1;
                self.sent > REQUEST.len() || self.stream.write_all(&REQUEST[self.sent - 1..self.sent]).is_err()
            }
            _ => !matches!(self.stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock),
        };
        if is_gone {
            *self = Self::connect(agent, self.manner)?;
        }
        Ok(())
    }
}
