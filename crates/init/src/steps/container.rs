//! The steps that make a process a container's by the runtime specification's measure, beside
//! those that a sandbox needs: each by what it acts on.

use super::{Context, Failure, home, process, sandbox, start};
use crate::errno::Errno;
use crate::message::Message;
use crate::step::Step;
use crate::sys::{self, SchedAttr};

impl Context {
    pub(super) fn container_step(&mut self, step: &Step<'_>) -> Result<(), Failure> {
        match *step {
            Step::Procfs {} => self.open_procfs(),
            Step::Join { flags } => self.join(flags),
            Step::JoinCgroup { count } => self.join_cgroup(count),
            Step::Unshare { flags } => sys::unshare(flags),
            Step::LeaveGroups {} => process::leave_groups(),
            Step::TimeOffsets { offsets } => self.time_offsets(offsets),
            Step::Fork {} => self.fork(),
            Step::AwaitStart { descriptor } => self.await_start(descriptor as i32),
            Step::FindProgram { candidates } => return start::find_program(candidates),
            Step::RuntimeHooks {} => {
                self.say(Message::Hooks)?;
                self.await_proceed()
            }
            Step::AwaitCgroup {} => self.await_proceed(),
            Step::HookOutput { number } => self.hook_output(number),
            Step::Hostname { name } => sys::sethostname(name),
            Step::Domainname { name } => sys::setdomainname(name),
            Step::SessionKeyring {} => process::session_keyring(),
            Step::Sysctl { key, value } => self.write_procfs(c"sys", key, value),
            Step::OomScoreAdj { score } => self.oom_score_adj(score),
            Step::ExecLabel { attribute, label } => {
                self.write_procfs(c"self/attr", attribute, label)
            }
            Step::Home { uid } => {
                self.home = Some(home::variable(uid)?);
                Ok(())
            }
            Step::Umask { mask } => {
                self.umask = mask;
                Ok(())
            }
            Step::PreserveDescriptors { first, count } => {
                self.preserve_descriptors(first as i32, count as i32)
            }
            Step::ConsoleDevice { uid } => self.console_device(uid),
            Step::Directory { .. }
            | Step::File { .. }
            | Step::BindFile { .. }
            | Step::Permissions { .. }
            | Step::SameFile { .. } => self.piece(step),
            Step::EmptyRoot { .. } | Step::AttachedRoot { .. } | Step::EnterRoot {} => {
                self.root_step(step)
            }
            Step::Overlay { .. } => self.overlay(step),
            Step::Timings { .. }
            | Step::Landlock { .. }
            | Step::LandlockRule { .. }
            | Step::LandlockRestrict {} => self.wall(step),
            Step::LockFile { target } => sandbox::lock_file(target),
            Step::FirstDirectory { candidates } => sandbox::first_directory(candidates),
            _ => scheduling_step(step),
        }
        .map_err(Failure::from)
    }
}

fn scheduling_step(step: &Step<'_>) -> Result<(), Errno> {
    match *step {
        Step::Scheduler {
            policy,
            flags,
            nice,
            priority,
            runtime,
            deadline,
            period,
        } => sys::sched_setattr(&SchedAttr {
            size: SchedAttr::SIZE,
            policy,
            flags,
            nice,
            priority,
            runtime,
            deadline,
            period,
        }),
        Step::IoPriority { class, level } => sys::ioprio_set(class, level),
        Step::Affinity { cpus } => sys::sched_setaffinity(cpus.as_bytes()),
        Step::Personality { persona } => sys::personality(persona),
        Step::MemoryPolicy { mode, nodes } => sys::set_mempolicy(mode, nodes.as_bytes()),
        _ => Err(Errno::EINVAL),
    }
}
