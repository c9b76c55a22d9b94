#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    crabcan_runtime::targets::criu(bytes);
});
