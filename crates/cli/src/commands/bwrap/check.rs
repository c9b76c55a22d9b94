//! What bubblewrap refuses together.

use anyhow::ensure;
use crabcan_runtime::Namespace;

use super::Line;

impl Line {
    /// What bubblewrap refuses together, in its words.
    pub(super) fn check(&self, user: bool, uts: bool, pid: bool) -> anyhow::Result<()> {
        let asked = self.unshared.contains(&Namespace::User);
        let joins = self.joined.iter().any(|(kind, _)| *kind == Namespace::User);
        let own = asked || joins;
        ensure!(
            self.uid.is_none() || own || user,
            "Specifying --uid requires --unshare-user or --userns"
        );
        ensure!(
            self.gid.is_none() || own || user,
            "Specifying --gid requires --unshare-user or --userns"
        );
        ensure!(
            self.hostname.is_none() || uts,
            "Specifying --hostname requires --unshare-uts"
        );
        ensure!(
            !self.as_pid_1 || pid,
            "Specifying --as-pid-1 requires --unshare-pid"
        );
        ensure!(
            !self.as_pid_1 || self.lock_files.is_empty(),
            "Specifying --as-pid-1 and --lock-file is not permitted"
        );
        ensure!(
            !(joins && asked),
            "--userns not compatible with --unshare-user"
        );
        ensure!(
            !self.maps_elsewhere || asked,
            "--userns-block-fd requires --unshare-user"
        );
        ensure!(
            !self.maps_elsewhere || self.tells,
            "--userns-block-fd requires --info-fd"
        );
        ensure!(
            !self.maps_elsewhere || !self.disables_user_namespaces,
            "--disable-userns is not compatible with --userns-block-fd"
        );
        ensure!(
            !self.disables_user_namespaces || asked,
            "--disable-userns requires --unshare-user"
        );
        ensure!(
            !self.asserts_disabled || self.disables_user_namespaces,
            "creation of new user namespaces was not disabled as requested"
        );
        Ok(())
    }
}
