//! The least that a step and its proof can take: two questions and their answers, one after the other, asked by a program that does
//! nothing else.

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use clockgate::sys::clock::boottime;

use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::work::PART;
use crate::lab::{Outcome, fail};
use crate::report::median;

const VERB: &str = "ask-twice";
const ROUNDS: usize = 9;

/// Asks, if the arguments say so.
pub fn perform_verb() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [verb, address] = arguments.as_slice() else { return None };
    let address = address.parse().ok().filter(|_| verb == VERB)?;
    let asked = (0..ROUNDS).map(|_| ask_twice(address)).collect::<std::io::Result<Vec<_>>>();
    match asked {
        Ok(all) => {
            all.iter().for_each(|took| println!("{}", took.as_nanos()));
            Some(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// How long they take from here, at best and at rest: a median.
pub fn here(address: SocketAddr) -> std::io::Result<Duration> {
    (0..ROUNDS).map(|_| ask_twice(address)).collect::<std::io::Result<Vec<_>>>().map(|all| median(&all))
}

fn ask_twice(address: SocketAddr) -> std::io::Result<Duration> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut question = [0; 48];
    question[0] = 0o43; // version 4, mode 3: client
    let from = boottime();
    for number in 1..=2 {
        question[40] = number;
        socket.send(&question)?;
        socket.recv(&mut [0; 512])?;
    }
    Ok(boottime().since(from))
}

/// The same in the guest.
pub fn round_trips(guest: &Guest, server: &Liar) -> Outcome<Duration> {
    let said = guest.sh(&format!("{PART} {VERB} {}", server.address()))?;
    let all = said.lines().map(|line| Ok(Duration::from_nanos(line.parse()?))).collect::<Outcome<Vec<_>>>()?;
    if all.len() == ROUNDS { Ok(median(&all)) } else { fail(format!("asked {ROUNDS} times: {said}")) }
}
