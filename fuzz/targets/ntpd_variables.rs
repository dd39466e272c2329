#![no_main]
use clockgate_fuzz::checks::ntpd_variables::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
