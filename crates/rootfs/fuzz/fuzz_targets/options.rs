#![no_main]
#![allow(dead_code, reason = "the crate's other targets")]

#[path = "../../tests/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::options(bytes);
});
