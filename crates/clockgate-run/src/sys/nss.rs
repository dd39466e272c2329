//! Names of hosts, users and groups in a static binary: by files and DNS alone.
#![cfg_attr(
    all(target_env = "gnu", target_feature = "crt-static"),
    expect(unsafe_code, reason = "__nss_configure_lookup(3) is in no crate")
)]

/// Keeps the C library from loading the name service modules that nsswitch.conf(5) names.
///
/// A static binary would load them from the host, together with the host's own C library; where that is of another version
/// than the one linked in, the first look-up kills the process (seen: glibc 2.36 inside, 2.41 outside, `hosts: files myhostname
/// dns`, SIGFPE). `files` and `dns` are built in since glibc 2.34. A dynamic binary keeps the host's order.
pub fn without_modules() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    for (database, order) in [(c"hosts", c"files dns"), (c"passwd", c"files"), (c"group", c"files")] {
        // SAFETY: both are strings that end in a zero byte and live for ever; the call takes the library's own lock.
        unsafe { __nss_configure_lookup(database.as_ptr(), order.as_ptr()) };
    }
}

#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
unsafe extern "C" {
    /// nss.h of glibc: overrides nsswitch.conf(5) for one database; nonzero on an order that it cannot parse.
    fn __nss_configure_lookup(database: *const libc::c_char, order: *const libc::c_char) -> libc::c_int;
}
