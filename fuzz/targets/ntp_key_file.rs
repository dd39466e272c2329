#![no_main]
use clockgate_fuzz::checks::ntp_key_file::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
