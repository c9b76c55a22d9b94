//! The program `crabcan`: see the library's page.
// A test program has libtest's.
#![cfg_attr(not(test), no_main)]

#[cfg(not(test))]
#[path = "main/sys.rs"]
mod sys;

#[global_allocator]
static MEMORY: crabcan_cli::Memory = crabcan_cli::Memory;
