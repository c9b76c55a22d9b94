//! The program `crabcan`: see the library's page.

use std::process::ExitCode;

#[global_allocator]
static MEMORY: crabcan_cli::Memory = crabcan_cli::Memory;

fn main() -> ExitCode {
    crabcan_cli::main()
}
