//! Publishes clockgate's gate as a condition of this Kubernetes node, and an event for each disruption. A program of its own beside the
//! agent, which reads the page as any other does: a cluster that cannot be reached changes nothing about the gate.
//!
//! ```text
//! watch       the page, by its futex          condition, disruption   what it means to a cluster
//! plan        what to write, and when         request_body            as it is written
//! identity    who writes                      api_server              one request, TLS by the measured time
//! ```
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod api_server;
mod command_line;
mod condition;
mod disruption;
mod jitter;
mod measured_clock;
mod plan;
mod publisher;
mod request_body;
mod stream;
mod sys;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clockgate_kubernetes::identity;
use clockgate_page::sys::nap;
use clockgate_run::error_chain::in_full;
use clockgate_run::exit::Exit;
use clockgate_run::sys::nss;
use clockgate_run::sys::output::{self, Priority, log};

use api_server::ApiServer;
use command_line::{Orders, Request, Verb};
use identity::IdentityError;
use measured_clock::MeasuredClock;
use publisher::NodeWriter;

/// How often to look whether this is a node, where it is none yet.
const LOOK_FOR_NODE_EVERY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let exit = match command_line::parse(std::env::args_os().skip(1).collect()) {
        Ok(Request::Text(text)) => {
            // Where help cannot be printed, no channel is left to report that.
            let _ = output::print(&text);
            Exit::Ok
        }
        Ok(Request::Do(orders)) => run(orders),
        Err(why) => fail(Exit::Usage, &why),
    };
    ExitCode::from(exit as u8)
}

fn run(orders: Orders) -> Exit {
    nss::without_modules();
    let writer = match (writer(&orders), orders.verb) {
        (Ok(writer), _) => writer,
        (Err(error), Verb::Remove) => return fail(Exit::Config, &in_full(&error)),
        (Err(error), Verb::Publish) => awaited_writer(&orders, &error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Bug, &format!("cannot begin: {error}")),
    };
    let exit = match orders.verb {
        Verb::Publish => {
            log(Priority::Info, &format!("publishing {} of node {}", condition::TYPE, writer.node));
            match runtime.block_on(publisher::publish(writer, orders.page)) {
                Ok(()) => Exit::Ok,
                Err(error) => fail(Exit::Bug, &error.to_string()),
            }
        }
        Verb::Remove => match runtime.block_on(publisher::remove(&writer)) {
            Ok(()) => Exit::Ok,
            Err(error) => fail(Exit::NoAgent, &format!("the condition is still there: {}", in_full(&error))),
        },
    };
    // A resolver that still waits for a name server is not waited for.
    runtime.shutdown_background();
    exit
}

/// The node may be added to its cluster at some later time.
fn awaited_writer(orders: &Orders, error: &IdentityError) -> NodeWriter {
    let mut logged = String::new();
    let mut why = in_full(error);
    loop {
        if logged != why {
            log(Priority::Notice, &format!("waiting until this is a node: {why}"));
            logged = why;
        }
        nap(LOOK_FOR_NODE_EVERY);
        match writer(orders) {
            Ok(writer) => return writer,
            Err(error) => why = in_full(&error),
        }
    }
}

/// The kubelet may not have its certificate yet: that is another failure of a request, unless the name of the node is in it alone.
fn writer(orders: &Orders) -> Result<NodeWriter, IdentityError> {
    let node = match &orders.node {
        Some(name) => name.clone(),
        None => orders.source.load()?.node()?,
    };
    let clock = MeasuredClock::new(orders.page.clone());
    Ok(NodeWriter { node, server: ApiServer { source: orders.source.clone(), clock } })
}

fn fail(exit: Exit, why: &str) -> Exit {
    log(Priority::Error, &format!("clockgate-kubernetes: {why}"));
    exit
}
