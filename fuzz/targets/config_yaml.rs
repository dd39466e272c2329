#![no_main]
use clockgate_fuzz::checks::config_yaml::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
