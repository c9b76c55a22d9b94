//! A port of the host that is a sandbox' port.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, ensure};

/// One port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(super) address: IpAddr,
    pub(super) host: u16,
    pub(super) inside: u16,
    pub(super) udp: bool,
}

impl Publish {
    /// `[ADDRESS:]HOSTPORT:PORT[/udp]`, an address of IPv6 in brackets.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let (ports, udp) = match text.rsplit_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), false),
            Some((ports, "udp")) => (ports, true),
            Some((_, other)) => anyhow::bail!("{other} is neither tcp nor udp"),
        };
        let (front, inside) = ports
            .rsplit_once(':')
            .context("must be HOSTPORT:PORT or ADDRESS:HOSTPORT:PORT")?;
        let (address, host) = match front.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), front),
            Some((address, host)) => (parse_address(address)?, host),
        };
        Ok(Self {
            address,
            host: parse_port(host)?,
            inside: parse_port(inside)?,
            udp,
        })
    }
}

fn parse_address(text: &str) -> anyhow::Result<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse();
    address.with_context(|| format!("{text} is no address"))
}

fn parse_port(text: &str) -> anyhow::Result<u16> {
    let port: u16 = text
        .parse()
        .with_context(|| format!("{text:?} is no port"))?;
    ensure!(port > 0, "0 is no port");
    Ok(port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let read = |text| Publish::read(text).unwrap();
        let expected = |address: &str, host, inside, udp| Publish {
            address: address.parse().unwrap(),
            host,
            inside,
            udp,
        };
        assert_eq!(read("8080:80"), expected("127.0.0.1", 8080, 80, false));
        assert_eq!(read("8080:80/tcp"), expected("127.0.0.1", 8080, 80, false));
        assert_eq!(
            read("0.0.0.0:53:5353/udp"),
            expected("0.0.0.0", 53, 5353, true)
        );
        assert_eq!(read("[::1]:8080:80"), expected("::1", 8080, 80, false));
        for wrong in [
            "",
            "80",
            "80:",
            ":80",
            "0:80",
            "80:65536",
            "x:80:80",
            "80:80/icmp",
            "+x:1",
        ] {
            assert!(Publish::read(wrong).is_err(), "{wrong}");
        }
    }
}
