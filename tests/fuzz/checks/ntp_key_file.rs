//! `ntp.keys` and `chrony.keys`: each key that is taken signs, numbers are unique, and no fault repeats a secret.

use std::collections::BTreeSet;

use clockgate::reference::ntp::symmetric::parse;

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    match parse(text) {
        Ok(keys) => {
            let numbers: BTreeSet<u32> = keys.iter().map(|key| key.id()).collect();
            assert!(numbers.len() == keys.len() && !numbers.contains(&0));
            assert!(keys.len() <= text.lines().count());
            for key in keys.iter().take(4) {
                let signed = key.sign(&[0x24; 48]);
                assert!(signed.len() > 48 + 4, "a code without a length proves nothing");
                assert_eq!(key.verify(&signed), Ok(()));
            }
        }
        Err(fault) => {
            let line = text.lines().nth(fault.line - 1).expect("a fault has its line");
            // The key, or what is in its place where the type was left out.
            let secrets = line.split_whitespace().skip(1).filter(|word| word.len() > 12);
            secrets.for_each(|secret| assert!(!fault.what.contains(secret), "a secret is printed: {}", fault.what));
        }
    }
}
