//! Who is asked: one to four servers at some distance, of which some are silent or lie.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::Offset;

use crate::lab::Outcome;
use crate::lab::liar::{Liar, Manner};
use crate::lab::world::World;

/// How far away they are: there and back.
pub const DISTANCES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(20), Duration::from_millis(150)];

/// The first of the world's addresses that is free; the ones after it are, too.
const FIRST: u8 = 2;
const AN_HOUR: Offset = Offset::from_secs(3600);

/// A set of servers.
#[derive(Clone, Copy, Debug)]
pub struct Servers {
    /// What the table calls them.
    pub name: &'static str,
    honest: u8,
    silent: u8,
    lying: u8,
}

/// Who is tried; the faulty ones are named first in chrony.conf.
pub const ALL: [Servers; 6] = [
    Servers { name: "one", honest: 1, silent: 0, lying: 0 },
    Servers { name: "three", honest: 3, silent: 0, lying: 0 },
    WELL,
    Servers { name: "four, one silent", honest: 3, silent: 1, lying: 0 },
    Servers { name: "four, one an hour ahead", honest: 3, silent: 0, lying: 1 },
    Servers { name: "four, two silent", honest: 2, silent: 2, lying: 0 },
];

/// Four of which each is well.
pub const WELL: Servers = Servers { name: "four", honest: 4, silent: 0, lying: 0 };

impl Servers {
    /// Starts them; the last one is honest.
    pub fn start(self, world: &World, round_trip: Duration) -> Outcome<Vec<Liar>> {
        let far = || Manner::far(round_trip);
        let silent = (0..self.silent).map(|_| far().silent());
        let lying = (0..self.lying).map(|_| far().off(AN_HOUR));
        let honest = (0..self.honest).map(|_| far());
        let all = (FIRST..).zip(silent.chain(lying).chain(honest));
        all.map(|(last, manner)| Ok(Liar::that(SocketAddr::from((world.address(last), 123)), manner)?)).collect()
    }

    /// Whether more than half of them answer and are right.
    pub fn have_a_majority(self) -> bool {
        2 * self.honest > self.honest + self.silent + self.lying
    }
}

/// Lines of chrony.conf(5).
pub fn sources(servers: &[Liar], polling: &str) -> String {
    servers.iter().map(|server| format!("server {} iburst {polling}\n", server.address().ip())).collect()
}
