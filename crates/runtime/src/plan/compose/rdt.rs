//! `linux.intelRdt`: what is refused of it before anything is written.

use crate::Error;
use crate::spec::IntelRdt;

/// A group is one directory, and a line is one line.
pub(crate) fn check(wanted: &IntelRdt) -> Result<(), Error> {
    let field = |name: &str| format!("linux.intelRdt.{name}");
    if let Some(group) = wanted.clos_id.as_deref() {
        let special = ["", ".", "..", "info", "mon_groups", "mon_data"].contains(&group);
        let strange = group.bytes().any(|byte| matches!(byte, b'/' | b'\n' | 0));
        if group != "/" && (special || strange) {
            let reason = format!("\"{}\" is no name of a group", group.escape_debug());
            return Err(Error::invalid(field("closID"), reason));
        }
    }
    let single = |name: &str, line: &str| {
        if line.contains(['\n', '\0']) {
            return Err(Error::invalid(field(name), "is more than one line"));
        }
        Ok(())
    };
    for (index, line) in wanted.schemata.iter().enumerate() {
        single(&format!("schemata[{index}]"), line)?;
    }
    for (name, line, start) in [
        ("l3CacheSchema", &wanted.l3_cache_schema, "L3"),
        ("memBwSchema", &wanted.mem_bw_schema, "MB:"),
    ] {
        let Some(line) = line else { continue };
        single(name, line)?;
        if !line.starts_with(start) {
            return Err(Error::invalid(
                field(name),
                format!("does not begin with {start}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_no_group_and_no_line_is_named() {
        let with = |change: fn(&mut IntelRdt)| {
            let mut wanted = IntelRdt::default();
            change(&mut wanted);
            let named = check(&wanted).err().map(|error| error.to_string());
            named.map(|text| text.split(": ").next().unwrap_or_default().to_owned())
        };
        assert_eq!(with(|rdt| rdt.clos_id = Some("/".into())), None);
        assert_eq!(with(|rdt| rdt.clos_id = Some("gold".into())), None);
        for group in ["", ".", "..", "a/b", "/a", "info", "a\nb"] {
            let wanted = IntelRdt {
                clos_id: Some(group.into()),
                ..IntelRdt::default()
            };
            let error = check(&wanted).unwrap_err().to_string();
            assert!(error.starts_with("linux.intelRdt.closID: "), "{error}");
        }
        let named = with(|rdt| rdt.schemata = vec!["L3:0=f".into(), "a\nb".into()]);
        assert_eq!(named.unwrap(), "linux.intelRdt.schemata[1]");
        let named = with(|rdt| rdt.mem_bw_schema = Some("L3:0=f".into()));
        assert_eq!(named.unwrap(), "linux.intelRdt.memBwSchema");
        let named = with(|rdt| rdt.l3_cache_schema = Some("L3:0=f\nMB:".into()));
        assert_eq!(named.unwrap(), "linux.intelRdt.l3CacheSchema");
        assert_eq!(
            with(|rdt| rdt.l3_cache_schema = Some("L3:0=f".into())),
            None
        );
    }
}
