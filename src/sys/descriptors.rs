//! How many descriptors this process may have open.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Has at least so many, by the hard limit where the soft one is lower.
///
/// # Errors
/// [`io::ErrorKind::QuotaExceeded`] where the hard limit is lower too; else what getrlimit(2) or setrlimit(2) said.
pub fn at_least(wanted: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    if hard < wanted {
        let why = format!(
            "the limit of open descriptors is {hard}, and {wanted} are needed: raise LimitNOFILE= or `ulimit -n`"
        );
        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limit_allows_is_had_and_what_it_does_not_is_an_error_with_both_numbers() {
        at_least(1).unwrap();
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        if let Some(more) = hard.checked_add(1) {
            let error = at_least(more).unwrap_err().to_string();
            assert!(error.contains(&hard.to_string()) && error.contains(&more.to_string()), "{error}");
        }
    }
}
