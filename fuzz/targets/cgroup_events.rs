#![no_main]
use clockgate_fuzz::checks::cgroup_events::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
