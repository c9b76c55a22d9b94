//! The steps that init does after the word of `start`, in words: the program that gives that word
//! is another one than the one that holds the plan.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use crabcan_init::Step;
use crabcan_init::format::FlatPlan;
use crabcan_init::message::Message;
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::Error;

impl Plan {
    /// The steps behind the one that waits for `start`.
    pub(crate) fn late_steps(&self) -> LateSteps {
        let flat = self.writer.finish(None);
        let mut late = LateSteps {
            program: self.program.to_string_lossy().into_owned(),
            ..LateSteps::default()
        };
        let Ok(plan) = FlatPlan::parse(&flat) else {
            return late;
        };
        let behind = (0..)
            .zip(plan.steps())
            .skip_while(|(_, step)| step.name() != "AwaitStart");
        for (index, step) in behind.skip(1) {
            if let Step::Exec { candidates, .. } = &step {
                let paths = candidates.iter();
                late.candidates = paths
                    .map(|path| path.to_string_lossy().into_owned())
                    .collect();
            }
            late.hooks |= step.name() == "Hook";
            let property = self.properties.of_step(index).to_owned();
            late.steps.insert(index, (property, step.to_string()));
        }
        late
    }
}

/// What `start` may have to say of a step that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LateSteps {
    /// The steps by their index in the plan, each behind the property that it is for.
    steps: BTreeMap<u32, (String, String)>,
    /// The paths of the last one, in their order.
    candidates: Vec<String>,
    program: String,
    hooks: bool,
}

impl LateSteps {
    /// Whether a hook is among them: one may take as long as it likes.
    pub(crate) fn has_hooks(&self) -> bool {
        self.hooks
    }

    /// As [`Plan::failure`].
    pub(crate) fn failure(&self, index: u32, detail: u32, source: io::Error) -> Error {
        let last = self.steps.keys().next_back();
        match self.steps.get(&index) {
            None => Error::PlanRefused { source },
            Some(_) if last == Some(&index) => {
                let candidate = usize::try_from(detail & !Message::NO_INTERPRETER).unwrap_or(0);
                let found = self.candidates.get(candidate).filter(|_| detail != 0);
                Error::Execute {
                    program: OsString::from(found.unwrap_or(&self.program)),
                    interpreter: detail & Message::NO_INTERPRETER != 0,
                    source,
                }
            }
            Some((property, step)) => Error::Step {
                index,
                property: property.clone(),
                step: step.clone(),
                source: reason(detail, source),
            },
        }
    }
}

/// The kernel's answer, or how a hook ended: init says ECHILD then, and the wait status.
pub(super) fn reason(detail: u32, source: io::Error) -> io::Error {
    match source.raw_os_error() {
        Some(libc::ECHILD) if detail != 0 => {
            let status = ExitStatus::from_raw(detail.cast_signed());
            io::Error::other(format!("ended with {status}"))
        }
        _ => source,
    }
}
