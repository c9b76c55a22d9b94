//! The example of the life cycle, executed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alone;
#[path = "../examples/lifecycle.rs"]
mod lifecycle;

use alone::{alone, children, descriptors};

#[test]
fn a_program_creates_starts_enters_and_deletes_a_container() {
    alone(
        "a_program_creates_starts_enters_and_deletes_a_container",
        || {
            let before = descriptors();
            lifecycle::main().unwrap();
            assert_eq!(descriptors(), before);
            assert_eq!(children(), [0; 0]);
            let own = format!("crabcan-lifecycle-{}", std::process::id());
            assert!(!std::env::temp_dir().join(own).exists());
        },
    );
}
