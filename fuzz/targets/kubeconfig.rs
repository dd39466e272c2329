#![no_main]
use clockgate_fuzz::checks::kubeconfig::check;
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));
