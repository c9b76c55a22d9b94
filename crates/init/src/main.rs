//! The program `crabcan-init`: the first process of every container. See the library's page.
#![no_std]
#![no_main]
#![allow(dead_code, reason = "the library uses what the program does not")]

mod errno;
mod format;
mod message;
mod reaper;
mod step;
mod steps;
mod sys;
mod walk;

/// No code path panics on purpose; if one does, the parent sees the channel close.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(255)
}
