//! What exchanges and look-ups share.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tracing::debug;

use super::ntp::address_file::AddressFile;
use super::ntp::nts::key_exchange::{self, Exchanged, KeyExchangeError};
use super::ntp::resolver;
use super::ntp::security::Security;
use super::ntp::server_name::{ServerName, ServerProof};
use super::ntp::server_pool::ServerPool;
use crate::error_chain::in_full;
use crate::sys::clock::boottime;

/// What exchanges and look-ups share. No lock is held for longer than it takes to read or write what it guards.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pool: Mutex<ServerPool>,
    /// How servers prove who they are.
    security: Mutex<Security>,
    /// What was found in earlier lives. Locked while the file is written, which is never on an exchange's way.
    memory: Mutex<AddressFile>,
    /// Notified whenever a look-up ends.
    pub(super) looked_up: Condvar,
    /// The exchanges under way, notified likewise.
    listening: Mutex<Vec<Weak<EventFd>>>,
}

impl Shared {
    pub(super) fn pool(&self) -> MutexGuard<'_, ServerPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to look the names up; the pool receives each result, however late.
    pub(super) fn look_up(self: &Arc<Self>, names: Vec<ServerName>) {
        for name in names {
            let (shared, whose) = (Arc::clone(self), name.clone());
            let started = match name.proof() {
                ServerProof::Nts => key_exchange::begin(name.clone(), self.security().clone(), move |found| {
                    shared.exchanged(&whose, found)
                }),
                ServerProof::None | ServerProof::Key(_) => {
                    resolver::look_up(name.clone(), move |found| shared.resolved(&whose, found))
                }
            };
            if let Err(error) = started {
                self.resolved(&name, Err(error));
            }
        }
    }

    pub(super) fn security(&self) -> MutexGuard<'_, Security> {
        self.security.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn exchanged(self: &Arc<Self>, name: &ServerName, found: Result<Exchanged, KeyExchangeError>) {
        let found = found.map(|found| (found.sockets, found.session)).map_err(|error| in_full(&error));
        if let Err(why) = &found {
            debug!(server = %name, why, "no keys were exchanged");
        }
        let again = self.pool().exchanged(name, found, boottime());
        self.look_up_ended(name, again);
    }

    /// What rings whenever a look-up ends, until it is dropped; none where the kernel has no descriptor left, and then the
    /// exchange ends without those who are found meanwhile.
    pub(super) fn listen(&self) -> Option<Arc<EventFd>> {
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let ring = Arc::new(EventFd::from_value_and_flags(0, flags).ok()?);
        let mut listening = self.listening();
        listening.retain(|other| other.strong_count() > 0);
        listening.push(Arc::downgrade(&ring));
        Some(ring)
    }

    pub(super) fn listening(&self) -> MutexGuard<'_, Vec<Weak<EventFd>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resolved(
        self: &Arc<Self>,
        name: &ServerName,
        found: Result<Vec<SocketAddr>, resolver::ResolverError>,
    ) {
        let addresses = found.as_ref().ok().cloned().unwrap_or_default();
        let again = self.pool().resolved(name, found.map_err(|error| in_full(&error)), boottime());
        self.look_up_ended(name, again);
        // Last of all, when every exchange was notified.
        let mut memory = self.memory();
        if !addresses.is_empty()
            && name.address().is_none()
            && memory.note(name, &addresses)
            && let Err(error) = memory.write()
        {
            debug!(%error, "cannot save the addresses of the servers");
        }
    }

    fn look_up_ended(self: &Arc<Self>, name: &ServerName, again: bool) {
        if again {
            self.look_up(vec![name.clone()]);
        }
        self.looked_up.notify_all();
        self.listening().retain(|ring| match ring.upgrade() {
            // It can only be full, and then it rings already.
            Some(ring) => {
                let _ = ring.write(1);
                true
            }
            None => false,
        });
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, AddressFile> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
