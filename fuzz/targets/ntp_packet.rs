#![no_main]
use clockgate_fuzz::checks::ntp_packet::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
