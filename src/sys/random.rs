//! Randomness from the kernel, asked for anew each time: a generator of our own would go on with the same numbers in every
//! machine restored from one snapshot, while the kernel reseeds itself there.
#![expect(unsafe_code, reason = "getrandom(2) is in no safe crate that we use")]

use std::io;

/// Eight random bytes that cannot be guessed.
///
/// # Errors
/// What getrandom(2) said.
pub fn number() -> io::Result<u64> {
    bytes().map(u64::from_ne_bytes)
}

/// As many random bytes as fit.
///
/// # Errors
/// What getrandom(2) said.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    // GRND_INSECURE (Linux 5.6) never waits for the pool to fill early in the boot; older kernels do not know it.
    filled(libc::GRND_INSECURE).or_else(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => filled(0),
        _ => Err(error),
    })
}

fn filled<const N: usize>(flags: libc::c_uint) -> io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    // SAFETY: the pointer and the length are those of one array that lives across the call.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), flags) };
    match usize::try_from(got) {
        Ok(n) if n == bytes.len() => Ok(bytes),
        Ok(_) => Err(io::Error::other("getrandom(2) gave fewer bytes than asked for")),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers_differ() -> io::Result<()> {
        assert_ne!(number()?, number()?);
        Ok(())
    }
}
