//! The page that is followed, and a thread that sleeps on it: a futex is nothing that poll(2) could wait for.

use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::wake_ups::Bell;
use crate::page::{Agent, Page, View};
use crate::sys::clock::boottime;

/// An agent that does not count its publications wakes no sleeper.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An agent that has ended publishes nothing; a page that was replaced after that is left so late.
const WATCH_ANEW_EVERY: Duration = Duration::from_secs(3600);

/// The page in a folder, whichever that is: an agent that is started makes a new one where it was removed.
pub struct PageWatch {
    directory: PathBuf,
    page: Arc<Page>,
    bell: Bell,
    watcher: JoinHandle<()>,
}

impl PageWatch {
    pub fn new(page: Page, directory: &Path, bell: Bell) -> Self {
        let page = Arc::new(page);
        Self { directory: directory.to_owned(), watcher: watch(&page, &bell), page, bell }
    }

    /// The page now; where there is none, what became of the last one.
    pub fn read(&mut self) -> View {
        let mut view = self.page.read();
        if view.agent == Agent::PageGone
            && let Ok(page) = Page::open(&self.directory)
        {
            self.page = Arc::new(page);
            self.watcher = watch(&self.page, &self.bell);
            view = self.page.read();
        }
        // A page that was cut short can be whole again, and its watcher has ended.
        if view.agent != Agent::PageGone && self.watcher.is_finished() {
            self.watcher = watch(&self.page, &self.bell);
        }
        view
    }
}

/// Rings whenever the agent has published something, and when it should have said that it lives; until the page is gone.
fn watch(page: &Arc<Page>, bell: &Bell) -> JoinHandle<()> {
    let (page, bell) = (page.clone(), bell.clone());
    let mut seen = page.read();
    thread::spawn(move || {
        loop {
            page.wait_for_publication(&seen, longest(&seen));
            let view = page.read();
            let is_news = view.changes.is_none()
                || view.changes != seen.changes
                || discriminant(&view.agent) != discriminant(&seen.agent);
            if is_news {
                bell.ring();
            }
            if view.agent == Agent::PageGone {
                return;
            }
            seen = view;
        }
    })
}

/// How long nothing but a publication is news.
fn longest(view: &View) -> Duration {
    match view.agent {
        Agent::Alive | Agent::Starting if view.changes.is_some() => view.alive_until.since(boottime()),
        Agent::Ended { .. } if view.changes.is_some() => WATCH_ANEW_EVERY,
        // One that goes on says that it lives, and publishes nothing.
        Agent::Alive | Agent::Starting | Agent::Ended { .. } | Agent::Silent { .. } | Agent::PageGone => LOOK_EVERY,
    }
}
