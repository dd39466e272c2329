#![no_main]
use clockgate_fuzz::checks::ntpd_rs_report::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
