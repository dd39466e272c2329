#![no_main]
use clockgate_fuzz::checks::journal_entry::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
