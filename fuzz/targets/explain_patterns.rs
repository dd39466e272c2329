#![no_main]
use clockgate_fuzz::checks::explain_patterns::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
