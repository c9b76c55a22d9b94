//! `hooks`: what is refused of them before any of them is run, and the steps of init's own.

use std::collections::BTreeMap;
use std::path::Path;

use crabcan_init::Step;
use crabcan_init::format::Strings;
use crabcan_init::step::HOOK_PID;
use serde_json::json;

use super::{Composer, check_absolute, strings};
use crate::Error;
use crate::hooks::OUTPUTS;
use crate::plan::{Provision, c_string};
use crate::spec::{Hook, Spec};

/// The hooks that are run beside the program: they have its environment, unless they have their own.
pub(super) const START_CONTAINER: &str = "startContainer";

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
    outputs(&spec.annotations).map(drop)
}

/// The files to which crun adds what hooks write to standard output and to standard error.
pub(crate) fn outputs(annotations: &BTreeMap<String, String>) -> Result<[Option<&Path>; 2], Error> {
    let file = |name: &str| -> Result<_, Error> {
        let path = annotations.get(name).map(Path::new);
        if let Some(path) = path {
            let field = format!("annotations[\"{name}\"]");
            check_absolute(&field, path)?;
            c_string(&field, path)?;
        }
        Ok(path)
    };
    Ok([file(OUTPUTS[0])?, file(OUTPUTS[1])?])
}

impl Composer<'_> {
    /// The parent's hooks when all is mounted, then those of the host's programs that init runs.
    pub(super) fn hooks_before_pivot(&mut self) -> Result<(), Error> {
        let hooks = &self.spec.hooks;
        if !hooks.create_container.is_empty() || !hooks.start_container.is_empty() {
            let outputs = OUTPUTS.into_iter().zip(outputs(&self.spec.annotations)?);
            for (number, (annotation, path)) in (1..).zip(outputs) {
                if let Some(path) = path.map(Path::to_owned) {
                    self.provisions
                        .push(Provision::HookOutput { annotation, path });
                    self.push(&Step::HookOutput { number })?;
                }
            }
        }
        let waits = !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty();
        // Network devices are given to the container at the same time, before the hooks.
        if waits || !self.net_devices.is_empty() {
            self.push(&Step::RuntimeHooks {})?;
        }
        self.hooks("createContainer", &hooks.create_container, "creating")
    }

    /// Hooks that init runs, with the container's state as their input.
    pub(super) fn hooks(&mut self, kind: &str, hooks: &[Hook], status: &str) -> Result<(), Error> {
        if hooks.is_empty() {
            return Ok(());
        }
        let state = c_string("annotations", self.state(status))?;
        for (index, hook) in hooks.iter().enumerate() {
            let field = |name: &str| format!("hooks.{kind}[{index}].{name}");
            self.about(format!("hooks.{kind}[{index}]"));
            let path = c_string(&field("path"), &hook.path)?;
            let mut args = strings(&field("args"), &hook.args)?;
            if args.is_empty() {
                args = path.as_bytes_with_nul().to_vec();
            }
            // As runc does: what it is for is done for the program.
            let env = match kind == START_CONTAINER && hook.env.is_empty() {
                true => self.environment()?,
                false => strings(&field("env"), &hook.env)?,
            };
            let seconds = hook.timeout.unwrap_or(0);
            let milliseconds = seconds
                .checked_mul(1000)
                .and_then(|time| u32::try_from(time).ok());
            let list = |bytes| Strings::new(bytes).ok_or(Error::PlanTooLong);
            self.push(&Step::Hook {
                path: &path,
                args: list(&args)?,
                env: list(&env)?,
                // More than seven weeks: without a limit then.
                timeout_ms: milliseconds.unwrap_or(0),
                state: &state,
            })?;
        }
        Ok(())
    }

    /// The state that a hook reads, but for the pid, which init puts in.
    fn state(&self, status: &str) -> String {
        let extension = &self.spec.extension;
        let annotations: serde_json::Map<String, serde_json::Value> = self
            .spec
            .annotations
            .into_iter()
            .map(|(key, value)| (key.clone(), value.clone().into()))
            .collect();
        let bundle = extension.bundle.as_deref().unwrap_or("/".as_ref());
        let head = json!({
            "ociVersion": self.spec.oci_version,
            "id": extension.id,
            "status": status,
            "bundle": bundle.to_string_lossy(),
            "annotations": annotations,
        })
        .to_string();
        // Last, and outside of any string that the configuration has a say in.
        let mut text = head;
        text.pop();
        text.push_str(",\"pid\":");
        text.push(HOOK_PID.into());
        text.push('}');
        text
    }
}
