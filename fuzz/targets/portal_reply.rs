#![no_main]
use clockgate_fuzz::checks::portal_reply::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
