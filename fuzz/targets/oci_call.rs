#![no_main]
use clockgate_fuzz::checks::oci_call::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
