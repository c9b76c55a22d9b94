//! What the container's namespaces start with: propagation, names, settings, the network.

use std::ffi::CString;

use crabcan_init::Step;
use crabcan_ns::Namespace;
use crabcan_rootfs::{Propagation, pivot};

use super::{Composer, rootfs, sysctl};
use crate::Error;
use crate::plan::c_string;

const PROPAGATION: &str = "linux.rootfsPropagation";

/// The kernel's `__NEW_UTS_LEN`.
const LONGEST_NAME: usize = 64;

impl Composer<'_> {
    pub(super) fn isolation(&mut self) -> Result<(), Error> {
        if !self.shares_mounts() {
            self.about(PROPAGATION);
            self.propagation()?;
        }
        if let Some(name) = self.uts_name("hostname", &self.spec.hostname)? {
            self.about("hostname");
            self.push(&Step::Hostname { name: &name })?;
        }
        if let Some(name) = self.uts_name("domainname", &self.spec.domainname)? {
            self.about("domainname");
            self.push(&Step::Domainname { name: &name })?;
        }
        self.about("");
        if self.spec.linux.makes(Namespace::Network) {
            self.push(&Step::LoopbackUp {})?;
        }
        self.sysctls()
    }

    /// How the mounts that the container starts with are cut off from the host's.
    fn propagation(&mut self) -> Result<(), Error> {
        match self.first_propagation()? {
            Some(propagation) => propagation.push(&mut self.writer),
            // The mount alone that the new root covers: what is shared below it stays so.
            None => pivot::push_host_root_private(&mut self.writer),
        }
        .map_err(rootfs(PROPAGATION))
    }

    /// How they are cut off; `None` if they are not.
    pub(super) fn first_propagation(&self) -> Result<Option<Propagation>, Error> {
        let word = self.spec.linux.rootfs_propagation.as_deref();
        Ok(match word.unwrap_or_default() {
            // A mount that is to hear of the host's later ones must not be cut off before.
            "" if self.hears_of_mounts() => Some(Propagation::Slave),
            "" | "private" | "rprivate" | "unbindable" | "runbindable" => {
                Some(Propagation::Private)
            }
            "slave" | "rslave" => Some(Propagation::Slave),
            "shared" | "rshared" => None,
            other => {
                let reason = format!("\"{}\" is not known", other.escape_debug());
                return Err(Error::invalid(PROPAGATION, reason));
            }
        })
    }

    /// How what is mounted in the container later spreads. The kernel swaps no roots that are shared,
    /// so it comes after that.
    pub(super) fn root_propagation(&mut self) -> Result<(), Error> {
        let propagation = match self.spec.linux.rootfs_propagation.as_deref() {
            Some("shared" | "rshared") => Propagation::Shared,
            Some("unbindable" | "runbindable") => Propagation::Unbindable,
            _ => return Ok(()),
        };
        self.about(PROPAGATION);
        pivot::push_root_propagation(&mut self.writer, propagation, false)
            .map_err(rootfs(PROPAGATION))
    }

    fn hears_of_mounts(&self) -> bool {
        let mounts = self.spec.mounts.iter();
        let mut words = mounts.flat_map(|mount| &mount.options);
        words.any(|word| matches!(word.as_str(), "slave" | "rslave" | "shared" | "rshared"))
    }

    /// An empty name in `config.json` is none, as for runc and crun, whose types can't tell the two
    /// apart; a sandbox is asked for one.
    fn uts_name(
        &mut self,
        field: &'static str,
        name: &Option<String>,
    ) -> Result<Option<CString>, Error> {
        let Some(name) = name else {
            return Ok(None);
        };
        if name.is_empty() {
            return match self.spec.extension.bundle {
                Some(_) => Ok(None),
                None => Err(Error::invalid(field, "is empty")),
            };
        }
        if !self.spec.linux.separates(Namespace::Uts) {
            return Err(Error::invalid(field, "needs a uts namespace"));
        }
        if name.len() > LONGEST_NAME {
            return Err(Error::invalid(field, "is longer than 64 bytes"));
        }
        self.changed.push((Namespace::Uts, field));
        c_string(field, name.as_str()).map(Some)
    }

    fn sysctls(&mut self) -> Result<(), Error> {
        if self.spec.extension.no_user_namespaces {
            if !self.spec.linux.makes(Namespace::User) {
                let reason = "needs a user namespace of the sandbox' own";
                return Err(Error::invalid("--disable-userns", reason));
            }
            // The limit is this user namespace's: the one that init is in.
            self.push(&Step::Sysctl {
                key: c"user/max_user_namespaces",
                value: c"0",
            })?;
        }
        for (key, value) in &self.spec.linux.sysctl {
            let (namespace, path) = sysctl::path(&self.spec.linux, key)?;
            self.changed.push((namespace, "linux.sysctl"));
            let field = format!("linux.sysctl[\"{}\"]", key.escape_debug());
            self.about(field.clone());
            self.push(&Step::Sysctl {
                key: &c_string(&field, path)?,
                value: &c_string(&field, value)?,
            })?;
        }
        Ok(())
    }
}
