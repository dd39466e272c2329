#![no_main]
use clockgate_fuzz::checks::nts_fields::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
