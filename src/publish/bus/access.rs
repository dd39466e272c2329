//! Permissions: every user may read; methods are for root, the group, and callers that polkit authorises.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;
use tracing::debug;
use zbus::message::{Flags, Header};
use zbus::names::UniqueName;
use zbus::{Connection, Variant, fdo};

use super::connection_limits::{Answering, ConnectionActivity};
use super::error::MethodError;
use crate::disruption::notice_rate::{Rate, Teller};
use crate::sys::unix_peer::Peer;

/// polkit's names of what the methods do (usr/share/polkit-1/actions/org.clockgate.policy).
pub(super) const SYNC_ACTION: &str = "org.clockgate.sync";
pub(super) const NOTIFY_ACTION: &str = "org.clockgate.notify";

/// The group whose members may call.
pub(in crate::publish) const GROUP: &str = "clockgate";
/// polkit may ask a person, who has to find the password.
const POLKIT_WITHIN: Duration = Duration::from_secs(120);
const POLKIT: &str = "org.freedesktop.PolicyKit1";
const POLKIT_PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const POLKIT_AUTHORITY: &str = "org.freedesktop.PolicyKit1.Authority";
/// `AllowUserInteraction` of org.freedesktop.PolicyKit1.CheckAuthorizationFlags.
const ASK_THE_USER: u32 = 1;

/// The door a caller comes through, which says how we know who it is; with the root of the host whose groups count.
#[derive(Debug)]
pub(super) enum Door {
    /// Our own socket: the kernel recorded the peer when it connected.
    Socket(Peer, ConnectionActivity, PathBuf),
    /// The system bus: it authenticates each sender. How often each of those who need polkit's leave has asked for it is counted.
    SystemBus(PathBuf, Rate),
}

/// A caller that was let in, as long as it is being answered.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) uid: u32,
    _answering: Option<Answering>,
}

impl Door {
    /// Lets the caller of a method in, or says why not.
    ///
    /// # Errors
    /// [`MethodError::NotPermitted`]; [`MethodError::TooOften`] where polkit would have to be asked again and again.
    pub(super) async fn admit(
        &self,
        action: &str,
        header: &Header<'_>,
        bus: &Connection,
    ) -> Result<Admitted, MethodError> {
        match self {
            Self::Socket(peer, _, root) if is_ours(peer, root) => Ok(self.admitted(peer.uid)),
            Self::Socket(peer, ..) => Err(refused(peer.uid)),
            Self::SystemBus(root, strangers) => {
                let (sender, peer) = sender(header, bus).await?;
                if !is_ours(&peer, root) {
                    takes_turn(strangers, peer.uid).await?;
                    by_polkit(peer.uid, action, sender, header, bus).await?;
                }
                Ok(self.admitted(peer.uid))
            }
        }
    }

    fn admitted(&self, uid: u32) -> Admitted {
        let answering = match self {
            Self::Socket(_, activity, _) => Some(activity.answering()),
            Self::SystemBus(..) => None,
        };
        Admitted { uid, _answering: answering }
    }

    /// Lets a caller in who says what time it is, or that the time is meant: one who could set the clock as well. To be in the
    /// group, or in polkit's favour, is not enough.
    ///
    /// # Errors
    /// [`MethodError::NotPermitted`].
    pub(super) async fn admit_root(&self, header: &Header<'_>, bus: &Connection) -> Result<Admitted, MethodError> {
        let uid = match self {
            Self::Socket(peer, ..) => peer.uid,
            Self::SystemBus(..) => sender(header, bus).await?.1.uid,
        };
        if is_root(uid) {
            return Ok(self.admitted(uid));
        }
        Err(MethodError::NotPermitted(format!("uid {uid} is not root, and only root may supply a time")))
    }
}

/// The caller, as the bus reports it.
async fn sender<'h>(header: &'h Header<'_>, bus: &Connection) -> Result<(&'h UniqueName<'h>, Peer), MethodError> {
    let sender = header.sender().ok_or_else(|| MethodError::NotPermitted("the call names no sender".to_owned()))?;
    let driver = fdo::DBusProxy::new(bus).await?;
    let credentials = driver.get_connection_credentials(sender.clone().into()).await.map_err(zbus::Error::from)?;
    let uid = credentials
        .unix_user_id()
        .ok_or_else(|| MethodError::NotPermitted("the bus does not know the caller".to_owned()))?;
    Ok((sender, Peer { uid, gids: credentials.into_unix_group_ids().unwrap_or_default() }))
}

/// A caller reaches polkit no more often than it may notify us.
async fn takes_turn(strangers: &Rate, uid: u32) -> Result<(), MethodError> {
    if strangers.turn(Teller::User(uid)).await {
        return Ok(());
    }
    Err(MethodError::TooOften(format!("uid {uid} has called too often in the last seconds; try again later")))
}

/// Whether polkit lets this user call.
async fn by_polkit(
    uid: u32,
    action: &str,
    sender: &UniqueName<'_>,
    header: &Header<'_>,
    bus: &Connection,
) -> Result<(), MethodError> {
    let subject = ("system-bus-name", HashMap::from([("name", Variant::from(sender.as_str()))]));
    let interactive = header.primary().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH);
    let flags = if interactive { ASK_THE_USER } else { 0 };
    let details = HashMap::<&str, &str>::new();
    let question = (&subject, action, details, flags, "");
    let asked = bus.call_method(Some(POLKIT), POLKIT_PATH, Some(POLKIT_AUTHORITY), "CheckAuthorization", &question);
    let answer = match timeout(POLKIT_WITHIN, asked).await {
        Ok(Ok(answer)) => answer,
        // Without polkit no other caller can be authorised.
        Ok(Err(error)) => {
            debug!(%error, "polkit does not answer");
            return Err(refused(uid));
        }
        Err(_) => return Err(refused(uid)),
    };
    let (is_authorized, _, _): (bool, bool, HashMap<String, String>) = answer.body().deserialize()?;
    if is_authorized { Ok(()) } else { Err(refused(uid)) }
}

/// Root, or the user that the agent itself runs as, who could do all this without asking.
fn is_root(uid: u32) -> bool {
    uid == 0 || uid == nix::unistd::geteuid().as_raw()
}

/// Those, or a member of the group.
fn is_ours(peer: &Peer, root: &Path) -> bool {
    is_root(peer.uid) || group_id(root, GROUP).is_some_and(|gid| peer.gids.contains(&gid))
}

fn refused(uid: u32) -> MethodError {
    MethodError::NotPermitted(format!(
        "uid {uid} is neither root nor in the group {GROUP}, and polkit does not authorise it"
    ))
}

/// A group's number from the host's group(5), without NSS, which a static binary cannot load.
pub(in crate::publish) fn group_id(root: &Path, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(root.join("etc/group")).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/group"), "root:x:0:\nclockgate2:x:7:\nclockgate:x:981:alice,bob\nbroken\n")
            .unwrap();
        assert_eq!(group_id(root, "clockgate"), Some(981));
        assert_eq!(group_id(root, "clock"), None);
        assert_eq!(group_id(root, "broken"), None);
        assert_eq!(group_id(&root.join("none"), "root"), None);
    }

    #[test]
    fn root_and_our_own_user_are_let_in_and_others_are_not() {
        let own = nix::unistd::geteuid().as_raw();
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/group"), "clockgate:x:981:\n").unwrap();
        let is_let_in = |uid, gids: &[u32]| is_ours(&Peer { uid, gids: gids.to_vec() }, root.path());
        assert!(is_let_in(0, &[]) && is_let_in(own, &[]) && is_let_in(own + 4242, &[981]));
        assert!(!is_let_in(own + 4242, &[0, 4242]));
    }
}
