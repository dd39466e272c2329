#![no_main]
use clockgate_fuzz::checks::user_credentials::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
