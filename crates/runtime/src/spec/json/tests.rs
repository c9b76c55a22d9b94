//! What is read, what is refused, and under which name.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::{Duration, Instant};

use super::*;

fn spec(rest: &str) -> Result<Spec, Error> {
    Spec::from_json(format!(r#"{{"ociVersion":"1.3.0"{rest}}}"#).as_bytes())
}

/// The name and the reason.
fn refused(text: &[u8]) -> (String, String) {
    match Spec::from_json(text) {
        Err(Error::Invalid { field, reason }) => (field, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn absent_is_not_zero_and_null_is_absent() {
    let empty = spec("").unwrap();
    let null = r#","process":null,"root":null,"hostname":null,"mounts":null,"hooks":null,
        "annotations":null,"linux":null,"vm":null"#;
    assert_eq!(spec(null).unwrap(), empty);
    assert_eq!(empty.process.oom_score_adj, None);
    let inner = r#","process":{"args":null,"user":null,"oomScoreAdj":null},
        "mounts":[{"options":null}],"linux":{"namespaces":null,"resources":{"pids":{}}}"#;
    let inner = spec(inner).unwrap();
    let resources = inner.linux.resources.unwrap();
    assert_eq!(resources.pids.unwrap().limit, None);
    assert_eq!(resources.memory, None);
    let zero = spec(r#","linux":{"resources":{"pids":{"limit":0}}}"#).unwrap();
    let limit = zero.linux.resources.unwrap().pids.unwrap().limit;
    assert_eq!(limit, Some(0));
}

#[test]
fn unknown_properties_are_ignored_and_unknown_words_are_kept() {
    let text = r#","x":{"y":[1,{}]},"linux":{"namespaces":[{"type":"moon","z":1}]}"#;
    let namespaces = spec(text).unwrap().linux.namespaces;
    assert_eq!(namespaces[0].kind, "moon");
    assert_eq!(namespaces[0].namespace(), None);
}

/// Every property is read under the specification's own name.
#[test]
fn a_document_with_every_property_is_read() {
    let text = include_bytes!("full.json");
    let spec = Spec::from_json(text).unwrap();
    // What was not read is what it is by default: so nothing in the whole may be that.
    let shown = format!("{spec:#?}");
    let (shown, _) = shown.split_once("extension: ").unwrap();
    for absent in [": None", ": 0,", ": \"\"", ": []", ": false", "{}"] {
        let lines = shown.lines().filter(|line| line.contains(absent));
        let left: Vec<_> = lines.filter(|line| !line.contains("create:")).collect();
        assert_eq!(left, [""; 0]);
    }
}

#[test]
fn a_value_of_another_type_is_named() {
    let cases = [
        (r#","hostname":5"#, "hostname"),
        (r#","hostname":["a"]"#, "hostname"),
        (r#","hostname":{}"#, "hostname"),
        (r#","process":{"args":["a",7]}"#, "process.args[1]"),
        (r#","process":{"user":{"uid":-1}}"#, "process.user.uid"),
        (r#","process":{"user":{"uid":1.5}}"#, "process.user.uid"),
        (
            r#","process":{"user":{"additionalGids":[1,4294967296]}}"#,
            "process.user.additionalGids[1]",
        ),
        (
            r#","mounts":[{},{"options":[]},{"options":["ro",{}]}]"#,
            "mounts[2].options[1]",
        ),
        (
            r#","linux":{"resources":{"memory":{"limit":99999999999999999999}}}"#,
            "linux.resources.memory.limit",
        ),
        (
            r#","linux":{"resources":{"memory":{"limit":"1G"}}}"#,
            "linux.resources.memory.limit",
        ),
        (
            r#","annotations":{"a,{\"b":"[","org.x":5}"#,
            r#"annotations["org.x"]"#,
        ),
        (r#","linux":[]"#, "linux"),
        (r#","root":{"path":"\ud800"}"#, "root.path"),
    ];
    for (text, field) in cases {
        let text = format!("{{\n\"ociVersion\":\"1.3.0\"\n{text}}}");
        assert_eq!(refused(text.as_bytes()).0, field, "{text}");
    }
}

#[test]
fn what_stands_twice_is_named() {
    let twice = |text: &str| {
        let (field, reason) = refused(format!("{{\"ociVersion\":\"1.0.0\",{text}}}").as_bytes());
        assert!(reason.contains("duplicate"), "{reason}");
        field
    };
    assert_eq!(twice(r#""ociVersion":"1.0.0""#), "ociVersion");
    let text = r#""linux":{"resources":{"pids":{"limit":1,"limit":2}}}"#;
    assert_eq!(twice(text), "linux.resources.pids.limit");
    let text = r#""linux":{"sysctl":{"a":"1","b":"2","a":"3"}}"#;
    assert_eq!(twice(text), "linux.sysctl.a");
}

#[test]
fn what_is_no_json_is_named() {
    for (text, field) in [
        ("", "config.json"),
        ("[]", "config.json"),
        ("{\"ociVersion\":\"1.0.0\"} x", "config.json"),
        ("{\"root\":{\"path\":\"a\"", "root.path"),
        ("{\"root\":{\"path\":\"a\\q\"}}", "root.path"),
        ("{\"root\":{'path'}}", "root"),
        ("{\"root\":{\"readonly\":yes}}", "root.readonly"),
    ] {
        assert_eq!(refused(text.as_bytes()).0, field, "{text}");
    }
    let (field, reason) = refused(b"{\"hostname\":\"\xff\"}");
    assert_eq!(
        (field.as_str(), reason.as_str()),
        ("config.json", "is not UTF-8 at byte 13")
    );
}

#[test]
fn versions_up_to_the_newest_are_understood() {
    let version = |version: &str| {
        Spec::from_json(format!(r#"{{"ociVersion":"{version}"}}"#).as_bytes()).map(drop)
    };
    for good in [
        "1.0.0",
        "1.0.2-dev",
        "1.0.0-rc5+x.y",
        "1.2.1",
        "1.3.0",
        "1.3.99",
    ] {
        assert!(version(good).is_ok(), "{good}");
    }
    for bad in [
        "0.9.0", "2.0.0", "1.4.0", "1", "1.0", "1.0.0.0", "1.x.0", "01.0.0", "v1.0.0", "",
    ] {
        let error = version(bad).unwrap_err().to_string();
        assert!(error.starts_with("ociVersion: "), "{bad}: {error}");
    }
    assert!(spec("").is_ok());
}

/// Long and deep documents are refused, and at once.
#[test]
fn what_is_too_long_or_too_deep_is_refused_within_a_second() {
    let long = format!(r#"{{"ociVersion":"1.0.0","x":"{}"}}"#, "y".repeat(10 << 20));
    let nested = |open: &str, close: &str, levels: usize| {
        let (open, close) = (open.repeat(levels), close.repeat(levels));
        format!(r#"{{"ociVersion":"1.0.0","x":{open}1{close}}}"#)
    };
    let arrays = nested("[", "]", 10_000);
    let objects = nested("{\"x\":", "}", 10_000);
    let open = "[".repeat(1 << 20);
    let start = Instant::now();
    let reason = |text: &str| refused(text.as_bytes()).1;
    assert_eq!(reason(&long), "has 10485789 bytes, more than 8388608");
    for deep in [arrays, objects, open] {
        assert_eq!(reason(&deep), "is nested deeper than 100 levels");
    }
    assert!(
        start.elapsed() < Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    // As deep as may be is no fault of an unknown property's.
    assert!(Spec::from_json(nested("[", "]", MAX_DEPTH - 1).as_bytes()).is_ok());
}

#[test]
fn a_process_and_resources_alone() {
    let process = Process::from_json(br#"{"args":["a"],"cwd":"/"}"#).unwrap();
    assert_eq!(process.args, ["a"]);
    let error = Process::from_json(b"{").unwrap_err().to_string();
    assert!(error.starts_with("process: "), "{error}");
    let resources = Resources::from_json(br#"{"cpu":{"quota":-1}}"#).unwrap();
    assert_eq!(resources.cpu.unwrap().quota, Some(-1));
    let error = Resources::from_json(br#"{"cpu":{"quota":true}}"#).unwrap_err();
    assert!(error.to_string().starts_with("cpu.quota: "), "{error}");
}
