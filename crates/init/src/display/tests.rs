#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::string::ToString;

use super::words::Device;
use crate::format::{Groups, Strings};
use crate::samples::samples;
use crate::step::Step;

#[test]
fn every_step_names_its_action_object_and_attributes() {
    for (step, words) in samples() {
        assert_eq!(step.to_string(), words);
    }
}

#[test]
fn every_step_has_a_reason_of_one_line() {
    let asked = [
        "Permissions",
        "RuntimeHooks",
        "Hook",
        "Sysctl",
        "OomScoreAdj",
        "Umask",
    ];
    let scheduling = [
        "Scheduler",
        "IoPriority",
        "Affinity",
        "Personality",
        "MemoryPolicy",
    ];
    let others = ["ResourceLimit", "ExecLabel"];
    for (step, _) in samples() {
        let why = step.why();
        let is_asked = [&asked[..], &scheduling, &others]
            .concat()
            .contains(&step.name());
        assert_eq!(why == "asked for", is_asked, "{}: {why}", step.name());
        assert!(why.len() < 80 && !why.contains('\n'), "{why}");
    }
}

#[test]
fn what_is_not_text_is_escaped() {
    let shown = |name| Step::Hostname { name }.to_string();
    assert_eq!(shown(c"caf\u{e9} 'a b'"), "set host name caf\u{e9} 'a b'");
    assert_eq!(
        shown(c"a\n\x1b[2J\x07\xff\\"),
        "set host name a\\n\\u{1b}[2J\\u{7}\\xff\\\\"
    );
    assert_eq!(
        shown(c"\xc2\x9b \u{202e}"),
        "set host name \\u{9b} \\u{202e}"
    );
    assert_eq!(shown(c""), "set host name \"\"");
}

#[test]
fn what_has_no_name_is_shown_as_a_number() {
    let attributes = Step::RootAttributes {
        attributes: 1 | 1 << 40,
    };
    assert_eq!(
        attributes.to_string(),
        "set attributes of the root (ro,0x10000000000)"
    );
    let limit = Step::ResourceLimit {
        resource: 99,
        soft: 0,
        hard: 1,
    };
    assert_eq!(limit.to_string(), "limit resource 99 to 0:1");
    let propagation = Step::Propagation { flags: 1 };
    assert_eq!(propagation.to_string(), "make the root mount 0x1");
    let device = Device(crate::sys::make_device(259, 0x8_0001));
    assert_eq!(device.to_string(), "device 259:524289");
}

#[test]
fn sets_and_lists_that_are_empty_or_full_are_said_to_be() {
    let ids = |set_groups| Step::SetIds {
        uid: 0,
        gid: 0,
        set_groups,
        groups: Groups::new(b"").unwrap(),
    };
    assert_eq!(ids(true).to_string(), "take the ids 0:0 (no groups)");
    assert_eq!(ids(false).to_string(), "take the ids 0:0");
    let bounding = |keep| Step::Bounding { keep }.to_string();
    assert_eq!(bounding(0), "keep no capability in the bounding set");
    assert_eq!(bounding(!0), "keep every capability in the bounding set");
    let exec = |paths: &'static [u8]| {
        let [candidates, args, env] = [paths, &[], &[]].map(|bytes| Strings::new(bytes).unwrap());
        Step::Exec {
            candidates,
            args,
            env,
        }
    };
    assert_eq!(exec(b"").to_string(), "execute nothing");
    assert_eq!(exec(b"/bin/echo\0").to_string(), "execute /bin/echo");
}
