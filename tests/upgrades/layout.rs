//! The previous release's layout of the page, as data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clockgate::page::{FILE, boot_id};
use clockgate::sys::clock::{boottime, standing};

use super::kept;
use super::support::gate_page::public;
use super::support::{Outcome, fail};

/// Where each field begins, and its type.
pub struct Layout(BTreeMap<String, (usize, String)>);

/// A page, read by the layout of another release than its writer's.
pub struct Read<'l> {
    pub layout: &'l Layout,
    pub bytes: Vec<u8>,
}

impl Layout {
    pub fn previous() -> Outcome<Self> {
        let text = fs::read_to_string(kept("layout.txt"))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let fields = lines.map(|line| {
            let mut words = line.split(' ');
            let (name, at) = (words.next().ok_or("no name")?, words.next().ok_or("no place")?);
            Ok((name.to_owned(), (at.parse()?, words.next().unwrap_or_default().to_owned())))
        });
        Ok(Self(fields.collect::<Outcome<_>>()?))
    }

    pub fn read(&self, bytes: Vec<u8>) -> Read<'_> {
        Read { layout: self, bytes }
    }

    fn place(&self, name: &str) -> Outcome<(usize, &str)> {
        let (at, kind) = self.0.get(name).ok_or(format!("the layout has no {name}"))?;
        Ok((*at, kind))
    }
}

impl Read<'_> {
    /// A number of the page, whatever its type.
    pub fn number(&self, name: &str) -> Outcome<i128> {
        let (at, kind) = self.layout.place(name)?;
        let bytes = |length: usize| self.bytes.get(at..at + length).ok_or(format!("the page ends before {name}"));
        Ok(match kind {
            "u32" => u32::from_ne_bytes(bytes(4)?.try_into()?).into(),
            "u64" => u64::from_ne_bytes(bytes(8)?.try_into()?).into(),
            "i64" => i64::from_ne_bytes(bytes(8)?.try_into()?).into(),
            "u128" => u128::from_be_bytes(bytes(16)?.try_into()?).cast_signed(),
            other => return fail(format!("{name} is no number: {other}")),
        })
    }

    /// Where the last field ends.
    pub fn end(&self) -> Outcome<usize> {
        Ok(self.layout.place("end")?.0)
    }

    pub fn text(&self, name: &str) -> Outcome<String> {
        let (at, kind) = self.layout.place(name)?;
        if kind != "text" {
            return fail(format!("{name} is no text"));
        }
        let bytes: Vec<u8> = self.bytes[at..].iter().copied().take_while(|byte| *byte != 0).collect();
        Ok(String::from_utf8(bytes)?)
    }

    /// Writes a number, whatever its type.
    pub fn put(&mut self, name: &str, value: i128) -> Outcome {
        let (at, kind) = self.layout.place(name)?;
        let bytes = match kind {
            "u32" => u32::try_from(value)?.to_ne_bytes().to_vec(),
            "u64" => u64::try_from(value)?.to_ne_bytes().to_vec(),
            "i64" => i64::try_from(value)?.to_ne_bytes().to_vec(),
            "u128" => value.cast_unsigned().to_be_bytes().to_vec(),
            other => return fail(format!("{name} is no number: {other}")),
        };
        self.bytes[at..at + bytes.len()].copy_from_slice(&bytes);
        Ok(())
    }

    /// The same page as if its agent had written it in this boot, when the proof was made a second ago.
    pub fn of_this_boot(&mut self) -> Outcome {
        let now = i128::from(boottime().as_nanos()) - 1_000_000_000;
        let by = now - self.number("as_of")?;
        for name in ["as_of", "valid_until", "since", "alive_until"] {
            self.put(name, self.number(name)? + by)?;
        }
        let standing = standing();
        self.put("real_minus_boot", standing.real_minus_boot.as_nanos().into())?;
        self.put("boot_minus_mono", i128::try_from(standing.boot_minus_mono.as_nanos())?)?;
        self.put("mono_minus_raw", standing.mono_minus_raw.as_nanos().into())?;
        self.put("boot_id", u128::from_be_bytes(boot_id().ok_or("no boot id")?).cast_signed())
    }

    /// Lays the page where a host that is the folder has it.
    pub fn lay(&self, folder: &Path) -> Outcome {
        fs::create_dir_all(public(folder))?;
        let mut whole = self.bytes.clone();
        whole.resize(4096, 0);
        Ok(fs::write(public(folder).join(FILE), whole)?)
    }
}

/// The page that was kept.
pub fn page(layout: &Layout) -> Outcome<Read<'_>> {
    let text = fs::read_to_string(kept("page.hex"))?;
    let digits: String = text.split_whitespace().collect();
    let bytes = digits.as_bytes().chunks(2).map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?));
    Ok(layout.read(bytes.collect::<Outcome<_>>()?))
}

/// As [`page`] reads it.
pub fn as_hex(bytes: &[u8]) -> String {
    let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
    bytes.chunks(32).map(line).collect()
}
