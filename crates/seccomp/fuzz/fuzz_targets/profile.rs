#![no_main]
#![allow(dead_code, reason = "the crate's other targets")]

#[path = "../../tests/fuzzing/mod.rs"]
mod fuzzing;
#[path = "../../tests/interpreter/mod.rs"]
mod interpreter;
#[path = "../../tests/plain/mod.rs"]
mod plain;
#[path = "../../tests/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::profile(bytes);
});
