//! The end of a plan: the last preparations, the word to go on, and the program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crabcan_init::Step;
use crabcan_init::format::Strings;

use super::hooks::START_CONTAINER;
use super::{Composer, check_absolute, environment};
use crate::Error;
use crate::plan::c_string;
use crate::spec::Process;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The first descriptor that init is handed besides its channel and its plan.
pub(super) const FIRST_HANDED: u32 = 5;

impl Composer<'_> {
    /// The last preparations, the word of the parent, and the program.
    pub(super) fn program(&mut self) -> Result<(), Error> {
        let process = &self.spec.process;
        self.about("process.cwd");
        self.working_directory()?;
        self.about("");
        self.lock_files()?;
        self.second_wall()?;
        if process.terminal && !self.has_fresh_dev() {
            self.terminal()?;
        }
        let candidates = strings("process.args[0]", &candidates(process))?;
        let candidates = Strings::new(&candidates).ok_or(Error::PlanTooLong)?;
        if self.spec.extension.await_start {
            // What is not there already fails `create`.
            self.push(&Step::FindProgram { candidates })?;
        }
        self.home()?;
        self.labels()?;
        self.about("");
        if let Some(mask) = process.user.umask {
            self.umask(mask)?;
        }
        if self.session_is_early() {
            self.push(&Step::Session {})?;
        }
        let early = self.filter_is_early();
        self.push_filter(early)?;
        self.push(&Step::Ready {})?;
        if self.spec.extension.await_start {
            self.push(&Step::AwaitStart {
                descriptor: FIRST_HANDED,
            })?;
        }
        self.hooks(START_CONTAINER, &self.spec.hooks.start_container, "created")?;
        self.about("");
        self.execute(candidates, !early)
    }

    /// What is left when the word is given.
    pub(super) fn execute(&mut self, candidates: Strings<'_>, filter: bool) -> Result<(), Error> {
        let extension = &self.spec.extension;
        if extension.reaper {
            self.push(&Step::Reaper {})?;
        }
        if !self.session_is_early() {
            self.push(&Step::Session {})?;
        }
        if extension.preserved_descriptors > 0 {
            self.push(&Step::PreserveDescriptors {
                first: FIRST_HANDED + u32::from(extension.await_start),
                count: extension.preserved_descriptors,
            })?;
        }
        self.close_the_wall()?;
        self.observer()?;
        self.raw_filters()?;
        self.push_filter(filter)?;
        let args = self.arguments()?;
        let env = self.environment()?;
        let list = |bytes| Strings::new(bytes).ok_or(Error::PlanTooLong);
        self.push(&Step::Exec {
            candidates,
            args: list(&args)?,
            env: list(&env)?,
        })
    }

    /// Tries the working directory of a container while init may still go everywhere, as runc does:
    /// it may lie in a place that is closed to the program's user. What is closed to init, as a
    /// directory of a network can be, is left for later. A sandbox' program begins where it may go.
    pub(super) fn first_try_of_directory(&mut self) -> Result<(), Error> {
        let cwd = &self.spec.process.cwd;
        check_absolute("process.cwd", cwd)?;
        if self.spec.extension.bundle.is_none() {
            return Ok(());
        }
        let target = &c_string("process.cwd", cwd)?;
        self.about("process.cwd");
        self.push(&Step::WorkingDirectory {
            target,
            first: true,
        })
    }

    pub(super) fn working_directory(&mut self) -> Result<(), Error> {
        let first = &self.spec.process.cwd;
        let others = &self.spec.extension.other_directories;
        if others.is_empty() {
            let target = &c_string("process.cwd", first)?;
            return self.push(&Step::WorkingDirectory {
                target,
                first: false,
            });
        }
        let all: Vec<_> = std::iter::once(first).chain(others).collect();
        let candidates = strings("process.cwd", &all)?;
        let candidates = Strings::new(&candidates).ok_or(Error::PlanTooLong)?;
        self.push(&Step::FirstDirectory { candidates })
    }

    /// The argument vector, whose first word is what the program is told as its name.
    fn arguments(&self) -> Result<Vec<u8>, Error> {
        let args = &self.spec.process.args;
        let Some(name) = &self.spec.extension.argv0 else {
            return strings("process.args", args);
        };
        let all: Vec<_> = std::iter::once(name).chain(args.iter().skip(1)).collect();
        strings("process.args", &all)
    }

    /// What waits for `start` has its terminal while it waits: who called `create` may wait for the
    /// end of the pipes that were `create`'s output. A reaper keeps the session for the command.
    fn session_is_early(&self) -> bool {
        let extension = &self.spec.extension;
        extension.await_start && !extension.reaper
    }

    pub(super) fn filter_is_early(&self) -> bool {
        let filter = self.filter.as_ref();
        filter.is_some_and(|filter| filter.is_early(self.spec))
    }

    pub(super) fn umask(&mut self, mask: u32) -> Result<(), Error> {
        if mask > 0o777 {
            let reason = format!("0{mask:o} is more than 0777");
            return Err(Error::invalid("process.user.umask", reason));
        }
        self.push(&Step::Umask { mask })
    }

    pub(super) fn terminal(&mut self) -> Result<(), Error> {
        let size = self.spec.process.console_size.unwrap_or_default();
        let characters = |name: &str, number: u64| {
            let reason = format!("{number} is more than 65535");
            let field = format!("process.consoleSize.{name}");
            u16::try_from(number).map_err(|_| Error::invalid(field, reason))
        };
        let descriptors = match self.spec.extension.terminal_descriptors {
            0 => 0b111,
            some => some,
        };
        self.about("process.terminal");
        self.push(&Step::Console {
            descriptors,
            rows: characters("height", size.height)?.into(),
            columns: characters("width", size.width)?.into(),
        })
    }

    /// A terminal that appears as `/dev/console` too, where that is the container's own to make.
    /// It is given to the program's user, which needs a privilege.
    pub(super) fn console(&mut self) -> Result<(), Error> {
        let process = &self.spec.process;
        if !process.terminal || !self.has_fresh_dev() {
            return Ok(());
        }
        self.terminal()?;
        let uid = process.user.uid;
        self.push(&Step::ConsoleDevice { uid })
    }
}

/// The paths at which the program may be, as execvp(3) looks for it.
pub(super) fn candidates(process: &Process) -> Vec<OsString> {
    let program = process
        .args
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let path = environment::value(&process.env, "PATH")
        .filter(|path| !path.is_empty())
        .unwrap_or(DEFAULT_PATH.as_bytes());
    let directories = path
        .split(|byte| *byte == b':')
        .filter(|directory| !directory.is_empty());
    directories
        .map(|directory| {
            Path::new(OsStr::from_bytes(directory))
                .join(program)
                .into_os_string()
        })
        .collect()
}

/// Strings one behind the other, each with its NUL.
pub(super) fn strings<S: AsRef<OsStr>>(field: &str, list: &[S]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let text = c_string(&format!("{field}[{index}]"), text.as_ref())?;
        bytes.extend_from_slice(text.as_bytes_with_nul());
    }
    Ok(bytes)
}
