#![no_main]
use clockgate_fuzz::checks::vsock_lines::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
