//! The command `crabcan`.
fn main() {}
