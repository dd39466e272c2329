//! The guests that are notified: by their CID, by their hypervisor's socket, of a list, or of libvirt.

use std::fmt;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::CliError;
use crate::decision::Boottime;
use crate::exit::Exit;
use crate::sys::foreign::shown;
use crate::sys::timed_output::output_by;

/// The CIDs of guests: 0 is the hypervisor, 2 is the host, and 1 is this machine itself; the last one is `VMADDR_CID_ANY` (`vsock(7)`).
pub const CIDS: Range<u32> = 1..u32::MAX;
/// A list, or what virsh prints, is no longer than this, in bytes.
const LIST_MOST: u64 = 1 << 24;

/// A guest, by how its vsock is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmGuest {
    /// Through the kernel.
    Cid(u32),
    /// Through the Unix socket of Firecracker or Cloud Hypervisor.
    Socket(PathBuf),
}

impl fmt::Display for VmGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cid(cid) => write!(f, "guest {cid}"),
            Self::Socket(path) => write!(f, "the guest behind {}", shown(&path.display().to_string())),
        }
    }
}

impl VmGuest {
    /// A line of a list: a CID, or the absolute path of a socket.
    fn of_line(line: &str) -> Option<Self> {
        if line.starts_with('/') {
            return Some(Self::Socket(line.into()));
        }
        line.parse().ok().filter(|cid| CIDS.contains(cid)).map(Self::Cid)
    }
}

/// The guests of a list, a line each; a `#` at the beginning of a line or behind a blank begins a comment.
///
/// # Errors
/// [`CliError`] with 2, for a file that cannot be read or is too long, or a line that names no guest.
pub fn listed(path: &Path) -> Result<Vec<VmGuest>, CliError> {
    let cannot =
        |error: std::io::Error| CliError::caused(Exit::Usage, format!("cannot read {}", path.display()), error);
    let mut text = String::new();
    let file: Box<dyn std::io::Read> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).map_err(cannot)?)
    };
    file.take(LIST_MOST + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > LIST_MOST {
        // Its last line would be the beginning of another guest's.
        return Err(CliError::new(Exit::Usage, format!("{} is longer than {LIST_MOST} bytes", path.display())));
    }
    let mut guests = vec![];
    for (number, line) in text.lines().enumerate() {
        let comment =
            line.match_indices('#').map(|(at, _)| at).find(|at| line[..*at].trim_end().len() < *at || *at == 0);
        let named = line[..comment.unwrap_or(line.len())].trim();
        if named.is_empty() {
            continue;
        }
        let guest = VmGuest::of_line(named).ok_or_else(|| {
            let at = format!("{}:{}", path.display(), number + 1);
            CliError::new(
                Exit::Usage,
                format!("{at}: `{}` is neither a CID nor the absolute path of a socket", shown(named)),
            )
        })?;
        guests.push(guest);
    }
    Ok(guests)
}

/// The guests of libvirt that run and have a vsock, and the names of those that run and have none.
///
/// # Errors
/// [`CliError`] with 69, where virsh does not answer by then.
pub fn of_libvirt(until: Boottime) -> Result<(Vec<VmGuest>, Vec<String>), CliError> {
    let (mut guests, mut without) = (vec![], vec![]);
    for name in running(until)? {
        let xml = match virsh(&["dumpxml", "--domain", &name], until) {
            Ok(xml) => xml,
            // It has ended since it was listed, and is no guest any more.
            Err(_) if !running(until)?.contains(&name) => continue,
            Err(error) => return Err(error),
        };
        match cid_of(&xml) {
            Some(cid) => guests.push(VmGuest::Cid(cid)),
            None => without.push(shown(&name)),
        }
    }
    Ok((guests, without))
}

fn running(until: Boottime) -> Result<Vec<String>, CliError> {
    let listed = virsh(&["list", "--name"], until)?;
    Ok(listed.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

fn virsh(arguments: &[&str], until: Boottime) -> Result<String, CliError> {
    let called = shown(&format!("virsh --readonly {}", arguments.join(" ")));
    let mut command = Command::new("virsh");
    command.arg("--readonly").args(arguments).stderr(Stdio::piped());
    let output = output_by(&mut command, LIST_MOST, until)
        .map_err(|error| CliError::caused(Exit::NoAgent, format!("cannot ask libvirt by `{called}`"), error))?;
    if output.is_success {
        return Ok(output.stdout);
    }
    Err(CliError::new(Exit::NoAgent, format!("libvirt does not answer `{called}`: {}", shown(output.stderr.trim()))))
}

/// `<cid auto='yes' address='7'/>` (libvirt, Domain XML format, vsock).
fn cid_of(xml: &str) -> Option<u32> {
    let vsock = xml.split("<vsock").nth(1)?.split("</vsock>").next()?;
    let cid = vsock.split("<cid").nth(1)?.split('>').next()?;
    let address = cid.split("address=").nth(1)?;
    let quote = address.chars().next().filter(|c| "'\"".contains(*c))?;
    address[1..].split(quote).next()?.parse().ok().filter(|cid| CIDS.contains(cid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_cid_or_an_absolute_path() {
        assert_eq!(VmGuest::of_line("7"), Some(VmGuest::Cid(7)));
        assert_eq!(VmGuest::of_line("/run/v.sock"), Some(VmGuest::Socket("/run/v.sock".into())));
        for line in ["0", "-1", "v.sock", "4294967295", "4294967296", "7 8"] {
            assert_eq!(VmGuest::of_line(line), None, "{line}");
        }
    }

    #[test]
    fn the_cid_is_that_of_the_vsock() {
        let with = |vsock: &str| cid_of(&format!("<domain><a address='1'/>{vsock}<b address='2'/></domain>"));
        assert_eq!(with("<vsock model='virtio'>\n<cid auto='yes' address='7'/></vsock>"), Some(7));
        assert_eq!(with("<vsock><cid address=\"12\" auto='no'/><address type='pci'/></vsock>"), Some(12));
        for none in ["", "<vsock model='virtio'/>", "<vsock><cid auto='yes'/><address address='3'/></vsock>"] {
            assert_eq!(with(none), None, "{none}");
        }
    }
}
