//! `hooks`: what is refused of them before any of them is run.

use super::{check_absolute, strings};
use crate::Error;
use crate::spec::Spec;

/// Every hook has an absolute path, strings that can be handed to the kernel, and a time limit that
/// is one.
pub(super) fn check(spec: &Spec) -> Result<(), Error> {
    for (kind, hooks) in spec.hooks.kinds() {
        for (index, hook) in hooks.iter().enumerate() {
            let field = |name: &str| format!("hooks.{kind}[{index}].{name}");
            check_absolute(&field("path"), &hook.path)?;
            if let Some(timeout) = hook.timeout.filter(|timeout| *timeout <= 0) {
                let reason = format!("{timeout} is not more than 0");
                return Err(Error::invalid(field("timeout"), reason));
            }
            for (name, list) in [("args", &hook.args), ("env", &hook.env)] {
                strings(&field(name), list)?;
            }
        }
    }
    Ok(())
}
