#![no_main]
#![allow(dead_code, reason = "what other tests make")]

#[path = "../../tests/make/mod.rs"]
mod make;
#[path = "../../tests/targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    targets::layer(bytes);
});
