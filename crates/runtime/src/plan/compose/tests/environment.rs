//! What the program finds in its environment, and what an empty name is.

use std::ffi::OsString;

use crabcan_init::Step;
use crabcan_init::format::FlatPlan;
use crabcan_ns::Namespace;

use super::{namespaces_of, plan, refused, rootless, steps};

fn variables(env: &[&str], of_bundle: bool) -> (Vec<String>, Option<u32>) {
    let mut spec = rootless();
    spec.extension.bundle = of_bundle.then(|| "/bundle".into());
    spec.process.env = env.iter().map(OsString::from).collect();
    let flat = plan(&spec, false).flatten();
    let mut found = (Vec::new(), None);
    for step in FlatPlan::parse(&flat).unwrap().steps() {
        match step {
            Step::Exec { env, .. } => {
                let texts = env.iter().map(|text| text.to_string_lossy().into_owned());
                found.0 = texts.collect();
            }
            Step::Home { uid } => found.1 = Some(uid),
            _ => {}
        }
    }
    found
}

/// Programs do not agree on which of two variables with one name they take.
#[test]
fn of_two_variables_with_one_name_the_last_is_meant() {
    let env = ["A=1", "HOME=/h", "B", "A=2=3", "AB=4", "B", "A="];
    let expected = ["HOME=/h", "AB=4", "B", "A="].map(str::to_owned).to_vec();
    assert_eq!(variables(&env, true), (expected, None));
    // The index is that of the document.
    refused("process.env[1]", |spec| {
        spec.process.env = vec!["A=1".into(), "A=\0".into(), "A=2".into()];
    });
}

#[test]
fn a_home_that_is_not_said_is_looked_up_for_containers() {
    let unsaid = |before: &[&str]| {
        let all = before.iter().chain(&["HOME="]).map(ToString::to_string);
        (all.collect::<Vec<_>>(), Some(0))
    };
    assert_eq!(variables(&["HOMES=/x"], true), unsaid(&["HOMES=/x"]));
    let env = ["HOME=/h", "HOME=", "PATH=/bin"];
    assert_eq!(variables(&env, true), unsaid(&["PATH=/bin"]));
    assert_eq!(variables(&["A=1"], false), (vec!["A=1".to_owned()], None));
}

#[test]
fn an_empty_host_name_of_a_document_is_none() {
    let mut spec = rootless();
    spec.linux.namespaces = namespaces_of(&[Namespace::Mount, Namespace::User]);
    spec.extension.bundle = Some("/bundle".into());
    spec.hostname = Some(String::new());
    spec.domainname = Some(String::new());
    let steps = steps(&spec, false);
    assert!(!steps.iter().any(|step| step.contains("name")), "{steps:?}");
    refused("hostname", |spec| spec.hostname = Some(String::new()));
}
