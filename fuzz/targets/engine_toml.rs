#![no_main]
use clockgate_fuzz::checks::engine_toml::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
