//! Whether plain servers count beside authenticated ones, by each `authselectmode` of a real chronyd, whoever is reachable.

use std::time::Duration;

use crate::Test;
use crate::corrector::measured;
use crate::lab::{Daemon, block_on};
use crate::support::Outcome;

pub const TRIALS: &[Test] = &[
    ("authenticated_sources_outrank_plain_ones_unless_chronyd_ignores_authentication", each_mode),
    ("an_authenticated_source_that_is_blocked_outranks_all_the_same", each_mode_blocked),
    ("a_source_by_nts_whose_name_is_not_resolved_outranks", unresolved_nts),
    ("sources_of_one_kind_need_no_mode", one_kind),
];

/// Each mode, and whether authenticated sources outrank plain ones in it; `mix` is chronyd's default.
const MODES: [(&str, bool); 5] = [
    ("authselectmode require", true),
    ("authselectmode prefer", true),
    ("authselectmode mix", true),
    ("authselectmode ignore", false),
    ("", true),
];
const POLL: &str = "minpoll 0 maxpoll 0 iburst";
const PATIENCE: Duration = Duration::from_secs(15);

/// The names of the sources that outrank, where any do.
fn outranking(client: &Daemon) -> Option<Vec<String>> {
    block_on(client.corrector().forget()).authority.map(|authority| authority.sources)
}

fn keyed() -> Option<Vec<String>> {
    Some(vec!["127.0.0.1".to_owned()])
}

fn each_mode() -> Outcome {
    let server = Daemon::server()?;
    for (mode, outranks) in MODES {
        let lines = [mode, &format!("server {{server}} {POLL} key 1"), &format!("server 127.0.0.2 port 9 {POLL}")];
        let client = Daemon::client(&server, &lines)?;
        client.synchronised()?;
        let corrector = client.corrector();
        let authority = block_on(corrector.forget()).authority;
        assert_eq!(authority.as_ref().map(|a| a.sources.clone()), keyed().filter(|_| outranks), "{mode}");
        assert!(authority.is_none_or(|a| a.silent_for.is_none() && a.remembered.is_none()), "{mode}");
        // What it says then is as good as its sources.
        let reading = block_on(measured(&corrector, PATIENCE))?;
        assert_eq!(reading.authenticated, outranks, "{mode}");
    }
    Ok(())
}

fn each_mode_blocked() -> Outcome {
    let server = Daemon::server()?;
    for (mode, outranks) in MODES {
        let lines = [mode, &format!("server 127.0.0.2 port 9 {POLL} key 1"), &format!("server {{server}} {POLL}")];
        let client = Daemon::client(&server, &lines)?;
        let heard = || client.ask().sources().is_ok_and(|sources| sources.iter().any(|s| s.reach != 0));
        crate::support::until("the plain server is heard", PATIENCE, heard)?;
        let blocked = Some(vec!["127.0.0.2".to_owned()]).filter(|_| outranks);
        assert_eq!(outranking(&client), blocked, "{mode}");
        assert_eq!(outranking(&client), blocked, "{mode}: after a reset as before it");
    }
    Ok(())
}

fn unresolved_nts() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server time.invalid iburst nts", &format!("server {{server}} {POLL}")])?;
    assert_eq!(outranking(&client), Some(vec!["time.invalid".to_owned()]));
    Ok(())
}

fn one_kind() -> Outcome {
    let server = Daemon::server()?;
    let plain = format!("server {{server}} {POLL}");
    assert_eq!(outranking(&Daemon::client(&server, &[&plain])?), None);
    assert_eq!(outranking(&Daemon::client(&server, &[&format!("{plain} key 1")])?), keyed());
    let none = Daemon::client(&server, &[])?;
    assert_eq!(outranking(&none), None, "no source at all");
    assert_eq!(block_on(none.corrector().hand_over()), Ok(()));
    // chronyd selects none of them, and neither do we.
    assert_eq!(outranking(&Daemon::client(&server, &["authselectmode require", &plain])?), Some(vec![]));
    // One that is watched and never selected has no rank.
    assert_eq!(outranking(&Daemon::client(&server, &[&format!("{plain} key 1 noselect")])?), None);
    Ok(())
}
