//! The file of keys, as chrony.keys(5) and ntp.keys(5) have it: `ID TYPE KEY` a line. Who can read it can forge time, so it
//! is used only if its owner and its group alone can.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::{Algorithm, SymmetricKey};

/// The most bytes read: ten thousand keys are less.
const MOST_BYTES: u64 = 1024 * 1024;
/// ntp.keys(5): a longer key is written in hexadecimal.
const LONGEST_TEXT: usize = 20;
/// A shorter one is guessed.
const SHORTEST_SECRET: usize = 8;
/// The length of an AES key, bytes.
const AES_LEN: usize = 16;

/// Why the keys of a file are not used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not there, or closed to us.
    #[error("cannot read the keys in {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Others can read or change it.
    #[error("the keys in {} are no secret: its mode is {mode:04o}; `chmod g-w,o= {0}` closes it", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is another user's.
    #[error("{} belongs to user {owner}, and has to belong to root or to the user that reads it", file.display())]
    Owner {
        /// The file.
        file: PathBuf,
        /// Its owner's number.
        owner: u32,
    },
    /// A line of it is none.
    #[error("{}:{}: {}", file.display(), fault.line, fault.what)]
    Fault {
        /// The file.
        file: PathBuf,
        /// The first one.
        fault: KeyFileFault,
    },
}

/// A line that is no key. It never repeats the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileFault {
    /// From 1.
    pub line: usize,
    /// What is wrong with it, and what to write.
    pub what: String,
}

/// Reads a file of keys, and who can read it besides us.
///
/// # Errors
/// [`KeyFileError`].
pub fn read(file: &Path) -> Result<Vec<SymmetricKey>, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { file: file.to_owned(), source };
    let opened = File::open(file).map_err(unreadable)?;
    let known = opened.metadata().map_err(unreadable)?;
    if !known.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")));
    }
    let mode = known.permissions().mode() & 0o7777;
    if mode & 0o007 != 0 || mode & 0o020 != 0 {
        return Err(KeyFileError::Open { file: file.to_owned(), mode });
    }
    let ourselves = nix::unistd::geteuid().as_raw();
    if known.uid() != 0 && known.uid() != ourselves {
        return Err(KeyFileError::Owner { file: file.to_owned(), owner: known.uid() });
    }
    let mut text = String::new();
    opened.take(MOST_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text).map_err(|fault| KeyFileError::Fault { file: file.to_owned(), fault })
}

/// Reads the lines of such a file.
///
/// # Errors
/// [`KeyFileFault`] for the first line that is no key.
pub fn parse(text: &str) -> Result<Vec<SymmetricKey>, KeyFileFault> {
    let mut keys: Vec<SymmetricKey> = vec![];
    for (line, text) in (1..).zip(text.lines()) {
        let fault = |what| KeyFileFault { line, what };
        let bare = text.split('#').next().unwrap_or_default().trim();
        // chrony.conf(5): the other beginnings of a comment.
        if bare.is_empty() || bare.starts_with(['!', ';', '%']) {
            continue;
        }
        let key = key(bare).map_err(fault)?;
        if keys.iter().any(|known| known.id == key.id) {
            return Err(fault(format!("key {} was defined in a line before", key.id)));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn key(line: &str) -> Result<SymmetricKey, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (id, kind, secret) = match words.as_slice() {
        // ntp.keys(5): addresses for which the key holds may follow.
        [id, kind, secret, ..] => (*id, *kind, *secret),
        [_, _] => {
            return Err(
                "the type of the key is missing, which means MD5, and that is broken: write ID AES128 KEY".to_owned()
            );
        }
        _ => return Err("expected ID TYPE KEY, as in `1 AES128 HEX:0123...`".to_owned()),
    };
    let number = id.parse().ok().filter(|number| *number > 0 && id.bytes().all(|b| b.is_ascii_digit()));
    // The word is not repeated: where the number was left out it may be the key.
    let id: u32 =
        number.ok_or_else(|| format!("the number of a key is from 1 to {}, and the first word is none", u32::MAX))?;
    let algorithm = algorithm(kind)?;
    let secret = secret_of(secret)?;
    if algorithm == Algorithm::Aes128 && secret.len() != AES_LEN {
        let length = secret.len();
        return Err(format!(
            "a key of AES128 has {AES_LEN} bytes, and this one has {length}: write it as HEX: and 32 digits"
        ));
    }
    if secret.len() < SHORTEST_SECRET {
        return Err(format!("a key of {} bytes can be guessed: {SHORTEST_SECRET} are the least", secret.len()));
    }
    Ok(SymmetricKey { id, algorithm, secret })
}

/// As chronyd, ntpsec and ntpd name them, which take them in either case.
fn algorithm(kind: &str) -> Result<Algorithm, String> {
    match kind.to_ascii_uppercase().as_str() {
        "AES128" | "AES-128" | "AES128CMAC" | "AES-128-CMAC" | "AES" => Ok(Algorithm::Aes128),
        "SHA1" | "SHA-1" => Ok(Algorithm::Sha1),
        "SHA256" | "SHA-256" | "SHA2-256" => Ok(Algorithm::Sha256),
        "M" | "MD5" => {
            Err("MD5 is broken, and is not taken: use AES128, SHA256 or SHA1 here and at the server".to_owned())
        }
        // It may be the key, where its type was left out.
        _ => Err("the second word is no type that is known: AES128, SHA256 and SHA1 are".to_owned()),
    }
}

/// `HEX:` and `ASCII:` as chronyd has them; without either as ntpd has it: up to 20 characters are the key, more are hexadecimal.
fn secret_of(text: &str) -> Result<Vec<u8>, String> {
    let hexadecimal = |digits: &str| {
        hex(digits).ok_or_else(|| {
            "the key is not hexadecimal: expected an even number of digits, 0 to 9 and A to F".to_owned()
        })
    };
    match text.split_once(':') {
        Some(("HEX", digits)) => hexadecimal(digits),
        Some(("ASCII", characters)) => Ok(characters.as_bytes().to_vec()),
        _ if text.len() <= LONGEST_TEXT => Ok(text.as_bytes().to_vec()),
        _ => hex(text).ok_or_else(|| {
            format!("a key of more than {LONGEST_TEXT} characters is hexadecimal, and this one is not: write ASCII: before it")
        }),
    }
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let values: Option<Vec<u8>> =
        digits.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let values = values.filter(|values| !values.is_empty() && values.len().is_multiple_of(2))?;
    Some(values.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs::{self, Permissions};

    #[test]
    fn keys_of_chronyd_and_of_ntpd_are_read() {
        let text = "# keys\n\n1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n2 SHA1 ASCII:a secret\n\
                    3 sha256 HEX:0011223344556677\n! ntp.keys\n65534 SHA1 0123456789012345678901234567890123456789 # 40\n\
                    4 SHA256 plainsecret 192.0.2.0/24\n";
        let keys = parse(&text.replace("a secret", "secretsecret")).unwrap();
        let described: Vec<(u32, Algorithm, usize)> =
            keys.iter().map(|key| (key.id, key.algorithm, key.secret.len())).collect();
        assert_eq!(
            described,
            [
                (1, Algorithm::Aes128, 16),
                (2, Algorithm::Sha1, 12),
                (3, Algorithm::Sha256, 8),
                (65534, Algorithm::Sha1, 20),
                (4, Algorithm::Sha256, 11),
            ]
        );
        assert_eq!(keys[0].secret, (0..16).collect::<Vec<u8>>());
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn a_line_that_is_no_key_says_what_to_write_and_never_the_secret() {
        for (line, words) in [
            ("1", "expected ID TYPE KEY"),
            ("1 topsecret", "means MD5, and that is broken"),
            ("1 MD5 topsecret", "MD5 is broken"),
            ("0 SHA1 topsecret", "from 1 to"),
            ("+1 SHA1 topsecret", "from 1 to"),
            ("x SHA1 topsecret", "the first word is none"),
            ("topsecret # of the server", "expected ID TYPE KEY"),
            ("topsecret of server", "the first word is none"),
            ("1 AES256 topsecret", "no type that is known"),
            ("1 AES128 topsecret", "16 bytes, and this one has 9"),
            ("1 SHA1 topsec", "can be guessed"),
            ("1 SHA1 HEX:topsecret", "not hexadecimal"),
            ("1 SHA1 HEX:012345678901234", "even number"),
            ("1 SHA1 topsecrettopsecrettopsecret", "write ASCII:"),
            ("1 SHA1 goodsecret\n1 SHA1 topsecret", "in a line before"),
        ] {
            let fault = parse(line).unwrap_err();
            assert!(fault.what.contains(words) && !fault.what.contains("topsec"), "{line}: {fault:?}");
            assert_eq!(fault.line, line.lines().count());
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_its_group_can_write_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys");
        fs::write(&file, "1 SHA1 goodsecret\n").unwrap();
        for (mode, is_good) in [(0o600, true), (0o640, true), (0o644, false), (0o660, false), (0o602, false)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let said = read(&file).map_err(|error| error.to_string());
            assert_eq!(said.is_ok(), is_good, "{mode:o}: {said:?}");
            assert!(
                said.err().is_none_or(|said| said.contains(&format!("{mode:04o}")) && said.contains("chmod g-w,o="))
            );
        }
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, "\n1 SHA1\n").unwrap();
        let said = read(&file).unwrap_err().to_string();
        assert!(said.contains("keys:2: "), "{said}");
        assert!(read(folder.path()).is_err() && read(&folder.path().join("none")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(([0-9]{1,5}|\\PC{0,3}) (SHA1|AES128|sha256|\\PC{0,4}) (HEX:|ASCII:)?[0-9a-f]{0,40}\\PC{0,3}\n){0,5}") {
            if let Ok(keys) = parse(&text) {
                prop_assert!(keys.iter().all(|key| key.secret.len() >= SHORTEST_SECRET && key.id > 0));
            }
        }
    }
}
