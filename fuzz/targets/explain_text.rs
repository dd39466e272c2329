#![no_main]
use clockgate_fuzz::checks::explain_text::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
