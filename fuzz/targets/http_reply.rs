#![no_main]
use clockgate_fuzz::checks::http_reply::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
