#![no_main]
use clockgate_fuzz::checks::server_lines::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
