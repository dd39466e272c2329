#![no_main]
use clockgate_fuzz::checks::openntpd_report::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
