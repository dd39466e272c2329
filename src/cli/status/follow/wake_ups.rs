//! What wakes a follower: the page, its folder, signals on a terminal, a reader that has gone, and time.

use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::FollowStyle;

/// What ends it, with the terminal as it was.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT];

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WakeUp {
    /// The agent has published something, or the page is another.
    PageChanged,
    /// The time is over.
    TimePassed,
    /// The terminal has another size.
    Resized,
    /// The terminal's user wants it stopped (Ctrl-Z).
    Suspended,
    /// A signal ends it.
    Interrupted(Signal),
    /// The reader of what is written has gone.
    NoReader,
}

/// The thread that sleeps on the page wakes the follower by it.
#[derive(Clone, Debug)]
pub struct Bell(Arc<EventFd>);

impl Bell {
    pub fn ring(&self) {
        // A counter that is full wakes it as well.
        let _ = self.0.write(1);
    }
}

/// All of them, to be waited for at once.
#[derive(Debug)]
pub struct WakeUps {
    bell: Bell,
    folder: Option<Inotify>,
    signals: Option<SignalFd>,
}

impl WakeUps {
    /// Those of a page in this folder. On a terminal signals are received here from now on; elsewhere they do what they always do.
    pub fn new(directory: &Path, style: FollowStyle) -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let signals = match style {
            FollowStyle::Live => {
                let mut caught = SigSet::from_iter(ENDING);
                caught.add(Signal::SIGTSTP);
                caught.add(Signal::SIGWINCH);
                caught.thread_block()?;
                Some(SignalFd::with_flags(&caught, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
            }
            FollowStyle::Lines | FollowStyle::Json => None,
        };
        // Without inotify(7) a page that is removed is noticed when its agent should have said that it lives.
        let folder = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        let all = Self { bell: Bell(Arc::new(bell)), folder, signals };
        all.watch_folder(directory);
        Ok(all)
    }

    /// What the thread that sleeps on the page rings.
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Watches the folder of the page, again where it was removed and made anew.
    pub fn watch_folder(&self, directory: &Path) {
        // What the agent stores through its mapping is no modification to inotify; a file that is cut short is.
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        // Where there is no folder, it is looked for once a second.
        let _ = self.folder.as_ref().map(|folder| folder.add_watch(directory, what));
    }

    /// Sleeps until something happens, `at_most` so long.
    pub fn wait(&self, at_most: Duration) -> io::Result<WakeUp> {
        let stdout = io::stdout();
        let mut sources = vec![
            // A pipe without a reader is an error, whatever is asked for.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
            PollFd::new(self.bell.0.as_fd(), PollFlags::POLLIN),
        ];
        sources.extend(self.signals.as_ref().map(|signals| PollFd::new(signals.as_fd(), PollFlags::POLLIN)));
        sources.extend(self.folder.as_ref().map(|folder| PollFd::new(folder.as_fd(), PollFlags::POLLIN)));
        // Whole milliseconds, and not a little less than was asked for.
        let millis = i32::try_from(at_most.as_millis().saturating_add(1)).unwrap_or(i32::MAX);
        match poll(&mut sources, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => return Ok(WakeUp::TimePassed),
            Ok(_) => {}
            Err(errno) => return Err(errno.into()),
        }
        let has_no_reader = sources.first().and_then(PollFd::revents).is_some_and(|found| !found.is_empty());
        let signal = self.signals.as_ref().and_then(|signals| signals.read_signal().ok().flatten());
        let signal = signal.and_then(|received| Signal::try_from(received.ssi_signo.cast_signed()).ok());
        let _ = (self.bell.0.read(), self.folder.as_ref().map(Inotify::read_events));
        Ok(match signal {
            Some(Signal::SIGWINCH) => WakeUp::Resized,
            Some(Signal::SIGTSTP) => WakeUp::Suspended,
            Some(signal) => WakeUp::Interrupted(signal),
            None if has_no_reader => WakeUp::NoReader,
            None => WakeUp::PageChanged,
        })
    }

    /// Ends this process by a signal, as its parent expects of one that was interrupted.
    pub fn end_by(&self, signal: Signal) {
        let _ = SigSet::from_iter(ENDING).thread_unblock();
        let _ = raise(signal);
    }
}

/// Stops this process until it is continued.
pub fn stop() -> io::Result<()> {
    Ok(raise(Signal::SIGSTOP)?)
}
