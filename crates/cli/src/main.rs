//! The program `crabcan`: see the library's page.
#![no_main]

#[path = "main/sys.rs"]
mod sys;

#[global_allocator]
static MEMORY: crabcan_cli::Memory = crabcan_cli::Memory;
