//! `linux.netDevices`: what is refused of them before any is moved.

use crabcan_caps::Capability;
use crabcan_ns::Namespace;

use super::Composer;
use crate::Error;
use crate::net_devices::NetDevice;

impl Composer<'_> {
    /// Every device with its name in the container.
    pub(super) fn net_devices(&mut self) -> Result<(), Error> {
        for (name, device) in &self.spec.linux.net_devices {
            let field = format!("linux.netDevices.{}", name.escape_debug());
            if !self.spec.linux.separates(Namespace::Network) {
                let reason = "needs a network namespace of the container's own";
                return Err(Error::invalid(field, reason));
            }
            if !self.host.has(&[Capability::NetAdmin]) {
                let reason = "CAP_NET_ADMIN is needed to move it, and the caller does not have it";
                return Err(Error::invalid(field, reason));
            }
            let wanted = device.name.as_ref().filter(|name| !name.is_empty());
            if !is_name(name) {
                return Err(Error::invalid(field, "is no name of a network device"));
            }
            if let Some(wanted) = wanted.filter(|wanted| !is_name(wanted) || !is_pattern(wanted)) {
                let wanted = wanted.escape_debug();
                let reason = format!("\"{wanted}\" is no name of a network device");
                return Err(Error::invalid(format!("{field}.name"), reason));
            }
            self.net_devices.push(NetDevice {
                name: name.clone(),
                becomes: wanted.unwrap_or(name).clone(),
            });
        }
        if !self.net_devices.is_empty() {
            self.changed.push((Namespace::Network, "linux.netDevices"));
        }
        Ok(())
    }
}

/// As the kernel has it: one to fifteen bytes, no directory, and nothing that would be misread.
fn is_name(name: &str) -> bool {
    let strange = |byte: u8| matches!(byte, b'/' | b':' | 0 | 0x0b) || byte.is_ascii_whitespace();
    !matches!(name, "" | "." | "..") && name.len() <= 15 && !name.bytes().any(strange)
}

/// A percent sign stands before a `d`, once: nothing else is put in place of it.
fn is_pattern(name: &str) -> bool {
    let rest = name.split_once('%').map(|(_, rest)| rest);
    rest.is_none_or(|rest| rest.starts_with('d') && !rest.contains('%'))
}
