//! The kernel made safe: the only `unsafe` blocks of the crate are here.
#![expect(unsafe_code, reason = "poll(2)")]

pub mod clock;
pub mod futex;
pub mod mapping;
pub mod time_namespace;

/// Sleeps for so long of time awake, or until a signal was handled.
pub fn nap(length: std::time::Duration) {
    let at_least_one = length.as_millis() + u128::from(!length.is_zero());
    let millis = libc::c_int::try_from(at_least_one).unwrap_or(libc::c_int::MAX);
    // SAFETY: poll(2) with nothing to poll touches no memory. An interruption is an early end, which every caller allows for.
    unsafe { libc::poll(std::ptr::null_mut(), 0, millis) };
}
