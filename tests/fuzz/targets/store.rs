#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| segearth_fuzz::store(data));
