#![no_main]
use clockgate_fuzz::checks::vmclock_page::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
