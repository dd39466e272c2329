//! One server of the pool: its addresses, what came of looking it up, and by NTS its keys.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::decision::Boottime;
use crate::reference::ntp::nts::session::Session;
use crate::reference::ntp::server::Server;
use crate::reference::ntp::server_name::{ServerName, ServerProof};

const UNRESOLVED: &str = "its name is still being resolved";
const UNKEYED: &str = "its keys are still being exchanged";

/// One server, and what is known of it.
#[derive(Debug)]
pub(super) struct PoolEntry {
    pub(super) server: Server,
    /// What the last look-up found, in this life or, until there was one, in an earlier one.
    pub(super) found: Vec<SocketAddr>,
    pub(super) look_up: LookUp,
    pub(super) is_under_way: bool,
    /// By NTS: keys and cookies, as long as there are any.
    pub(super) session: Option<Arc<Session>>,
    /// By NTS: how often in a row there were none to be had, and when that is tried again.
    pub(super) in_vain: u32,
    /// By NTS: whether there were ever any.
    pub(super) was_keyed: bool,
    pub(super) not_before: Boottime,
    /// A look-up was requested while one was under way: its result may be of a network that is no longer there.
    pub(super) is_due_again: bool,
}

/// What came of looking a name up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// Not tried yet.
    Never,
    /// It is being looked up.
    UnderWay,
    /// It has addresses.
    Found,
    /// It has none that we could find, and why.
    Failed(String),
}

impl PoolEntry {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            found: vec![],
            look_up: LookUp::Never,
            is_under_way: false,
            session: None,
            in_vain: 0,
            was_keyed: false,
            not_before: Boottime::default(),
            is_due_again: false,
        }
    }

    /// Its addresses: itself, those the daemon reported, those that were looked up.
    pub(super) fn sockets(&self) -> Vec<SocketAddr> {
        if self.server.name.proof() == ServerProof::Nts {
            return if self.has_keys() { self.found.clone() } else { vec![] };
        }
        let own = self.server.name.address().map(|ip| SocketAddr::new(ip, self.server.name.port()));
        let mut sockets: Vec<SocketAddr> = vec![];
        for socket in own.iter().chain(&self.server.addresses).chain(&self.found) {
            if !sockets.contains(socket) {
                sockets.push(*socket);
            }
        }
        sockets
    }

    /// By NTS: whether it can be asked.
    pub(super) fn has_keys(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_usable())
    }

    /// By NTS: whether keys are to be exchanged ahead of need.
    pub(super) fn is_running_out(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_running_out())
    }

    /// What came of looking it up; keys that are used up were never had.
    pub(super) fn standing(&self) -> LookUp {
        let is_spent =
            self.server.name.proof() == ServerProof::Nts && self.look_up == LookUp::Found && !self.has_keys();
        if is_spent { LookUp::Never } else { self.look_up.clone() }
    }

    /// The name, unless nothing is to be looked up or a look-up is under way.
    pub(super) fn take_name(&mut self) -> Option<ServerName> {
        if !self.server.name.wants_look_up() || self.is_under_way {
            return None;
        }
        self.is_under_way = true;
        if self.standing() == LookUp::Never {
            let what = if self.server.name.proof() == ServerProof::Nts { UNKEYED } else { UNRESOLVED };
            self.look_up = LookUp::Failed(what.to_owned());
        }
        Some(self.server.name.clone())
    }
}
