#![no_main]
use clockgate_fuzz::checks::bus_messages::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
