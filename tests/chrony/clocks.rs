//! chronyd with a reference clock and no server: nothing makes it ask quickly, so what it knows is not thrown away for nothing.

use std::mem::size_of;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clockgate::sys::clock::realtime;
use clockgate::sys::nap;
use libtest_mimic::Failed;
use tempfile::TempDir;

use crate::Test;
use crate::corrector::measured;
use crate::lab::{Daemon, block_on};
use crate::support::Outcome;

pub const TRIALS: &[Test] = &[
    ("a_reference_clock_alone_is_made_to_forget_only_where_its_samples_are_void", made_to_forget_where_it_has_to),
    ("a_reference_clock_alone_is_waited_for_as_long_as_four_of_its_polls", waited_for),
];

const PATIENCE: Duration = Duration::from_secs(30);

/// A receiver at the socket of chrony.conf(5), SOCK, that says that the clock is right.
struct Receiver {
    folder: TempDir,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    fn new() -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("clock.sock");
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let ours = UnixDatagram::unbound()?;
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // Before chronyd has made its socket nobody hears it.
                drop(ours.send_to(&sample(), &socket));
                nap(Duration::from_millis(100));
            }
        });
        Ok(Self { folder, over, thread: Some(thread) })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("clock.sock")
    }

    /// A chronyd that has this receiver and polls it every second.
    fn client(&self) -> Result<Daemon, Failed> {
        let line = format!("refclock SOCK {} refid TEST poll 0 dpoll -2 filter 2", self.socket().display());
        let client = Daemon::start(&[&line], 0)?;
        client.synchronised()?;
        Ok(client)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// `struct sock_sample` of chrony's refclock_sock.c: when, reference minus local, no pulse, no leap second, padding, its mark.
fn sample() -> [u8; 40] {
    const MARK: i32 = 0x534f_434b;
    let now = realtime().as_nanos();
    let (secs, micros) = (now.div_euclid(1_000_000_000), now.rem_euclid(1_000_000_000) / 1000);
    let mut bytes = [0; 40];
    let width = size_of::<i64>();
    bytes[..width].copy_from_slice(&secs.to_ne_bytes());
    bytes[width..2 * width].copy_from_slice(&micros.to_ne_bytes());
    bytes[36..].copy_from_slice(&MARK.to_ne_bytes());
    bytes
}

fn made_to_forget_where_it_has_to() -> Outcome {
    let receiver = Receiver::new()?;
    let client = receiver.client()?;
    let knows = || client.ask().tracking().is_ok_and(|tracking| tracking.synchronised().is_some());
    let corrector = client.corrector();
    block_on(async {
        assert_eq!(corrector.look().await.daemon.as_deref(), Some("chronyd"));
        assert!(!knows(), "nobody knows what its samples are from: it forgets at the first look");
        let first = measured(&corrector, PATIENCE).await?;
        let looked = corrector.look().await;
        assert_eq!((looked.daemon.as_deref(), looked.trouble), (Some("chronyd"), None));
        assert!(knows(), "it was made to forget for nothing");
        let second = measured(&corrector, PATIENCE).await?;
        assert!(second.as_of > first.as_of && second.offset.abs() < Duration::from_millis(50), "{second:?}");
        corrector.forget().await;
        assert!(!knows(), "it was not reset");
        Ok(())
    })
}

fn waited_for() -> Outcome {
    let folder = tempfile::tempdir()?;
    let line = |poll: i8| format!("refclock SOCK {} refid T{poll} poll {poll}", folder.path().join("clock").display());
    let patience = |lines: &[&str]| Ok::<_, Failed>(block_on(Daemon::start(lines, 0)?.corrector().four_polls()));
    assert_eq!(patience(&[&line(4)])?, Some(Duration::from_secs(64)));
    assert_eq!(patience(&[&line(-2)])?, Some(Duration::from_secs(1)));
    assert_eq!(patience(&["server 127.0.0.2 port 9 maxpoll 6"])?, None, "a server can be asked quickly");
    Ok(())
}
