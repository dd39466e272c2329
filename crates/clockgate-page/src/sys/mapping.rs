//! A small file shared by mmap(2), seen as atomic words: one program writes it, every program may read it.
#![expect(unsafe_code, reason = "mmap(2) and the words in it")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::protocol::{LOAD, STORE, Words, WritableWords};

/// The length of a mapping: one page of memory on every machine we run on, or the beginning of a larger one.
pub const LEN: usize = 4096;

/// A mapping for reading. Storing through it would fault, so it offers no words to store to.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<libc::c_void>,
}

/// A mapping for reading and writing.
#[derive(Debug)]
pub struct WritableMapping(Mapping);

// SAFETY: the mapping belongs to no thread, and every access goes through an atomic.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first [`LEN`] bytes of `file` read-only.
    ///
    /// # Errors
    /// What fstat(2) or mmap(2) said; [`io::ErrorKind::UnexpectedEof`] for a file that is shorter, since touching what lies
    /// behind its end would raise SIGBUS.
    pub fn new(file: &File) -> io::Result<Self> {
        map(file, libc::PROT_READ)
    }

    /// The 32-bit word at `at`, read in one piece; later reads stay later (acquire).
    #[must_use]
    pub fn load_u32(&self, at: usize) -> u32 {
        self.word_u32(at).load(LOAD)
    }

    /// The 64-bit word at `at`, read in one piece; later reads stay later (acquire).
    #[must_use]
    pub fn load_u64(&self, at: usize) -> u64 {
        self.word_u64(at).load(LOAD)
    }

    pub(super) fn word_u32(&self, at: usize) -> &AtomicU32 {
        assert!(at.is_multiple_of(4) && at + 4 <= LEN, "no 32-bit word of the page begins at {at}");
        // SAFETY: inside the mapping, aligned, and mapped for as long as `self` lives; all access is atomic.
        unsafe { self.start.cast::<AtomicU32>().byte_add(at).as_ref() }
    }

    fn word_u64(&self, at: usize) -> &AtomicU64 {
        assert!(at.is_multiple_of(8) && at + 8 <= LEN, "no 64-bit word of the page begins at {at}");
        // SAFETY: inside the mapping, aligned, and mapped for as long as `self` lives; all access is atomic.
        unsafe { self.start.cast::<AtomicU64>().byte_add(at).as_ref() }
    }
}

impl WritableMapping {
    /// Maps the first [`LEN`] bytes of `file` for reading and writing.
    ///
    /// # Errors
    /// As [`Mapping::new`].
    pub fn new(file: &File) -> io::Result<Self> {
        map(file, libc::PROT_READ | libc::PROT_WRITE).map(Self)
    }

    /// The mapping as readers see it.
    #[must_use]
    pub const fn reader(&self) -> &Mapping {
        &self.0
    }

    /// Stores a 32-bit word in one piece; earlier stores stay earlier (release).
    pub fn store_u32(&self, at: usize, value: u32) {
        self.0.word_u32(at).store(value, STORE);
    }

    /// Stores a 64-bit word in one piece; earlier stores stay earlier (release).
    pub fn store_u64(&self, at: usize, value: u64) {
        self.0.word_u64(at).store(value, STORE);
    }
}

impl Words for Mapping {
    fn load_u32(&self, at: usize) -> u32 {
        Self::load_u32(self, at)
    }
}

impl Words for WritableMapping {
    fn load_u32(&self, at: usize) -> u32 {
        self.0.load_u32(at)
    }
}

impl WritableWords for WritableMapping {
    fn store_u32(&self, at: usize, value: u32) {
        Self::store_u32(self, at, value);
    }

    fn wake_all(&self, at: usize) -> u64 {
        // Cannot fail for a mapped word; and no reader sleeps for longer than its own interval between two looks.
        super::futex::wake_all(self, at).unwrap_or_default()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: no reference into the mapping outlives `self`. munmap fails only for an address that is not ours.
        unsafe { libc::munmap(self.start.as_ptr(), LEN) };
    }
}

fn map(file: &File, protection: libc::c_int) -> io::Result<Mapping> {
    if file.metadata()?.len() < LEN as u64 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    // SAFETY: a new mapping at an address of the kernel's choice overlaps no memory that Rust owns.
    let start = unsafe { libc::mmap(ptr::null_mut(), LEN, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // Linux maps nothing at address zero unless MAP_FIXED asks for it.
    NonNull::new(start).map(|start| Mapping { start }).ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_stores_another_loads() -> io::Result<()> {
        let file = tempfile::tempfile()?;
        file.set_len(LEN as u64)?;
        let (writer, reader) = (WritableMapping::new(&file)?, Mapping::new(&file)?);
        writer.store_u64(LEN - 8, 7);
        writer.store_u32(0, 9);
        assert_eq!((reader.load_u64(LEN - 8), reader.load_u32(0)), (7, 9));
        Ok(())
    }

    #[test]
    fn a_file_cut_short_is_not_mapped() -> io::Result<()> {
        let file = tempfile::tempfile()?;
        file.set_len(LEN as u64 - 1)?;
        assert_eq!(Mapping::new(&file).map_err(|e| e.kind()).err(), Some(io::ErrorKind::UnexpectedEof));
        Ok(())
    }
}
