//! What failed, in one line, and what to do about it.

use std::io::Write;

/// Prints the chain of causes once.
pub(crate) fn report(error: &anyhow::Error) {
    let text: Vec<String> = error.chain().map(|cause| cause.to_string()).collect();
    let _ = writeln!(std::io::stderr(), "crabcan: {}", text.join(": "));
}
